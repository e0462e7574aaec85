"""Stepping through time as CUDA graphs: a GPU would wait longer for each of its many small launches than it computes.

A recorded run is replayed on its own memory: the inputs are copied in, the result is copied out, and the tensors of
the module are read, and running statistics written, where they lie. What else the module holds (the constants of its
neurons and norms) must stay as it is. Each thread and stream has its own recordings. docs/GPU.md: what was tried, and
how.
"""

import logging
from collections import Counter
from collections.abc import Callable
from functools import cache, partial, wraps
from itertools import chain
from threading import Lock, get_ident
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from ..core import TDBatchNorm, backend
from ..core.precision import current_products
from ..core.recording import recording
from ..utils.once import warn_once

Run = Callable[[], Tensor]
Recording = tuple[Callable[[], object], Tensor]  # what replays a run, and the tensor that its result is left in
Function = Callable[..., Tensor]
Inputs = tuple[Tensor | None, ...]

WARM = 3  # calls of a kind that run as they are: kernels are compiled, and a kind that is rare is never recorded
KINDS = 8  # recordings that a module keeps, the last used; each holds the memory of a run
RECORDED = ("cuda",)  # types of device

log = logging.getLogger(__name__)


def record(run: Run, device: torch.device) -> Recording:
    """Record a run in a CUDA graph.

    Raises:
        RuntimeError: something in it cannot be recorded.
    """
    with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):  # back to it after a failure
        graph = torch.cuda.CUDAGraph()
        stream = _beside(device, torch.cuda.current_stream(device).cuda_stream, get_ident())
        torch.clear_autocast_cache()
        try:
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):  # others may pin memory
                output = run()
        finally:
            torch.clear_autocast_cache()  # a cast inside the graph has not been computed
    return graph.replay, output


@cache
def _beside(device: torch.device, stream: int, thread: int) -> torch.cuda.Stream:
    """The stream to record on what this thread replays on that one. Each stream has a workspace of cuBLAS, 32 MiB on an
    H100, which runs that follow one another can share."""
    return torch.cuda.Stream(device)


class Replay:
    """A function over memory of its own.

    Args:
        function: runs the same operations for all inputs of these shapes, and changes nothing but its result and what
            its module's norms track.
        inputs: tensors, or None.
    """

    def __init__(self, function: Function, inputs: Inputs) -> None:
        self.inputs = [None if x is None else x.clone() for x in inputs]
        self.replay, self.output = record(lambda: function(*self.inputs), _device(inputs))

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        for mine, x in zip(self.inputs, inputs, strict=True):
            if mine is not None and x is not None:  # both or neither: inputs of one kind
                mine.copy_(x)
        self.replay()
        return self.output.clone()


class Recordings:
    """The recorded runs of one module: good for inputs of the same kind, while the module's tensors stay in place."""

    def __init__(self) -> None:
        self.calls: Counter[tuple] = Counter()
        self.runs: dict[tuple, Replay | None] = {}  # None: could not be recorded
        self.places: tuple[int, ...] = ()
        self.lock = Lock()

    def find(self, kind: tuple, module: nn.Module, function: Function, inputs: Inputs, warm: int) -> Function:
        """The recorded run for inputs of this kind; the function itself in the first `warm` calls."""
        places = tuple(x.data_ptr() for x in chain(module.parameters(), module.buffers()))
        with self.lock:
            if places != self.places:
                self.places = places
                self.calls.clear()
                self.runs.clear()
            self.calls[kind] += 1
            if kind in self.runs:
                self.runs[kind] = self.runs.pop(kind)  # the last used last
            elif self.calls[kind] > warm:
                while len(self.runs) >= KINDS:
                    del self.calls[oldest := next(iter(self.runs))], self.runs[oldest]
                self.runs[kind] = _recorded(function, inputs)
            return self.runs.get(kind) or function


_recordings: WeakKeyDictionary[nn.Module, Recordings] = WeakKeyDictionary()


def _recorded(function: Function, inputs: Inputs) -> Replay | None:
    try:
        return Replay(function, inputs)
    except RuntimeError as problem:
        warn_once(log, f"no CUDA graph, every operation is launched by itself: {str(problem).splitlines()[0]}")
        return None


def _device(inputs: Inputs) -> torch.device:
    return next(x.device for x in inputs if x is not None)


def _is_watched(module: nn.Module) -> bool:
    """Whether somebody looks at the operations inside, or records them himself."""
    return (
        any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
        or torch.compiler.is_compiling()
        or is_in_torch_dispatch_mode()
        or recording()
    )


def _is_shared(module: nn.Module) -> bool:
    """Whether other processes have a part of its batch."""
    return any(part.part < 1 for part in module.modules() if isinstance(part, TDBatchNorm))


def _kind(name: str, module: nn.Module, inputs: Inputs) -> tuple:
    """What a recording depends on, the memory of the module apart."""
    device = _device(inputs)
    backends = (getattr(part, "backend", None) for part in module.modules())
    return (
        name,
        *(None if x is None else (x.shape, x.dtype) for x in inputs),
        (device, torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else None, get_ident()),
        torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None,
        (torch.is_inference_mode_enabled(), torch.are_deterministic_algorithms_enabled()),
        current_products(),
        *(backend.choose(device.type, torch.float32, name) for name in backends if isinstance(name, str)),
        *(part.mode for part in module.modules() if isinstance(part, TDBatchNorm)),
    )


def records(device: torch.device) -> bool:
    """Whether runs that come again are recorded there."""
    return device.type in RECORDED


def replayed(function: Function, *, by_batch: bool = False, warm: int = WARM) -> Function:
    """A function(module, *tensors or None) -> tensor, without gradient, that is recorded on a GPU.

    It draws no random number and has no effect but its result and on what the module's norms track. Elsewhere it runs
    as it is.

    Args:
        function: is called with the module and the tensors.
        by_batch: whether it normalises by the statistics of its batch: while several processes share these, it runs as
            it is.
        warm: calls of a kind that run as they are, at least 1.
    """

    @wraps(function)
    @torch.no_grad()
    def run(module: nn.Module, *inputs: Tensor | None) -> Tensor:
        if not records(_device(inputs)) or _is_watched(module) or (by_batch and _is_shared(module)):
            return function(module, *inputs)
        found = _recordings.setdefault(module, Recordings())
        bound = partial(function, module)
        return found.find(_kind(function.__name__, module, inputs), module, bound, inputs, warm)(*inputs)

    return run
