"""fsvae-tcja classify evaluate: the report on a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fsvae_tcja.data import LabelledDataset
from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.utils.options import BatchSize, DataRoot, Device, Download, parse
from fsvae_tcja.utils.streams import tell

from .. import checkpoint
from ..data import load_split
from ..model import SpikingClassifier
from ..report import write_report
from ..report.write import EVALUATION


@dataclass(frozen=True)
class EvaluateOptions:
    """Accuracy, confusion, firing, energy and gates of a checkpoint."""

    checkpoint: tyro.conf.Positional[Path]
    """A .safetensors checkpoint, or a run folder: its best epoch by validation, else its last."""
    data: Annotated[str | None, tyro.conf.arg(metavar="NAME|FOLDER")] = None
    """Data set by name or folder; by default the one that the model was trained on."""
    split: Literal["train", "valid", "test"] = "test"
    """Split of the data set."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of the report; by default evaluation-SPLIT beside the checkpoint."""
    n_looked_at: int = 256
    """How many inputs firing, energy and mean gates are taken over: of a published data set the first, else drawn by a
    fixed permutation."""
    batch_size: BatchSize = 64
    data_root: DataRoot = None
    download: Download = False
    device: Device = "auto"


def main(args: list[str]) -> int:
    """Write and print the report."""
    options = parse(EvaluateOptions, "fsvae-tcja classify evaluate", args)
    model = checkpoint.load(options.checkpoint, resolve(options.device))
    path = checkpoint.find(options.checkpoint)
    _check_finite(path, model)
    origin = checkpoint.origin(path)
    name = options.data or origin.data
    if name is None:
        raise ValueError(f"{path} does not say what it was trained on; name a data set with --data")
    data = load_split(
        name,
        options.split,
        model.config,
        slices=origin.slices,
        validation=origin.validation,
        root=options.data_root,
        download=options.download,
    )
    _check_names(path, origin.classes or data.class_names, data)
    out = options.out or path.parent / f"evaluation-{options.split}"
    if (out / EVALUATION).exists():
        tell(f"{out} holds a report already, which will be replaced")
    print(write_report(model, data, out, origin.weights, n=options.n_looked_at, batch_size=options.batch_size))
    print(f"\nreport: {out}")
    return 0


def _check_finite(path: Path, model: SpikingClassifier) -> None:
    """Weights that are no numbers fire nowhere, which would be reported as a result."""
    bad = [name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()]
    if bad:
        raise ValueError(
            f"{path} holds weights that are not finite, {bad[0]} and {len(bad) - 1} more: the training went astray; "
            "train anew with a lower --lr, or evaluate an earlier checkpoint"
        )


def _check_names(path: Path, names: Sequence[str], data: LabelledDataset) -> None:
    """Outputs mean the classes that the model was trained on, in that order."""
    for i, (there, here) in enumerate(zip(names, data.class_names, strict=True)):
        if there != here:
            raise ValueError(
                f"{path} was trained on other classes: its class {i} is {there!r}, that of {data.name} {here!r}; "
                "evaluate it on data of the same classes"
            )
