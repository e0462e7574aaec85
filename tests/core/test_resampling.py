"""The halving and doubling convolutions against PyTorch's, whose layers they are."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from fsvae_tcja.core import Doubling, Halving

KINDS = {"halving": Halving, "doubling": Doubling}
PIXELS = [(4, 4), (3, 5), (1, 1), (2, 7), (1, 4)]
kinds = pytest.mark.parametrize("kind", KINDS)


def pair(kind: str, inputs: int = 160, outputs: int = 129) -> tuple[nn.Module, nn.Module]:
    """A layer in float64, and PyTorch's with the same weights."""
    ours = KINDS[kind](inputs, outputs).double()
    theirs = (
        nn.Conv2d(inputs, outputs, 3, 2, 1)
        if kind == "halving"
        else nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)
    )
    theirs.double().load_state_dict(ours.state_dict())
    return ours, theirs


def gradients(layer: nn.Module, x: Tensor, upstream: Tensor) -> dict[str, Tensor]:
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    wanted = {"x": x, **dict(layer.named_parameters())}
    return dict(zip(wanted, torch.autograd.grad(layer(x), list(wanted.values()), upstream), strict=True))


def behind(node: Node | None) -> set[str]:
    """The names of all operations that a gradient passes."""
    return set() if node is None else {node.name()}.union(*(behind(earlier) for earlier, _ in node.next_functions))


@kinds
@pytest.mark.parametrize("pixels", PIXELS)
def test_values_and_gradients_are_those_of_pytorch(kind, pixels):
    for n, layout in product((1, 3), (torch.contiguous_format, torch.channels_last)):
        ours, theirs = (layer.to(memory_format=layout) for layer in pair(kind))
        x = torch.randn(n, 160, *pixels, dtype=torch.float64).to(memory_format=layout)
        y = ours(x)
        assert "ConvolutionBackward0" not in behind(y.grad_fn)
        torch.testing.assert_close(y, theirs(x), rtol=0, atol=1e-12)
        upstream = torch.randn_like(y)
        found, expected = gradients(ours, x, upstream), gradients(theirs, x, upstream)
        for name, grad in expected.items():
            torch.testing.assert_close(found[name], grad, rtol=0, atol=1e-11, msg=lambda m, name=name: f"{name}: {m}")


@kinds
def test_single_precision_rounds_like_pytorch(kind):
    ours, theirs = (layer.float() for layer in pair(kind))
    x = (torch.rand(32, 160, 4, 4) < 0.2).float()
    exact, _ = pair(kind)
    exact.load_state_dict({name: t.double() for name, t in ours.state_dict().items()})
    error, theirs_error = ((layer(x) - exact(x.double())).abs().max() for layer in (ours, theirs))
    assert 0 < error < 4 * theirs_error


@kinds
@pytest.mark.parametrize("frozen", ["x", "weight", "bias"])
def test_what_is_frozen_takes_nothing_from_the_rest(kind, frozen):
    ours, theirs = pair(kind)
    x, results = torch.randn(2, 160, 4, 4, dtype=torch.float64), []
    for layer in (ours, theirs):
        named = {"x": x.clone().requires_grad_(), **dict(layer.named_parameters())}
        named[frozen].requires_grad_(False)
        wanted = [tensor for name, tensor in named.items() if name != frozen]
        results.append(torch.autograd.grad(layer(named["x"]).square().sum(), wanted))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


@kinds
def test_without_a_bias(kind):
    ours, theirs = pair(kind)
    ours.bias = theirs.bias = None
    x = torch.randn(2, 160, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)


@kinds
def test_the_gradient_of_a_channels_last_weight_needs_no_copy(kind):
    layer = pair(kind)[0].to(memory_format=torch.channels_last)
    y = layer(torch.randn(2, 160, 4, 4, dtype=torch.float64))
    (grad,) = torch.autograd.grad(y.sum(), layer.weight)
    assert grad.stride() == layer.weight.stride()


@kinds
@pytest.mark.parametrize("what", ["evaluated", "without gradient", "few channels", "many pixels", "autocast"])
def test_the_rest_is_pytorch_bit_for_bit(kind, what):
    ours, theirs = (layer.float() for layer in pair(kind, *((64, 128) if what == "few channels" else ())))
    x = torch.randn(2, ours.in_channels, *((4, 5) if what == "many pixels" else (4, 4)))
    results = []
    for layer in (ours, theirs):
        layer.train(what != "evaluated")
        with torch.set_grad_enabled(what != "without gradient"), torch.autocast("cpu", enabled=what == "autocast"):
            results.append(layer(x))
    assert torch.equal(*results)
    if what != "without gradient":
        assert "ConvolutionBackward0" in behind(results[0].grad_fn)


@kinds
def test_all_in_bfloat16_is_close_to_pytorch(kind):
    ours, theirs = (layer.bfloat16() for layer in pair(kind))
    x = torch.randn(2, 160, 4, 4, dtype=torch.bfloat16)
    torch.testing.assert_close(ours(x), theirs(x))


@kinds
def test_another_type_than_the_weights_is_an_error_as_in_pytorch(kind):
    for layer in pair(kind):
        with pytest.raises(RuntimeError, match="type"):
            layer(torch.zeros(2, 160, 4, 4))


@kinds
def test_a_call_with_a_wrong_number_of_channels_is_pytorch_s_error(kind):
    ours, _ = pair(kind)
    with pytest.raises(RuntimeError, match="channels"):
        ours(torch.zeros(2, 3, 4, 4, dtype=torch.float64))


def test_doubling_takes_an_output_size():
    ours, theirs = pair("doubling")
    x = torch.randn(1, 160, 3, 3, dtype=torch.float64)
    assert torch.equal(ours(x, [5, 6]), theirs(x, [5, 6]))


@kinds
@pytest.mark.parametrize("train", [True, False])
def test_an_export_holds_the_convolution_for_every_size(kind, train):
    ours, theirs = (layer.float().train(train) for layer in pair(kind))
    shapes = (dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC),)
    exported = torch.export.export(ours, (torch.randn(2, 160, 4, 4),), dynamic_shapes=shapes)
    assert any("conv" in str(node.target) for node in exported.graph.nodes)
    x = torch.randn(3, 160, 6, 8)
    torch.testing.assert_close(exported.module()(x), theirs(x))
