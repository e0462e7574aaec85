"""Tables as text."""

from collections.abc import Mapping, Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart, the first flush left, the others flush right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def facts(sections: Mapping[str, Mapping[str, object]]) -> str:
    """A title for each section, and below it a line with name and value for each fact; values start in one column."""
    width = max((len(name) for section in sections.values() for name in section), default=0)
    lines = []
    for title, section in sections.items():
        lines += [title, *(f"  {name:{width}}  {value}" for name, value in section.items())]
    return "\n".join(lines)
