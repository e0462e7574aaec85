"""The spiking layer: the fused path against norm, attention and neuron one by one."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from fsvae_tcja.core import FSVAE_LIF, LIF, TCJA, Linear, SpikingLayer, TDBatchNorm

from .conftest import assert_alive

T, N = 4, 6
TRANSFORMS = {
    "conv": lambda: nn.Conv2d(3, 8, 3, 2, 1),
    "conv without bias": lambda: nn.Conv2d(3, 8, 3, 2, 1, bias=False),
    "transposed": lambda: nn.ConvTranspose2d(3, 8, 3, 2, 1, 1),
    "linear": lambda: nn.Linear(12, 8),
}
transforms = pytest.mark.parametrize("transform", TRANSFORMS)
placements = pytest.mark.parametrize("placement", ["current", "spikes", None])
training = pytest.mark.parametrize("train", [True, False])


def build(transform: str, placement: str | None, train: bool) -> tuple[SpikingLayer, SpikingLayer]:
    """One layer on the CPU kernels and its twin on the reference."""
    attention = TCJA(T, 8) if placement else None
    norm = TDBatchNorm(8, FSVAE_LIF.v_th)
    fused = SpikingLayer(TRANSFORMS[transform](), norm, LIF(FSVAE_LIF, "cpu"), attention, placement or "spikes").train(
        train
    )
    nn.init.normal_(norm.weight, 1.0, 0.2)
    nn.init.normal_(norm.bias, 0.1, 0.2)
    norm.running_mean.normal_(0, 0.1)
    norm.running_var.uniform_(0.5, 1.5)
    naive = copy.deepcopy(fused)
    naive.neuron.backend = "reference"
    return fused, naive


def sequence(transform: str) -> torch.Tensor:
    return torch.rand(T, N, 12) if transform == "linear" else torch.rand(T, N, 3, 9, 7)


def agree(fused: SpikingLayer, naive: SpikingLayer, x: torch.Tensor, call) -> None:
    upstream, results = None, []
    for layer in (fused, naive):
        leaf = x.clone().requires_grad_()
        spikes = call(layer, leaf)
        upstream = torch.randn(spikes.shape) if upstream is None else upstream
        results.append((spikes.detach(), torch.autograd.grad(spikes, [leaf, *layer.parameters()], upstream)))
    (spikes, grads), (spikes_ref, grads_ref) = results
    assert_alive(spikes if fused.placement == "current" or fused.attention is None else (spikes > 0).float())
    torch.testing.assert_close(spikes, spikes_ref, rtol=1e-5, atol=1e-6)  # no flip
    scale = max(grad.abs().max() for grad in grads_ref)
    names = ["x", *(n for n, _ in fused.named_parameters())]
    for name, grad, grad_ref in zip(names, grads, grads_ref, strict=True):
        if name == "transform.bias" and fused.training:
            assert (grad == 0).all() and grad_ref.abs().max() < 1e-4 * scale  # the norm takes the bias away
        else:
            torch.testing.assert_close(grad, grad_ref, rtol=1e-3, atol=1e-4 * grad_ref.abs().max().item(), msg=name)
    for buffer, buffer_ref in zip(fused.buffers(), naive.buffers(), strict=True):
        torch.testing.assert_close(buffer, buffer_ref)


@transforms
@placements
@training
def test_fused_is_naive(transform, placement, train, poison):
    agree(*build(transform, placement, train), sequence(transform), lambda layer, x: layer(x))


@placements
@training
def test_static_input(placement, train):
    agree(*build("conv", placement, train), sequence("conv")[0], lambda layer, x: layer.forward_static(x, T))


@placements
@training
def test_the_current_is_what_the_neurons_fire_for(placement, train):
    _, layer = build("conv", placement, train)
    twin, x = copy.deepcopy(layer), sequence("conv")
    spikes, _ = layer.neuron(layer.current(x))
    spikes = layer.attention(spikes) if placement == "spikes" else spikes
    assert_alive((spikes > 0).float())
    assert torch.equal(spikes, twin(x))
    assert all(torch.equal(a, b) for a, b in zip(layer.buffers(), twin.buffers(), strict=True))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_static_is_repeated(backend):
    layer, _ = build("conv", "current", True)
    layer.neuron.backend = backend
    twin = copy.deepcopy(layer)
    x = torch.rand(N, 3, 9, 7)
    a, b = layer.forward_static(x, T), twin(x.expand(T, *x.shape))
    assert_alive(a)
    assert torch.equal(a, b)
    for one, other in zip(layer.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("placement", ["current", None])
def test_checkpointing_saves_memory_and_changes_nothing(backend, placement):
    kept, results = [], []
    layer, _ = build("conv", placement, True)
    layer.neuron.backend = backend
    twin = copy.deepcopy(layer)
    twin.checkpoint = True
    for one in (layer, twin):
        torch.manual_seed(1)
        x, seen = sequence("conv").requires_grad_(), {}
        keep = lambda t, seen=seen: seen.update({t.data_ptr(): t}) or t  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            spikes = one(x)
        kept.append(sum(t.numel() for t in seen.values()))
        results.append([spikes, *torch.autograd.grad(spikes, [x, *one.parameters()], torch.randn_like(spikes))])
    assert_alive(results[0][0])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(layer.buffers(), twin.buffers(), strict=True))
    assert kept[1] <= x.numel() < kept[0]  # at most the input


@transforms
def test_stepping_is_the_sequence_in_eval_mode(transform):
    fused, naive = build(transform, None, False)
    x = sequence(transform)
    with torch.no_grad():
        for layer in (fused, naive):
            v, steps = None, []
            for x_t in x:
                spikes, v = layer.step(x_t, v)
                steps.append(spikes)
            assert_alive(torch.stack(steps))
            assert torch.equal(torch.stack(steps), layer(x))


def test_step_refuses_attention():
    with pytest.raises(ValueError, match="its gate needs all T steps"):
        build("conv", "current", False)[0].step(torch.rand(N, 3, 9, 7))


def test_unknown_placement():
    with pytest.raises(ValueError, match=r"placement must be one of .*, found 'output'"):
        SpikingLayer(nn.Linear(3, 4), TDBatchNorm(4, 0.2), LIF(), placement="output")


@training
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_norm_of_other_channels_is_refused(train, backend):
    """Kernels that read beyond its tables would give any numbers."""
    layer = SpikingLayer(nn.Conv2d(3, 8, 3), TDBatchNorm(5, 0.2), LIF(FSVAE_LIF, backend)).train(train)
    x = sequence("conv")
    for run in (lambda: layer(x), lambda: layer.forward_static(x[0], T), lambda: layer.step(x[0])):
        with pytest.raises(
            ValueError, match="the norm has 5 channels, and the transform gives 8; build the layer with"
        ):
            run()


@pytest.mark.parametrize("placement", ["spikes", "current", None])
def test_no_image_is_no_spike(placement):
    layer = build("conv", placement, False)[0]
    assert layer(sequence("conv")[:, :0]).shape == (T, 0, 8, 5, 4)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("placement", ["spikes", "current"])
@pytest.mark.parametrize("transform", ["conv", "linear"])
def test_compiles_to_one_graph(transform, placement, static):
    layer, _ = build(transform, placement, True)
    twin = copy.deepcopy(layer)
    x = sequence(transform)

    def run(layer):
        return layer.forward_static(x[0], len(x)) if static else layer(x)

    a, b = run(layer), torch.compile(run, fullgraph=True, backend="aot_eager")(twin)
    assert_alive((a != 0).float())
    assert torch.equal(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    for p, q in zip(layer.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    assert torch.equal(layer.norm.running_mean, twin.norm.running_mean)


def test_autocast_stores_halves():
    layer, _ = build("conv", "current", True)
    with torch.autocast("cpu", torch.bfloat16):
        spikes = layer(sequence("conv"))
    assert_alive(spikes.float())
    assert spikes.dtype == torch.bfloat16
    spikes.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("rows", [256, 255, 1])
def test_linear_is_linear(rows):
    ours = Linear(12, 5)
    theirs = nn.Linear(12, 5)
    theirs.load_state_dict(ours.state_dict())
    x, grad = torch.randn(rows, 12), torch.randn(rows, 5)
    results = []
    for layer in (ours, theirs):
        leaf = x.clone().requires_grad_()
        results.append((layer(leaf), *torch.autograd.grad(layer(leaf), [leaf, *layer.parameters()], grad)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_one_input_channel_stays_channels_last():
    """A view of its weight would forget it, and the convolution would then add in another order."""
    layer = SpikingLayer(nn.Conv2d(1, 8, 3), TDBatchNorm(8, FSVAE_LIF.v_th), LIF())
    layer(torch.rand(T, N, 1, 9, 7)).sum().backward()
    weight = layer.transform.weight
    assert weight.grad.stride() == weight.stride()
    assert (layer.transform.bias.grad == 0).all()


@pytest.mark.parametrize("parametrization", [weight_norm, spectral_norm])
def test_a_parametrized_weight_learns(parametrization):
    """Its weight is computed of other parameters, and to assign it would change these."""
    layer = build("conv", None, True)[0]
    parametrization(layer.transform)
    twin = copy.deepcopy(layer)
    twin.transform = nn.Sequential(twin.transform)  # a transform of which the layer knows nothing
    x = sequence("conv")
    for one in (layer, twin):
        spikes = one(x)
        assert_alive(spikes)
        (spikes * torch.linspace(-1, 1, spikes.numel()).view_as(spikes)).sum().backward()
    for (name, p), q in zip(layer.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(p, q), name
        torch.testing.assert_close(p.grad, q.grad, msg=name)
    assert all(p.grad.any() for name, p in layer.named_parameters() if "parametrizations" in name)
