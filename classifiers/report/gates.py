"""The learnt gates of TCJA for inputs."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from fsvae_tcja.core import record_gates
from fsvae_tcja.core.gates import read_gates

from ..model import SpikingClassifier
from ..parts import observe, parts


def gates(model: SpikingClassifier, x: Tensor) -> dict[str, Tensor]:
    """The gates of one batch, in eval mode.

    Args:
        model: the classifier; it is left as it was.
        x: images [N, C, H, W] or sequences [T, N, C, H, W].

    Returns:
        {layer: F [T, N, C'] in (0, 1)}, C' the channels of the layer; empty without TCJA.

    Raises:
        ValueError: what the model refuses.
    """
    with record_gates(model) as found:
        observe(model, [x])
    return _named(model, found)


def mean_gates(model: SpikingClassifier, inputs: Iterable[Tensor]) -> dict[str, Tensor]:
    """The gates averaged over batches of inputs: {layer: [T, C']}; their mean is the layer's. Otherwise as `gates`."""
    sums: dict[str, Tensor] = {}

    def add(name: str, gate: Tensor) -> None:
        total = gate.sum(1)
        sums[name] = sums[name] + total if name in sums else total

    with read_gates(model, add):
        n = observe(model, inputs)
    return _named(model, {name: total / n for name, total in sums.items()})


def _named(model: SpikingClassifier, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gates under the names of the report's layers."""
    names = {part.attention: part.name for part in parts(model)}
    layers = dict(model.named_modules())
    return {names[layers[place].attention]: gate for place, gate in found.items()}
