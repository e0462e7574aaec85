"""The learnt gates of TCJA for inputs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor

from fsvae_tcja.core import TCJA

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
    found: dict[str, Tensor] = {}
    with _recorded(model, found.__setitem__):
        observe(model, [x])
    return found


def mean_gates(model: SpikingClassifier, inputs: Iterable[Tensor]) -> dict[str, Tensor]:
    """The gates averaged over batches of inputs: {layer: [T, C']}; their mean is the layer's. Otherwise as `gates`."""
    sums: dict[str, Tensor] = {}

    def add(name: str, gate: Tensor) -> None:
        sums[name] = sums.get(name, 0) + gate.sum(1)

    with _recorded(model, add):
        n = observe(model, inputs)
    return {name: total / n for name, total in sums.items()}


@contextmanager
def _recorded(model: SpikingClassifier, record: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Inside, `record` is called with every gate and the name of its layer.

    A fused layer calls the method `TCJA.gate` and not the module, so there is nothing to hook: a function in the
    instance stands before the method.
    """
    attentions = {part.name: part.attention for part in parts(model) if part.attention is not None}
    for name, attention in attentions.items():
        vars(attention)["gate"] = _recording(attention, name, record)
    try:
        yield
    finally:
        for attention in attentions.values():
            del vars(attention)["gate"]


def _recording(attention: TCJA, name: str, record: Callable[[str, Tensor], None]) -> Callable[[Tensor], Tensor]:
    compute = attention.gate

    def gate(x: Tensor) -> Tensor:
        found = compute(x)
        record(name, found)
        return found

    return gate
