"""The learnt gates of TCJA for inputs."""

from collections.abc import Iterable

from torch import Tensor

from fsvae_tcja.core import record_gates

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
    return _recorded(model, [x])


def mean_gates(model: SpikingClassifier, inputs: Iterable[Tensor]) -> dict[str, Tensor]:
    """The gates averaged over batches of inputs: {layer: [T, C']}; their mean is the layer's. Otherwise as `gates`."""
    return {name: gate.mean(1) for name, gate in _recorded(model, inputs).items()}


def _recorded(model: SpikingClassifier, inputs: Iterable[Tensor]) -> dict[str, Tensor]:
    """Gates under the names of the report's layers."""
    names = {part.attention: part.name for part in parts(model)}
    layers = dict(model.named_modules())
    with record_gates(model) as found:
        observe(model, inputs)
    return {names[layers[place].attention]: gate for place, gate in found.items()}
