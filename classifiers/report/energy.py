"""What an inference of a classifier costs in arithmetic; what is counted, and how: fsvae_tcja/runtime/energy.py."""

from collections.abc import Iterable

from torch import Tensor

from fsvae_tcja.runtime.energy import Energy, Tally

from ..model import SpikingClassifier
from ..parts import Place, observe, parts


def energy(model: SpikingClassifier, inputs: Iterable[Tensor]) -> Energy:
    """Energy of an inference by the operations that batches of inputs caused, in eval mode; see FORMULA.

    Args:
        model: the classifier; it is left as it was.
        inputs: batches, images [N, C, H, W] or sequences [T, N, C, H, W].

    Raises:
        ValueError: no input, images among sequences, or what the model refuses.
    """
    tallies, readers = [], []
    for part in parts(model):
        tally = Tally(part.name, part.weights, part.attention, binary=part.binary, neurons=model.config.neuron.spiking)
        tallies.append(tally)
        if part.weights is not None:
            readers.append((Place(part.weights, "input"), tally.read_inputs))
        if part.spikes:
            readers.append((part.spikes, tally.read_spikes))
    n = observe(model, inputs, readers)
    return Energy(n, model.config.T, tuple(row for tally in tallies for row in tally.rows(model.config.T)))
