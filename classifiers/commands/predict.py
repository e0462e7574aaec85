"""fsvae-tcja classify predict: the class of image files or event recordings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.utils.options import Device, parse

from .. import checkpoint
from ..accuracy import ends_in_spikes, predict, ranking
from ..files import read_inputs


@dataclass(frozen=True)
class PredictOptions:
    """Name the class of images or recordings."""

    checkpoint: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A .safetensors checkpoint, or a run folder: its best epoch by validation, else its last."""
    files: Annotated[
        tyro.conf.Positional[tuple[Path, ...]],
        tyro.conf.arg(metavar="FILE...", help_behavior_hint="(at least one)"),
    ]
    """Images (png, jpg, ...) or event recordings (.bin, .aedat), as the model was trained on."""
    top: int = 3
    """How many classes to name for each."""
    device: Device = "auto"


def main(args: list[str]) -> int:
    """Print a header, then a line for each input: its classes, the likeliest first, with their mean outputs."""
    options = parse(PredictOptions, "fsvae-tcja classify predict", args)
    if not options.files:
        raise ValueError("name at least one file to classify")
    if options.top < 1:
        raise ValueError(f"--top must be at least 1 class, found {options.top}")
    if absent := [file for file in options.files if not file.exists()]:
        raise FileNotFoundError(f"there is no file {', '.join(map(str, absent))}")
    device = resolve(options.device)
    model = checkpoint.load(options.checkpoint, device)
    path = checkpoint.find(options.checkpoint)
    origin = checkpoint.origin(path)
    names = origin.classes or [str(i) for i in range(model.config.classes)]
    spiking = ends_in_spikes(model)
    values = "firing rates in 0..1" if spiking else "mean logits"
    print(f"{path} ({origin.weights}): classes with their {values}, the largest first")
    for file in options.files:
        for title, x in read_inputs(file, model.config, origin.slices):
            outputs = predict(model, x.to(device)).cpu()
            if spiking and not outputs.any():
                print(f"{title}: no output neuron fired")
                continue
            best = ranking(outputs)[0, : options.top].tolist()
            print(f"{title}: {', '.join(f'{names[i]} {outputs[0, i]:.3f}' for i in best)}")
    return 0
