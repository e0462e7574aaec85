"""What a resumed run may change: its length, and nothing else."""

import os
from dataclasses import replace
from typing import Any

from ..utils.configuration import from_dict, to_dict
from .config import TrainerConfig
from .run import RunFolder, flat
from .schedule import factor

LENGTH = ("epochs", "steps")


def check_same(trained: dict[str, Any], config: TrainerConfig, run: RunFolder, same_data: bool) -> TrainerConfig:
    """The configuration that a run was trained with, as `config` but for its length.

    Data that are known to be the same may have another name: they have moved.

    Raises:
        ValueError: it differs in more; what differs is named.
    """
    before = from_dict(type(config), trained)  # a run of an older version has defaults where it knew no such setting
    as_given = config.data == os.path.abspath(before.data)  # older versions kept the path as it was given
    if same_data or as_given:
        before = replace(before, data=config.data)
    there, here = flat(to_dict(before)), flat(to_dict(config))
    different = sorted(k for k in there.keys() | here.keys() if k not in LENGTH and there.get(k) != here.get(k))
    if different:
        pairs = ", ".join(f"{k}: {there.get(k)} there, {here.get(k)} here" for k in different)
        raise ValueError(
            f"{run.path} was trained with another configuration ({pairs}); resume it without changes, "
            "or without naming a preset: --resume alone takes the run's own configuration"
        )
    return before


def lengthened(before: TrainerConfig, now: TrainerConfig, step: int, steps_per_epoch: int, run: RunFolder) -> list[str]:
    """What there is to say about a run that goes on after `step` for longer (or shorter) than it was meant to.

    The first stage is what changes in length; `steps_per_epoch` is its.

    Raises:
        ValueError: it has done more than `now` has steps, or its first stage is over.
    """
    there, here = (config.total_steps(steps_per_epoch) for config in (before, now))
    if there == here:
        return []
    if step > there:
        raise ValueError(
            f"{run.path} has finished its first stage, {there} steps: --epochs and --steps lengthen that one; do what "
            f"is left without them (--resume {run.path}), or start a new run from its weights (--init-from {run.path})"
        )
    if here < step:
        raise ValueError(
            f"{run.path} has done {step} steps of {steps_per_epoch} an epoch, more than the {here} asked for; ask for "
            "more --epochs or --steps"
        )
    alone = len(now.stages()) == 1
    what, rest = ("the run", "") if alone else ("the first stage", "; the later ones stay as they were")
    messages = [f"{what} has {here:,} steps now, {there:,} before{rest}"]
    if tied := now.tied_to_length():
        rates = [now.lr * factor(config, step, total) for config, total in ((before, there), (now, here))]
        change = f" (learning rate {rates[0]:.3g} -> {rates[1]:.3g})" if rates[0] != rates[1] else ""
        messages.append(
            f"{' and '.join(tied)}: stretched to the new length from here on{change}; the result is not that of a run "
            "that had this length from the start"
        )
    return messages
