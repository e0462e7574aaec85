"""fsvae-tcja sample: draw images from a checkpoint."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from ..core.memory import keep_freed_memory
from ..runtime.device import resolve
from ..runtime.export import check_place_of_images, save_images
from ..utils.options import BatchSize, Device, parse
from ..utils.processes import joined, own, rank
from ..utils.progress import Bar, progress
from ..utils.spelling import did_you_mean
from ..vae import FSVAE, load
from ..vae.sample import classes_of, stream

PURE = 0.8  # share of a label in its clusters below which a user is told to expect others


@dataclass(frozen=True)
class SampleOptions:
    """Draw images from a checkpoint."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint, a run folder, or the name of a pretrained model."""
    out: Path = Path("samples.png")
    """A .png: one grid. A .npz: uint8 images [n, H, W, C] under the key "images". Else a folder: one PNG per image."""
    n: int = 64
    """How many images."""
    seed: int = 0
    """Random seed: image i depends on (seed, i) alone."""
    label: Annotated[str | None, tyro.conf.arg(metavar="CLASS")] = None
    """Class of all images, by its name or number (0, 1, ...), of a model that knows classes, or clusters of images that
    had some: how many of these are of the class is then told. None: each as often as in training."""
    temperature: float = 1.0
    """Below 1 likelier codes, above 1 more various ones; of the latent Escape."""
    batch_size: BatchSize = 64
    device: Device = "auto"


def main(args: list[str]) -> int:
    """Draw images: one grid, an .npz, or a folder of PNG files. Processes of torchrun share them, the first writes."""
    with joined():
        options = parse(SampleOptions, "fsvae-tcja sample", args)
        if rank() == 0:
            check_place_of_images(options.out)
        keep_freed_memory()
        model = load(options.checkpoint, own(resolve(options.device)))
        label = None if options.label is None else _label(options.label, model)
        labels = None if label is None else torch.full((max(options.n, 0),), label)  # n is checked below
        drawn = stream(
            model,
            options.n,
            options.seed,
            batch_size=options.batch_size,
            labels=labels,
            temperature=options.temperature,
            together=True,
        )
        with progress("draw", options.n, "images") as bar:
            if rank() == 0:
                save_images(_counted(drawn, bar), options.out, _title(options, _called(label, model)))
            else:
                for _ in drawn:
                    pass
        print(f"drew {options.n} images (seed {options.seed}): {options.out}")
        if label is not None and model.latent.label_counts:
            print(_note(_called(label, model), model.latent.label_counts.purity(label)))
    return 0


def _label(given: str, model: FSVAE) -> int:
    """The number of a class that is given by its name, or by its number where no class is called so."""
    classes = classes_of(model.latent)
    names = model.class_names[:classes]
    if given in names:
        return names.index(given)
    if classes and not (given.isdecimal() and int(given) < classes):
        named = f"{', '.join(names)}, or its number, " if names else ""
        raise ValueError(
            f"--label must be one of the model's classes, {named}0 to {classes - 1}; found {given}"
            f"{did_you_mean(given, names)}"
        )
    return int(given) if classes else 0  # without classes any label is refused


def _called(label: int | None, model: FSVAE) -> str:
    """What a class is called; None: ""."""
    return "" if label is None else dict(enumerate(model.class_names)).get(label, str(label))


def _note(label: str, purity: float) -> str:
    """How far images that were drawn by cluster are of a label."""
    found = f"on average {purity:.0%} of the training images in the clusters drawn from have label {label}"
    other = "; expect others too, or train a model that knows labels: fsvae-tcja train PRESET --conditional"
    return f"note: this model knows clusters, not labels: {found}{other if purity < PURE else ''}"


def _title(options: SampleOptions, called: str) -> str:
    label = f", class {called}" if called else ""
    heat = "" if options.temperature == 1 else f", temperature {options.temperature:g}"
    return f"{options.checkpoint.resolve().name}: drawn, seed {options.seed}{label}{heat}"


def _counted(batches: Iterable[Tensor], bar: Bar) -> Iterator[Tensor]:
    for images in batches:
        bar.advance(len(images))
        yield images
