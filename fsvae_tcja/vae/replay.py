"""Stepping through time as CUDA graphs: a GPU would wait longer for each of its many small launches than it computes.

A recorded run is replayed on its own memory: the inputs are copied in, the result is copied out, and the tensors of
the module are read where they lie. Not yet measured on a GPU.
"""

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial, wraps
from itertools import chain
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..core import backend

Run = Callable[[], Tensor]
Recording = tuple[Callable[[], object], Tensor]  # what replays a run, and the tensor that its result is left in
Function = Callable[..., Tensor]

WARM = 3  # calls of a kind that run as they are: kernels are compiled, and a kind that is rare is never recorded
KINDS = 8  # recordings that a module keeps

log = logging.getLogger(__name__)


def record(run: Run) -> Recording:
    """Record a run in a CUDA graph.

    Raises:
        RuntimeError: something in it cannot be recorded.
    """
    here = torch.cuda.current_stream()
    with torch.cuda.stream(here):  # also after a failure
        graph = torch.cuda.CUDAGraph()
        torch.clear_autocast_cache()  # casts inside the graph belong to it alone
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may pin memory meanwhile
            output = run()
        torch.clear_autocast_cache()
    return graph.replay, output


class Replay:
    """A function over memory of its own.

    Args:
        function: runs the same operations for all inputs of these shapes, and changes nothing but its result.
        inputs: tensors, or None.
        record: see `record`.
    """

    def __init__(
        self, function: Function, inputs: tuple[Tensor | None, ...], record: Callable[[Run], Recording]
    ) -> None:
        self.inputs = [None if x is None else x.clone() for x in inputs]
        self.replay, self.output = record(lambda: function(*self.inputs))

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        for mine, x in zip(self.inputs, inputs, strict=True):
            if mine is not None:
                mine.copy_(x)
        self.replay()
        return self.output.clone()


class Recordings:
    """The recorded runs of one module: good for inputs of the same kind, while the module's tensors stay in place."""

    def __init__(self) -> None:
        self.calls: Counter[tuple] = Counter()
        self.runs: dict[tuple, Replay | None] = {}  # None: could not be recorded
        self.places: tuple[int, ...] = ()

    def find(self, kind: tuple, module: nn.Module, function: Function, inputs: tuple[Tensor | None, ...]) -> Function:
        """The recorded run for inputs of this kind; the function itself while it is not worth one."""
        places = tuple(x.data_ptr() for x in chain(module.parameters(), module.buffers()))
        if places != self.places:
            self.places = places
            self.calls.clear()
            self.runs.clear()
        self.calls[kind] += 1
        if kind not in self.runs and self.calls[kind] > WARM and len(self.runs) < KINDS:
            self.runs[kind] = self._recorded(function, inputs)
        return self.runs.get(kind) or function

    @staticmethod
    def _recorded(function: Function, inputs: tuple[Tensor | None, ...]) -> Replay | None:
        try:
            return Replay(function, inputs, record)
        except RuntimeError as problem:
            log.warning("no CUDA graph, every operation is launched by itself: %s", str(problem).splitlines()[0])
            return None


_recordings: WeakKeyDictionary[nn.Module, Recordings] = WeakKeyDictionary()


def _pays(module: nn.Module, inputs: tuple[Tensor | None, ...]) -> bool:
    """Whether a run may be recorded: on a GPU, without gradients, with nobody looking at what happens inside."""
    on_gpu = any(x is not None and x.device.type == "cuda" for x in inputs)
    if not on_gpu or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return not torch.cuda.is_current_stream_capturing() and not any(
        part._forward_hooks or part._forward_pre_hooks for part in module.modules()
    )


def _kind(name: str, inputs: tuple[Tensor | None, ...]) -> tuple:
    """What a recording depends on, the module apart."""
    device = next(x.device for x in inputs if x is not None)
    cast = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
    who = backend.choose(device.type, torch.float32)
    return name, device, cast, who, *(None if x is None else (x.shape, x.dtype) for x in inputs)


def replayed(function: Function) -> Function:
    """A function(module, *tensors or None) -> tensor that is recorded on a GPU; elsewhere it runs as it is.

    It gives no gradient there, draws no random number, and has no effect but its result.
    """

    @wraps(function)
    def run(module: nn.Module, *inputs: Tensor | None) -> Tensor:
        if not _pays(module, inputs):
            return function(module, *inputs)
        found = _recordings.setdefault(module, Recordings())
        bound = partial(function, module)
        return found.find(_kind(function.__name__, inputs), module, bound, inputs)(*inputs)

    return run
