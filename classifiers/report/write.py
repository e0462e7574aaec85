"""The report on a trained classifier: one folder of pictures and JSON, one text."""

from collections.abc import Iterator
from math import isnan
from pathlib import Path

import torch
from torch import Tensor

from fsvae_tcja.data import LabelledDataset
from fsvae_tcja.data.dataset import Subset, some
from fsvae_tcja.data.names import short_name
from fsvae_tcja.runtime.energy import FORMULA, Energy
from fsvae_tcja.runtime.firing import Firing, warnings
from fsvae_tcja.utils.atomic import write_json
from fsvae_tcja.utils.tables import table

from ..accuracy import Evaluation, evaluate, inputs
from ..model import SpikingClassifier
from .energy import energy
from .figures import save_confusion, save_firing, save_gates
from .firing import firing
from .gates import gates, mean_gates

EVALUATION = "evaluation.json"


def write_report(
    model: SpikingClassifier,
    data: LabelledDataset,
    folder: Path,
    weights: str,
    *,
    n: int = 256,
    batch_size: int = 64,
) -> str:
    """Evaluate on a split and write evaluation.json, confusion.png, firing.png, and with TCJA gates.png (mean) and
    gates-first-input.png.

    Args:
        model: the classifier.
        data: the split.
        folder: where to; files of these names are replaced.
        weights: which weights these are, for the title, such as "epoch 2, best by validation".
        n: `some` inputs of the split, for firing, energy and gates.
        batch_size: inputs per pass.

    Returns:
        the report as text.
    """
    if n < 1:
        raise ValueError(f"at least one input must be looked at, found n = {n}")
    evaluation = evaluate(model, data, batch_size)
    device = next(model.parameters()).device

    looked_at = some(data, n)

    def shown() -> Iterator[Tensor]:
        return (x for x, _ in inputs(looked_at, batch_size, device))

    fired, cost = firing(model, shown()), energy(model, shown())
    name = short_name(data.name)
    what = f"{name} {data.split}"
    title = f"{what}: accuracy {evaluation.accuracy:.2%}, n = {evaluation.n:,}, {weights}"
    save_confusion(evaluation.confusion, folder / "confusion.png", title, data.class_names)
    save_firing(fired, folder / "firing.png", f"{name} {looked_at.split}: firing")
    if mean := mean_gates(model, shown()):
        save_gates(mean, folder / "gates.png", f"{name} {looked_at.split}: mean gate")
        first, _ = next(inputs(Subset(data, torch.tensor([0])), 1, device))
        one = {name: gate[:, 0] for name, gate in gates(model, first).items()}
        save_gates(one, folder / "gates-first-input.png", f"{what}: gate of the first input")
    write_json(folder / EVALUATION, _plain(data, looked_at.split, weights, evaluation, fired, cost))
    return "\n\n".join(
        [
            title,
            *silent_outputs(evaluation),
            _classes(data, evaluation),
            f"looked at: {data.name} {looked_at.split}",
            fired.table(),
            *warnings(fired),
            cost.text(),
        ]
    )


def silent_outputs(evaluation: Evaluation) -> list[str]:
    """How many inputs made no output neuron fire; nothing where there are none, or where they are not counted."""
    if not evaluation.silent:
        return []
    return [
        f"no output neuron fired for {evaluation.silent:,} of {evaluation.n:,} inputs, which count as the first class"
    ]


def _classes(data: LabelledDataset, evaluation: Evaluation) -> str:
    rows = [
        (name, f"{total:,}", f"{accuracy:.2%}" if total else "-")
        for name, total, accuracy in zip(
            data.class_names, evaluation.confusion.sum(1).tolist(), evaluation.per_class.tolist(), strict=True
        )
    ]
    return table(("class", "n", "accuracy"), rows)


def _plain(
    data: LabelledDataset, looked_at: str, weights: str, evaluation: Evaluation, fired: Firing, cost: Energy
) -> dict:
    return {
        "data": data.name,
        "split": data.split,
        "weights": weights,
        "n": evaluation.n,
        "accuracy": evaluation.accuracy,
        "silent_outputs": evaluation.silent,
        "classes": list(data.class_names),
        "per_class": [None if isnan(accuracy) else accuracy for accuracy in evaluation.per_class.tolist()],
        "confusion": evaluation.confusion.tolist(),
        "firing": {"of": looked_at, "n": fired.n, "layers": fired.plain()},
        "energy": {
            "of": looked_at,
            "n": cost.n,
            "snn_pj": cost.pj,
            "snn_pj_if_zeros_are_free": cost.sparse_pj,
            "ann_pj": cost.ann_pj,
            "notes": FORMULA.splitlines(),
        },
    }
