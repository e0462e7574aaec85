"""What TCJA lets through while a model runs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from .tcja import TCJA


@contextmanager
def record_gates(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside, the gates that a model computes are kept: `with record_gates(model) as gates: model(images)`.

    Gives {layer: F [T, N, C] in (0, 1)}, detached; a layer is called as in the model, "decoder.blocks.2". Of several
    passes the N stand one after the other, images that a pass was padded with among them: `FSVAE.sample` pads to
    blocks of 16, on a GPU to 1, 2, 4, ... of them. Empty before the first pass, and without TCJA.
    """
    gates: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, TCJA):
                stack.enter_context(_recorded(module, name.removesuffix(".attention"), gates))
        yield gates


@contextmanager
def _recorded(attention: TCJA, name: str, gates: dict[str, Tensor]) -> Iterator[None]:
    """A fused layer calls `TCJA.gate` and not the module, so no hook sees it: a function in the instance stands before
    the method. The hook beside it says that somebody looks, and no CUDA graph is replayed (vae/replay.py)."""
    seen = attention.register_forward_hook(lambda *_: None)
    vars(attention)["gate"] = _recording(attention.gate, name, gates)
    try:
        yield
    finally:
        del vars(attention)["gate"]
        seen.remove()


def _recording(gate: Callable[[Tensor], Tensor], name: str, gates: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    def recording(x: Tensor) -> Tensor:
        found = gate(x)
        new = found.detach()
        gates[name] = torch.cat([gates[name], new], dim=1) if name in gates else new
        return found

    return recording
