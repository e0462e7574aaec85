"""How often the neurons of a classifier fire."""

from collections.abc import Iterable

from torch import Tensor

from fsvae_tcja.runtime.firing import Firing, Spikes

from ..model import SpikingClassifier
from ..parts import observe, parts


def firing(model: SpikingClassifier, inputs: Iterable[Tensor]) -> Firing:
    """Firing of every spiking layer over batches of inputs, in eval mode.

    A neuron fired where what its layer gives is not 0: with TCJA on the spikes, spikes are graded.

    Args:
        model: the classifier; it is left as it was.
        inputs: batches, images [N, C, H, W] or sequences [T, N, C, H, W].

    Raises:
        ValueError: no input, images among sequences, or what the model refuses.
    """
    spikes = {part.spikes: Spikes(part.name) for part in parts(model) if part.spikes}
    n, T = observe(model, inputs, [(place, found.read) for place, found in spikes.items()]), model.config.T
    return Firing(n, T, tuple(found.layer(T * n) for found in spikes.values()))
