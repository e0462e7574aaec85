"""What mkdocs builds besides docs/: pages beside the code, the notebooks, and the reference of all public names.

Pages keep their place: docs/DATA.md is /DATA, eval/README.md is /eval. The site holds no source files: a link to one
becomes its text.
"""

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("classifiers", "eval", "fsvae_tcja", "samples")
TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
PICTURES = "samples/gallery/*.[pg][ni][gf]"
PACKAGES = ("fsvae_tcja", "fsvae_tcja.core", "fsvae_tcja.data", "fsvae_tcja.vae", "classifiers", "eval")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
OUTSIDE = re.compile(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=[\"']?(?:https?:)?//[^>]*>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what does not lie in docs/."""
    beside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("README.md")]
    for path in [*(ROOT / name for name in TOP), *beside, *ROOT.glob(PICTURES)]:
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    for path in (ROOT / "docs").glob("*.ipynb"):
        files.append(File.generated(config, f"{path.stem}.md", content=notebook(path)))
    for package in PACKAGES:
        files.append(File.generated(config, f"api/{package}.md", content=reference(package)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the checkout as links between pages."""
    uri = page.file.src_uri
    place = uri if (ROOT / uri).exists() else f"docs/{uri}"

    def linked(match: re.Match[str]) -> str:
        text, target, anchor = match.groups()
        file = os.path.normpath(os.path.join(os.path.dirname(place), target))
        there = file.removeprefix("docs/").replace(".ipynb", ".md")
        if files.get_file_from_path(there):
            return f"[{text}]({os.path.relpath(there, os.path.dirname(uri) or '.')}{anchor or ''})"
        return text if (ROOT / file).exists() else match[0]

    return LINK.sub(linked, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that would fetch something from another host."""
    if found := OUTSIDE.search(output):
        raise PluginError(f"{page.file.src_uri} fetches from outside: {found[0]}")
    return output


def reference(package: str) -> str:
    """A page of the docstrings of a package's public names."""
    names = "\n\n".join(f"::: {package}.{name}" for name in public(package))
    return f"# {package}\n\n{names}\n"


def public(package: str) -> list[str]:
    """Names that the package's __init__.py imports for its users."""
    body = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text()).body
    statements = [inner for one in body for inner in (one.body if isinstance(one, ast.If) else [one])]
    imports = [one for one in statements if isinstance(one, ast.ImportFrom) and one.level]
    names = {alias.asname or alias.name for one in imports for alias in one.names}
    return sorted(name for name in names if not name.startswith("_") and name != "lazy")


def notebook(path: Path) -> str:
    """The cells of a notebook and what they gave, as Markdown."""
    return "\n\n".join(part for cell in json.loads(path.read_text())["cells"] for part in parts(cell))


def parts(cell: dict) -> Iterator[str]:
    """A cell, then its outputs: text, and pictures in the page itself."""
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if png := data.get("image/png"):
            yield f"![what the cell draws](data:image/png;base64,{''.join(png).strip()})"
        elif text := output.get("text") or data.get("text/plain"):
            yield f"```text\n{''.join(text)}\n```"
