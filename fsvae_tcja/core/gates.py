"""What TCJA lets through while a model runs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from .tcja import TCJA

Read = Callable[[str, Tensor], None]


@contextmanager
def record_gates(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside, the gates that a model computes are kept: `with record_gates(model) as gates: model(images)`.

    Gives {layer: F [T, N, C] in (0, 1)}, detached; a layer is called as in the model, "decoder.blocks.2". Of several
    passes the N stand one after the other, images that a pass was padded with among them: `FSVAE.sample` pads to
    blocks of 16, on a GPU to 1, 2, 4, ... of them. Filled when the block ends; empty without TCJA.
    """
    found: dict[str, list[Tensor]] = {}
    gates: dict[str, Tensor] = {}
    try:
        with read_gates(model, lambda name, gate: found.setdefault(name, []).append(gate)):
            yield gates
    finally:
        gates.update({name: torch.cat(passes, dim=1) for name, passes in found.items()})


@contextmanager
def read_gates(model: nn.Module, read: Read) -> Iterator[None]:
    """Inside, `read` is called with the layer and the gate of each pass, as `record_gates` has them."""
    with ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, TCJA):
                stack.enter_context(_read(module, name.removesuffix(".attention"), read))
        yield


@contextmanager
def _read(attention: TCJA, name: str, read: Read) -> Iterator[None]:
    """A fused layer calls `TCJA.gate` and not the module, so no hook sees it: a function in the instance stands before
    the method. The hook beside it says that somebody looks, and no CUDA graph is replayed (vae/replay.py)."""
    seen = attention.register_forward_hook(lambda *_: None)
    gate, own = attention.gate, vars(attention)
    outer = own.get("gate")  # of another `read_gates` around this one

    def reading(x: Tensor) -> Tensor:
        found = gate(x)
        read(name, found.detach())
        return found

    own["gate"] = reading
    try:
        yield
    finally:
        if outer is None:
            del own["gate"]
        else:
            own["gate"] = outer
        seen.remove()
