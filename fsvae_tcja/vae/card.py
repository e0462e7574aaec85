"""The card of a model to hand on: what it is, how it was made, how it scores."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..runtime.run import flat
from ..utils.configuration import to_dict
from .model import FSVAE
from .sample import classes_of

SCORES, SETTINGS = "## Scores\n", "## Settings\n"


def card_of(
    model: FSVAE,
    *,
    name: str = "MODEL",
    data: str = "",
    command: str = "",
    facts: Mapping[str, str] | None = None,
    scores: Sequence[str] = (),
    picture: tuple[str, str] | None = None,
    before: str = "",
) -> str:
    """Markdown for a model.

    Args:
        model: what it is about.
        name: under which it is loaded.
        data: what it was trained on.
        command: that made it.
        facts: more that is known, by its name.
        scores: each with protocol, n and seed.
        picture: the file beside the card, and what it shows.
        before: the card that this one replaces: sections that somebody wrote into it stay, and the command if none is
            given.
    """
    command = command or next(iter(re.findall(r"^- made by: `(.+)`$", before, re.MULTILINE)), "")
    parameters = sum(p.numel() for p in model.parameters())
    known = {
        "trained on": data,
        "made by": f"`{command}`" if command else "",
        "classes": _classes(model),
        "parameters": f"{parameters:,}",
        **(facts or {}),
    }
    lines = [
        f"# {name}",
        "",
        "A fully-spiking VAE with temporal-channel joint attention, of the package `fsvae-tcja`.",
        "",
        "```python",
        "from fsvae_tcja import FSVAE",
        "",
        f'model = FSVAE.from_pretrained("{name}")',
        "images = model.sample(64, seed=0)  # [64, C, H, W] in [-1, 1]",
        "```",
        "",
        *([f"![{picture[1]}]({picture[0]})", ""] if picture else []),
        *(f"- {fact}: {value}" for fact, value in known.items() if value),
    ]
    if scores:
        lines += ["", SCORES, "Of this file, not of a larger one.", "", *(f"- {score}" for score in scores)]
    lines += [f"\n{section.rstrip()}" for section in _own_sections(before)]
    lines += ["", SETTINGS, "| setting | value |", "|---|---|"]
    settings: dict[str, Any] = flat(to_dict(model.config))
    lines += [f"| {setting.replace('_', '-')} | {value} |" for setting, value in settings.items()]
    return "\n".join(lines) + "\n"


def _classes(model: FSVAE) -> str:
    """Numbers and names of the classes that can be drawn, and how; "" if none can, or none has a name."""
    names = model.class_names[: classes_of(model.latent)]
    listed = ", ".join(name if name == str(i) else f"{i} {name}" for i, name in enumerate(names))
    return f"{listed}; the first alone: `model.sample(64, labels=torch.full((64,), 0))`" if names else ""


def _own_sections(card: str) -> list[str]:
    """Those that `card_of` does not write."""
    _, *sections = re.split(r"^(?=## )", card, flags=re.MULTILINE)
    return [section for section in sections if not section.startswith((SCORES, SETTINGS))]
