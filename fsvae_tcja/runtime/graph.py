"""A whole training step as one CUDA graph: forward, backward and the optimiser, launched by the host at once.

Recorded is what the step launches; what it computes in Python goes in as it was then. So a step is recorded anew for
each stage and epoch, which the losses know by number. Learning rate, batch and random numbers are read where they lie.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..core.recording import rehearsed
from ..utils.memory import is_lack_of_memory

Step = Callable[[Tensor, Tensor], dict[str, Tensor]]

WARM = 3  # steps that run as they are: kernels are compiled, and the optimiser has its state


class StepGraph:
    """Steps of a training, each a replay of the last one that was recorded.

    Args:
        step: images, labels -> losses, and new weights; always the same operations.
        generator: what it draws from, on the GPU; seeded anew before each step.
    """

    def __init__(self, step: Step, generator: torch.Generator) -> None:
        self.step = step
        self.generator = generator
        self.stream = torch.cuda.Stream(generator.device)
        self.warm = 0
        self.kind: object = None
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, images: Tensor, labels: Tensor, kind: object) -> dict[str, Tensor]:
        """A step; it is recorded where `kind`, or the shape of the batch, is another than that of the last.

        Raises:
            ValueError: something in the step cannot be recorded.
            RuntimeError: lack of memory.
        """
        kind = kind, images.shape, labels.shape
        if kind != self.kind:
            if self.warm < WARM:
                self.warm += 1
                with rehearsed():
                    return self.step(images, labels)
            self._record(images, labels)
            self.kind = kind
        assert self.graph is not None
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.graph.replay()
        return {name: value.clone() for name, value in self.losses.items()}

    def restart(self) -> None:
        """Warm up again: another optimiser."""
        self.warm, self.kind, self.graph = 0, None, None

    def _record(self, images: Tensor, labels: Tensor) -> None:
        self.graph = None  # its memory is free for the next
        self.images, self.labels = images.clone(), labels.clone()
        graph = torch.cuda.CUDAGraph()
        if torch.__version__ < "2.14":  # from then on a graph finds by itself what it draws from
            graph.register_generator_state(self.generator)
        try:
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                self.losses = self.step(self.images, self.labels)
        except RuntimeError as problem:
            if is_lack_of_memory(problem):
                raise
            raise ValueError(
                f"the training step cannot be one CUDA graph: {str(problem).splitlines()[0]}; train without --graph"
            ) from problem
        self.graph = graph
