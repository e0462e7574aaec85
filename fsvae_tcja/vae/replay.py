"""A function of one tensor as a CUDA graph: its many small launches are recorded once and replayed as one.

Not yet measured on a GPU.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
Capture = Callable[[Callable[[], Tensor]], tuple[Callable[[], object], Tensor]]

WARM = 3  # calls before the recording: kernels are compiled and memory is settled

log = logging.getLogger(__name__)


class Replay:
    """The function over memory of its own: the input is copied in, the result copied out.

    Args:
        function: runs the same operations for every input of this shape and changes nothing but its result.
        example: an input.
        capture: records a run; returns what replays it, and the tensor that the result is left in.
    """

    def __init__(self, function: Function, example: Tensor, capture: Capture) -> None:
        self.input = example.clone()
        self.replay, self.output = capture(lambda: function(self.input))

    def __call__(self, x: Tensor) -> Tensor:
        self.input.copy_(x)
        self.replay()
        return self.output.clone()


def record(run: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
    """Record a run in a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()
    return graph.replay, output


def pays(device: torch.device, calls: int) -> bool:
    """Whether so many calls on this device are worth a recording, which takes a few itself."""
    return device.type == "cuda" and calls > WARM + 1


def replayed(function: Function, example: Tensor, capture: Capture = record) -> Function:
    """The function, recorded; the function itself, with a warning, if it cannot be."""
    try:
        return Replay(function, example, capture)
    except RuntimeError as problem:
        log.warning("no CUDA graph, every operation is launched by itself: %s", str(problem).splitlines()[0])
        return function
