"""The draw from a network with escape-noise output neurons: kernel against reference."""

import pytest
import torch

from fsvae_tcja.core import CENTRED_LIF, LIF, TCJA_LIF, LIFParams, NeuronModule
from fsvae_tcja.core.escape import BLOCK, escape_draw
from fsvae_tcja.core.kernels.escape import reference, register
from fsvae_tcja.core.kernels.escape.inputs import Inputs

from .conftest import FAMILIES, assert_alive, name

SIZES = [(65, 4, 3, 24), (1, 1, 5, 7), (3, 6, 1, 7), (65, 2, 16, 33), (3, 3, 2, 1)]  # N, M, B, H


def network(N, M, B, H, K=1, seed=0, exact=False) -> Inputs:
    """Weights at which bits and neurons fire and are silent; exact: sums are the same in every order."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape, scale=1.0):
        x = scale * torch.randn(*shape, generator=generator)
        return (x * 32).round() / 32 if exact else x

    return Inputs(
        torch.rand(N, M, B, generator=generator),
        normal(K, N, H),
        normal(K, N, M * B),
        2.0 ** torch.randint(-2, 1, (H,), generator=generator),
        normal(M, H, scale=0.5),
        normal(M, B, H),
        normal(M, H, B, scale=2 / H**0.5),
        normal(M * B, M * B, scale=0.5),
    )


class Watched(LIF):
    """LIF neurons that run by the reference and keep what they fired."""

    def __init__(self, params):
        super().__init__(params, "reference")
        self.fired = []

    def step(self, x, v=None):
        s, v = super().step(x, v)
        self.fired.append(s)
        return s, v


def escape_by_reference(inputs: Inputs, params: LIFParams, guidance: float):
    """Bits and membranes of the reference, in which some neurons fired and some were silent."""
    neuron = Watched(params)
    found = reference.draw(inputs, guidance, neuron.step)
    if inputs.V.shape[1] > 1:
        assert_alive(torch.stack(neuron.fired))
    return found


def both(inputs: Inputs, params: LIFParams, guidance=0.0):
    """Bits and membranes of the kernel and of the reference."""
    found = register.draw(*inputs, guidance, params.fused_constants.constants)
    return found, escape_by_reference(inputs, params, guidance)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_every_bit_and_membrane_where_sums_are_exact(sizes, guidance, poison):
    for seed in range(4):
        inputs = network(*sizes, K=2 if guidance else 1, seed=seed, exact=True)
        (z, u), (bits, membranes) = both(inputs, CENTRED_LIF, guidance)
        assert torch.equal(u, membranes) and torch.equal(z, bits)
        assert sizes[0] < 65 or 0.1 < z.mean() < 0.9


@pytest.mark.parametrize("params", FAMILIES, ids=name)
def test_every_family(params):
    (z, u), (bits, membranes) = both(network(9, 4, 3, 24, exact=True), params)
    assert torch.equal(z, bits)
    torch.testing.assert_close(u, membranes, atol=0, rtol=0)


@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_equal_bits_where_sums_round(guidance):
    """A neuron whose membrane lies within the rounding of the threshold is not to be expected in as few."""
    for seed in range(20):
        inputs = network(65, 8, 4, 64, K=2 if guidance else 1, seed=seed)
        (z, u), (bits, membranes) = both(inputs, CENTRED_LIF, guidance)
        assert torch.equal(z, bits)
        torch.testing.assert_close(u, membranes, atol=5e-5, rtol=1e-5)


def test_bits_that_are_given_have_the_membranes_that_they_are_drawn_by():
    inputs, constants = network(65, 6, 4, 40), CENTRED_LIF.fused_constants.constants
    z, u = register.draw(*inputs, 0.0, constants)
    again, membranes = register.draw(*inputs._replace(noise=1 - 2 * z), 0.0, constants)
    assert torch.equal(again, z) and torch.equal(membranes, u)
    assert_alive(z)


def test_given_bits_fire_at_every_membrane():
    inputs = network(65, 6, 4, 40)
    given = (torch.rand(65, 6, 4) < 0.5).float()
    inputs = inputs._replace(noise=1 - 2 * given, direct=200 * inputs.direct)
    (z, u), (bits, _) = both(inputs, CENTRED_LIF)
    assert u.min() < -200 and u.max() > 200
    assert torch.equal(z, given) and torch.equal(bits, given)


@pytest.mark.parametrize("params", [CENTRED_LIF, TCJA_LIF], ids=["centred", "tcja"])
@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_image_does_not_depend_on_the_others(params, backend, threads):
    inputs, neuron = network(150, 8, 4, 100, K=2), LIF(params, backend)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        z, u = escape_draw(inputs, neuron, 1.5)
        for part in (slice(0, 1), slice(0, BLOCK), slice(0, BLOCK + 1), slice(17, 20), slice(149, 150)):
            few = inputs._replace(noise=inputs.noise[part], start=inputs.start[:, part], direct=inputs.direct[:, part])
            for found, whole in zip(escape_draw(few, neuron, 1.5), (z, u), strict=True):
                assert torch.equal(found, whole[part])
    finally:
        torch.set_num_threads(before)


def test_other_neurons_and_float64_run_by_the_reference():
    class Silent(NeuronModule):
        def step(self, x, v=None):
            return torch.zeros_like(x), x

    inputs = network(3, 4, 3, 7)
    z, u = escape_draw(inputs, Silent(CENTRED_LIF))
    assert torch.equal(escape_draw(inputs._replace(V=torch.randn_like(inputs.V)), Silent(CENTRED_LIF))[1], u)
    assert not torch.equal(escape_draw(inputs, LIF(CENTRED_LIF))[1], u)
    wide = Inputs(*(x.double() for x in inputs))
    z, u = escape_draw(wide, LIF(CENTRED_LIF))
    assert z.dtype == u.dtype == torch.float64
    torch.testing.assert_close(u.float(), escape_draw(inputs, LIF(CENTRED_LIF))[1], atol=1e-5, rtol=1e-5)


def test_no_images():
    z, u = escape_draw(network(0, 4, 3, 7), LIF(CENTRED_LIF))
    assert z.shape == u.shape == (0, 4, 3)


def test_opcheck():
    torch.library.opcheck(register.draw, (*network(3, 4, 3, 7, K=2), 0.5, CENTRED_LIF.fused_constants.constants))
