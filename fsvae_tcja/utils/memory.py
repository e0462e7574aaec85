"""Whether there is memory for what is about to be made."""

import os


def check_memory(needed: int, what: str) -> None:
    """Refuse what needs more memory than the machine has.

    Args:
        needed: bytes, estimated.
        what: is made, the subject of the message.

    Raises:
        ValueError: with both figures.
    """
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ValueError(
            f"{what} would take about {needed / 1e9:,.0f} GB of memory, this machine has {there / 1e9:,.0f} GB: "
            "choose something smaller"
        )
