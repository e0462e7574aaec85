"""What a report consists of, and the page that it becomes: one file, to which nothing has to be fetched."""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from ..utils.atomic import replacing

DPI = 144
WIDTH = 4.4  # inches, of figures: on a telephone, too, their letters of 10 points are 11 pixels high
NUMBER = re.compile(r"[-+]?\d[\d.,]*(e[-+]?\d+)?%?( ± [\d.,]+(e[-+]?\d+)?)?")


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows.

    Args:
        about: what is read aloud in place of it.
        png: the file.
        caption: printed above it: what no title inside it says.
    """

    about: str
    png: bytes
    caption: str = ""

    @property
    def base64(self) -> str:
        """The PNG as text."""
        return b64encode(self.png).decode()

    @classmethod
    def of_figure(cls, about: str, figure: Figure) -> "Picture":
        """What Matplotlib draws of a figure."""
        file = BytesIO()
        figure.savefig(file, format="png", dpi=DPI)
        return cls(about, file.getvalue())


@dataclass(frozen=True)
class Table:
    """Rows of text under a header, which may be empty."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def numeric(self) -> list[bool]:
        """Of each column whether it holds numbers alone, and is flush right."""
        columns = [[cell for cell in column if cell] for column in zip(*self.rows, strict=True)]
        return [bool(column) and all(map(NUMBER.fullmatch, column)) for column in columns]


@dataclass(frozen=True)
class Section:
    """A part of the page: lines of text, then tables, then pictures."""

    title: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    wide: bool = False
    """Pictures take at least half of a wide screen."""


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write the page to `path` (.html), whole or not at all."""
    environment = Environment(loader=PackageLoader("fsvae_tcja.report", "."), autoescape=True)
    text = environment.get_template("page.html").render(title=title, sections=sections)
    with replacing(path, ".html") as temporary:
        temporary.write_text(text, encoding="utf-8")
