"""The encoder as NIR (Pedersen et al. 2024, arXiv 2311.14641), a .nir, and NIR of such layers back.

NIR holds convolutions and leaky integrate-and-fire neurons; it has no gates (TCJA), no random draws (the latent) and no
transposed convolutions (the decoder). A batch norm is folded into the convolution before it. The linear layer to the
code is a convolution over the 2x2 pixels that reach it: the code is [L, 1, 1] at each step.

    NIR   tau dv/dt = v_leak - v + r I, a spike and v = v_reset where v > v_threshold
    here  u_t = decay v_{t-1} + gain x_t: an Euler step of DT, decay = 1 - DT / tau, gain = r DT / tau
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..core import FSVAE_LIF, LIF, LIFParams, SpikingLayer
from ..utils.atomic import replacing
from ..utils.foreign import reading
from ..vae import FSVAE

if TYPE_CHECKING:
    from nir import NIRGraph, NIRNode

DT = 1e-4  # seconds a step; snnTorch, norse and others take the same
SUFFIX = ".nir"
DRAWS = "the latent draws, and NIR has no random numbers"
TRANSPOSED = "the decoder has transposed convolutions, and NIR has none"
REFUSED = {"latent": DRAWS, "noise": DRAWS, "decoder": TRANSPOSED, "z": TRANSPOSED}


def export_nir(model: FSVAE, path: str | Path, what: str = "encoder") -> str:
    """Write a part, whole or not at all; returns what goes into it and what comes out.

    Args:
        model: by its running statistics; it is left as it was.
        path: the file, a .nir.
        what: "encoder", the only part that NIR can hold.

    Raises:
        ValueError: another suffix, another part, a layer with TCJA, or neurons that are no LIF neurons with hard reset.
        ModuleNotFoundError: the extra `nir` is not installed.
    """
    import nir

    if what != "encoder":
        raise ValueError(f"{what!r} is no part for NIR: {REFUSED.get(what, 'unknown')}; there is 'encoder'")
    graph = encoder_graph(model)
    with replacing(path, SUFFIX) as temporary:
        nir.write(temporary, graph)
    c = model.config
    return (
        f"images [{c.in_channels}, {c.image_size}, {c.image_size}] in [-1, 1] at each of T = {c.T} steps of {DT} s -> "
        f"spikes [L, 1, 1] = [{c.L}, 1, 1]"
    )


def encoder_graph(model: FSVAE) -> "NIRGraph":
    """Image or frame -> spikes of the code, a chain of convolutions and LIF neurons. Errors as in `export_nir`."""
    import nir

    c = model.config
    if c.latent.takes_current:
        raise ValueError("the last neurons of this encoder fire by chance, and NIR's LIF does not: it cannot hold them")
    shape = np.array([c.in_channels, c.image_size, c.image_size])
    nodes: dict[str, NIRNode] = {"input": nir.Input({"input": shape})}
    blocks = {f"encoder.blocks.{i}": block for i, block in enumerate(model.encoder.blocks)}
    for name, layer in {**blocks, "encoder.to_latent": model.encoder.to_latent}.items():
        if not isinstance(layer, SpikingLayer):
            raise ValueError(
                f"{name} has no neurons: its latent takes numbers and no spikes, and the chain ends in LIF"
            )
        params = _known(name, layer)
        weight, bias = (x.detach().cpu().float().numpy() for x in _folded(layer, shape))
        stride, padding = (2, 1) if isinstance(layer.transform, nn.Conv2d) else (1, 0)
        convolution = nir.Conv2d(tuple(shape[1:]), weight, stride, padding, 1, 1, bias)
        shape = convolution.output_type["output"]
        lif = _lif(params, shape)
        nodes |= {f"{name}.transform".replace(".", "_"): convolution, f"{name}.neuron".replace(".", "_"): lif}
    nodes["output"] = nir.Output({"output": shape})
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), metadata={})


def _known(name: str, layer: SpikingLayer) -> LIFParams:
    """The neurons of a layer that NIR can hold."""
    if layer.attention is not None:
        raise ValueError(f"{name} has TCJA, and NIR has no gates: train a model without it in the encoder")
    params = layer.neuron.params
    if type(layer.neuron) is not LIF or not isinstance(params, LIFParams) or not params.hard_reset or params.decay == 1:
        raise ValueError(f"{name} has neurons that NIR's LIF cannot be: it leaks and is reset to 0, found {params}")
    return params


def _folded(layer: SpikingLayer, shape: np.ndarray) -> tuple[Tensor, Tensor]:
    """Transform and norm as one convolution, weight [C, C_in, K, K] and bias [C], for inputs of this shape."""
    transform, norm = layer.transform, layer.norm
    assert isinstance(transform, nn.Conv2d | nn.Linear) and transform.bias is not None
    scale, shift = norm.affine(norm.running_mean.double(), norm.running_var.double())
    weight = transform.weight if isinstance(transform, nn.Conv2d) else transform.weight.unflatten(1, tuple(shape))
    return scale[:, None, None, None] * weight, scale * transform.bias + shift


def _lif(params: LIFParams, shape: np.ndarray) -> "NIRNode":
    import nir

    kept = 1 - params.decay
    threshold = params.v_th if params.strict else np.nextafter(np.float32(params.v_th), np.float32(0))  # it fires above
    numbers = {"tau": DT / kept, "r": params.gain / kept, "v_leak": 0.0, "v_threshold": float(threshold)}
    return nir.LIF(**{name: np.full(shape, value) for name, value in numbers.items()})


class Chain(nn.Module):
    """Convolutions and LIF neurons in a row: [T, N, C, H, W] -> spikes [T, N, C', H', W']."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)[0] if isinstance(layer, LIF) else layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return x


def import_nir(path: str | Path) -> Chain:
    """The layers of a .nir that is a chain of convolutions and LIF neurons, such as `export_nir` writes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such file as NIR writes, another graph, or a node of another kind.
        ModuleNotFoundError: the extra `nir` is not installed.
    """
    import nir

    if not Path(path).is_file():
        raise FileNotFoundError(f"no NIR graph at {path}")
    with reading(path, "holds no layers that can be read"):
        graph = nir.read(path)
        return Chain([_layer(graph.nodes[name], f"{path}: {name}") for name in _between(graph, path)])


def _between(graph: "NIRGraph", path: str | Path) -> list[str]:
    """The nodes of a chain between its input and its output, in their order."""
    import nir

    after = dict(graph.edges)
    names = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(names) == 1 and len(after) == len(graph.edges) == len(graph.nodes) - 1:
        for _ in after:
            names.append(after.get(names[-1], ""))
    if sorted(names) != sorted(graph.nodes) or not isinstance(graph.nodes[names[-1]], nir.Output):
        raise ValueError(f"{path} is no chain: each node must lead to one other, from one input to one output")
    return names[1:-1]


def _layer(node: "NIRNode", where: str) -> nn.Module:
    import nir

    if isinstance(node, nir.Conv2d):
        (outputs, inputs, *_), groups = node.weight.shape, int(node.groups)
        kernel, stride, dilation = map(_pair, (node.weight.shape[2:], node.stride, node.dilation))
        padding = node.padding if isinstance(node.padding, str) else _pair(node.padding)
        layer = nn.Conv2d(inputs * groups, outputs, kernel, stride, padding, dilation, groups)
        layer.load_state_dict({"weight": torch.from_numpy(node.weight), "bias": torch.from_numpy(node.bias)})
        return layer
    if isinstance(node, nir.LIF):
        found = [np.unique(x) for x in (node.tau, node.r, node.v_threshold, node.v_leak, node.v_reset)]
        if any(len(values) > 1 for values in found) or found[3] != 0 or found[4] != 0:
            raise ValueError(f"{where}: the neurons of a layer must be alike, with v_leak and v_reset 0")
        tau, r, threshold = (float(values[0]) for values in found[:3])
        return LIF(LIFParams(1 - DT / tau, r * DT / tau, threshold, True, True, False, FSVAE_LIF.surrogate))
    raise ValueError(f"{where} is a {type(node).__name__}; expected a Conv2d or a LIF")


def _pair(values: Sequence[int]) -> tuple[int, int]:
    rows, columns = values
    return int(rows), int(columns)
