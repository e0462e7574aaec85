"""What a report consists of, and the page that it becomes: one file, to which nothing has to be fetched."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from ..utils.atomic import replacing

DPI = 144


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows."""

    caption: str
    png: bytes

    @property
    def base64(self) -> str:
        """The PNG as text."""
        return b64encode(self.png).decode()

    @classmethod
    def of_figure(cls, caption: str, figure: Figure) -> "Picture":
        """What Matplotlib draws of a figure."""
        file = BytesIO()
        figure.savefig(file, format="png", dpi=DPI)
        return cls(caption, file.getvalue())


@dataclass(frozen=True)
class Table:
    """Rows of text under a header, which may be empty."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of the page: lines of text, then tables, then pictures."""

    title: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    wide: bool = False
    """Pictures take at least half of a wide screen."""
    captions: bool = True
    """Captions are printed; else they are only what is read aloud."""
    pixels: bool = False
    """Pictures are enlarged without smoothing."""


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write the page to `path` (.html), whole or not at all."""
    environment = Environment(loader=PackageLoader("fsvae_tcja.report", "."), autoescape=True)
    text = environment.get_template("page.html").render(title=title, sections=sections)
    with replacing(path, ".html") as temporary:
        temporary.write_text(text, encoding="utf-8")
