"""No dead link in any page: files and headings that links lead to are there; other addresses are well formed."""

import json
import re
from pathlib import Path

import pytest

from .test_readme import PAGES, ROOT

NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))
ALL = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *NOTEBOOKS]
ADDRESS = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[\w./#?=&%~+-]*)?")


def prose(page: Path) -> str:
    """A page without its code."""
    text = page.read_text()
    if page.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles]
    return {slug if n == 0 else f"{slug}-{n}" for i, slug in enumerate(slugs) for n in [slugs[:i].count(slug)]}


def dead(page: Path, text: str) -> list[str]:
    """The links of a text on this page that lead nowhere."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link:
            alive = bool(ADDRESS.fullmatch(link))
        elif anchor:
            alive = target.suffix == ".md" and target.is_file() and anchor in headings(target)
        else:
            alive = target.exists() and target.is_relative_to(ROOT)
        found += [] if alive else [link]
    return found


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_dead(page):
    assert not dead(page, prose(page))


def test_a_dead_link_is_found():
    page = ROOT / "docs" / "EXTENDING.md"
    good = "[a](../README.md) [b](#a-score) [c](../eval/README.md#weights) [d](https://neuroir.org)"
    bad = [
        "../NOTHING.md",
        "#nothing",
        "../eval/README.md#nothing",
        "http://plain.org",
        "https://host",
        "../../outside",
    ]
    assert dead(page, good + "".join(f" [x]({link})" for link in bad)) == bad


def test_every_page_is_in_the_navigation_of_the_site():
    entries = set(re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {path.relative_to(ROOT).as_posix().removeprefix("docs/") for path in ALL}
    assert {page.replace(".ipynb", ".md") for page in pages} <= entries
