"""What a draw computes from."""

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """A network of H hidden neurons and M B output neurons, and n images to draw by it, K membranes for each bit."""

    noise: Tensor
    """[N, M, B], uniform in [0, 1). A bit that is given: -1, which always fires, or 1, which never does."""
    start: Tensor
    """[K, N, H]: current before the first bit."""
    direct: Tensor
    """[K, N, M B]: membranes of the output neurons before the first bit."""
    scale: Tensor
    """[H]: the norm of the current."""
    shift: Tensor
    """[M, H]: the norm of the current, and what micro-step m adds to it."""
    W: Tensor
    """[M, B, H]: bits to hidden neurons."""
    V: Tensor
    """[M, H, B]: hidden neurons to the bits of their micro-step."""
    D: Tensor
    """[M B, M B]: bits to the bits of later micro-steps; the rest of it is not read."""
