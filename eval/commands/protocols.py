"""fsvae-tcja eval protocols: what each protocol fixes."""

from dataclasses import dataclass

from rich.table import Table

from fsvae_tcja.utils.options import parse

from ..protocols import PROTOCOLS
from .display import console


@dataclass(frozen=True)
class ProtocolsOptions:
    """Show what each protocol fixes."""


def main(args: list[str]) -> int:
    """Show a table for each protocol."""
    parse(ProtocolsOptions, "fsvae-tcja eval protocols", args)
    for protocol in PROTOCOLS.values():
        table = Table(title=f"{protocol.name}: {protocol.about}", title_justify="left")
        for name in ("", *(recipe.score for recipe in protocol.recipes)):
            table.add_column(name)
        rows = [recipe.as_dict() for recipe in protocol.recipes]
        for name in rows[0]:
            if name not in ("protocol", "score"):
                table.add_row(name.replace("_", " "), *("-" if row[name] is None else str(row[name]) for row in rows))
        console().print(table)
        if protocol.further:
            console().print(f"by name alone: {', '.join(recipe.score for recipe in protocol.further)}\n")
    return 0
