"""The exponential moving average of a model's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Averages a = d a + (1 - d) w of everything in a model's state, after each step.

    d = min(decay, (1 + n) / (10 + n)) in step n, counted from 1, so that the first weights are soon forgotten. The
    running statistics of batch norm are averaged like the weights that they belong to; whole numbers are copied.

    Args:
        model: whose weights.
        decay: in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after this step, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        now = self.model.state_dict()
        real = [name for name, tensor in now.items() if tensor.is_floating_point()]
        whole = [name for name in now if name not in real]
        torch._foreach_lerp_([self.state[name] for name in real], [now[name] for name in real], 1 - decay)
        torch._foreach_copy_([self.state[name] for name in whole], [now[name] for name in whole])

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on with these averages."""
        for name, tensor in state.items():
            self.state[name].copy_(tensor)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """Inside, the model has the averages; what is changed of it there, running statistics say, is theirs."""
        own = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.state)
        try:
            yield
        finally:
            self.restore(self.model.state_dict())
            self.model.load_state_dict(own)
