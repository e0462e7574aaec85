"""The report on a trained classifier: one folder of pictures and JSON, one text."""

from collections.abc import Iterator
from itertools import islice
from math import ceil, isnan
from pathlib import Path

from torch import Tensor

from fsvae_tcja.data import LabelledDataset
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
        n: first inputs of the split, for firing, energy and gates; whole batches, at least one.
        batch_size: inputs per pass.

    Returns:
        the report as text.
    """
    if n < 1:
        raise ValueError(f"at least one input must be looked at, found n = {n}")
    evaluation = evaluate(model, data, batch_size)
    device = next(model.parameters()).device

    def first() -> Iterator[Tensor]:
        return (x for x, _ in islice(inputs(data, min(batch_size, n), device), ceil(n / batch_size)))

    fired, cost = firing(model, first()), energy(model, first())
    what = f"{data.name} {data.split}"
    title = f"{what}: accuracy {evaluation.accuracy:.2%}, n = {evaluation.n:,}, {weights}"
    save_confusion(evaluation.confusion, folder / "confusion.png", title, data.class_names)
    save_firing(fired, folder / "firing.png", f"{what}: firing over the first {fired.n:,} inputs")
    if mean := mean_gates(model, first()):
        save_gates(mean, folder / "gates.png", f"{what}: mean gate over the first {fired.n:,} inputs")
        one = {name: gate[:, 0] for name, gate in gates(model, next(iter(first()))[..., :1, :, :, :]).items()}
        save_gates(one, folder / "gates-first-input.png", f"{what}: gate of the first input")
    write_json(folder / "evaluation.json", _plain(data, weights, evaluation, fired, cost))
    return "\n\n".join(
        [title, *_silent(evaluation), _classes(data, evaluation), fired.table(), *warnings(fired), cost.text()]
    )


def _silent(evaluation: Evaluation) -> list[str]:
    if evaluation.silent is None:
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


def _plain(data: LabelledDataset, weights: str, evaluation: Evaluation, fired: Firing, cost: Energy) -> dict:
    layers = {
        layer.name: {"rate": layer.rate, "dead": layer.dead, "saturated": layer.saturated} for layer in fired.layers
    }
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
        "firing": {"n": fired.n, "layers": layers},
        "energy": {
            "n": cost.n,
            "snn_pj": cost.pj,
            "snn_pj_if_zeros_are_free": cost.sparse_pj,
            "ann_pj": cost.ann_pj,
            "notes": FORMULA.splitlines(),
        },
    }
