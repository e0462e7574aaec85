"""The one table of surrogate derivatives.

A spike is a step function of the membrane, s = [u > v_th]; its derivative is replaced by a bump around a centre c:

    ds/du := derivative(u - c, width)

Each rule is plain arithmetic on `d = u - c` and `a = width`, without a library call or a global, so that PyTorch, Numba
and Triton compile the very same function. `primitive` is the smooth step whose derivative it is; tests differentiate it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def rectangle(d, a):
    """1/a where |d| < a/2, else 0. FSVAE 2022, eq. for the surrogate of the LIF."""
    return (abs(d) < 0.5 * a) * (1.0 / a)


def triangle(d, a):
    """max(0, a - |d|) / a^2. TET, eq. (4); with a = 1 the triangle of the TCJA CIFAR10-DVS net."""
    return (abs(d) < a) * (a - abs(d)) / (a * a)


def atan(d, a):
    """(a/2) / (1 + (pi/2 a d)^2). The ATan surrogate of the TCJA nets."""
    return 0.5 * a / (1.0 + (1.5707963267948966 * a * d) * (1.5707963267948966 * a * d))


def rectangle_primitive(d: Tensor, a: float) -> Tensor:
    return (d / a + 0.5).clamp(0, 1)


def triangle_primitive(d: Tensor, a: float) -> Tensor:
    r = (d / a).clamp(-1, 1)
    return 0.5 + r - 0.5 * r * r.abs()


def atan_primitive(d: Tensor, a: float) -> Tensor:
    return torch.atan(0.5 * torch.pi * a * d) / torch.pi + 0.5


@dataclass(frozen=True)
class Rule:
    kernel_id: int
    derivative: Callable
    primitive: Callable[[Tensor, float], Tensor]


SURROGATES: dict[str, Rule] = {
    "rectangle": Rule(0, rectangle, rectangle_primitive),
    "triangle": Rule(1, triangle, triangle_primitive),
    "atan": Rule(2, atan, atan_primitive),
}


@dataclass(frozen=True)
class Surrogate:
    """One surrogate derivative.

    Args:
        kind: a key of `SURROGATES`: "rectangle", "triangle" or "atan".
        width: the shape parameter a > 0 of the rule: full width of the rectangle, half-width (gamma) of the triangle,
            alpha of ATan (there a larger value is a narrower bump).
        centre: membrane value on which the bump is centred; None means the firing threshold.
    """

    kind: str = "atan"
    width: float = 2.0
    centre: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in SURROGATES:
            raise ValueError(f"unknown surrogate {self.kind!r}: choose one of {sorted(SURROGATES)}")
        if not self.width > 0:
            raise ValueError(f"surrogate width must be > 0, found {self.width}")

    @property
    def rule(self) -> Rule:
        return SURROGATES[self.kind]
