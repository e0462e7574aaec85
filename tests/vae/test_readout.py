import pytest
import torch

from fsvae_tcja.vae import READOUTS

T, CHANNELS = 7, 3


class Given:
    """Stands for the last block: gives the spikes that it is called with."""

    def __call__(self, spikes):
        return spikes

    def summed(self, spikes, coefficients):
        return torch.tensordot(coefficients, spikes, 1)


def spikes():
    return (torch.rand(T, 2, CHANNELS, 32, 32, generator=torch.Generator().manual_seed(0)) < 0.3).double()


@pytest.mark.parametrize("name", ["membrane", "mean"])
def test_summing_before_the_last_convolution_is_exact(name):
    readout = READOUTS[name].build(T, CHANNELS, 1).double()
    y = torch.stack([readout.conv(x_t) for x_t in spikes()])
    if name == "membrane":
        total = torch.zeros_like(y[0])
        for y_t in y:  # a LIF that never fires
            total = 0.8 * total + y_t
    else:
        total = y.mean(0)
    torch.testing.assert_close(readout(Given(), spikes()), torch.tanh(total))


def test_the_tcja_readout_gates_then_sums():
    readout = READOUTS["tcja"].build(T, CHANNELS, 3).double()
    y = torch.stack([readout.conv(x_t) for x_t in spikes()])
    gate = readout.attention.gate(y)
    torch.testing.assert_close(readout(Given(), spikes()), torch.tanh((gate[..., None, None] * y).sum(0)))
    assert readout.attention.tla.weight.shape == (3, 3, 4)
    assert readout.attention.cla.weight.shape == (7, 7, 1)
