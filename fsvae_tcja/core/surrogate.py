"""The one table of surrogate derivatives.

A spike is a step function of the membrane, s = [u > v_th]; its derivative is replaced by a bump around a centre c:

    ds/du := derivative(|u - c|, width)

Each rule is plain arithmetic on r = |u - c| and two constants a, b that depend on the width w only, without a literal,
a library call or a global, so that PyTorch, Numba (in float32) and Triton compile the very same function. `primitive`
is the smooth step whose derivative it is; tests differentiate it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def rectangle(r, a, b):
    """1/w where r < w/2, else 0. FSVAE 2022, eq. for the surrogate of the LIF. a = w/2, b = 1/w."""
    return (r < a) * b


def triangle(r, a, b):
    """max(0, w - r) / w^2. TET, eq. (4); with w = 1 the triangle of the TCJA CIFAR10-DVS net. a = w, b = 1/w^2."""
    return (r < a) * (a - r) * b


def atan(r, a, b):
    """(w/2) / (1 + (pi/2 w r)^2). The ATan surrogate of the TCJA nets. a = 2/(pi^2 w), b = (2/(pi w))^2."""
    return a / (b + r * r)


def rectangle_primitive(d: Tensor, a: float) -> Tensor:
    return (d / a + 0.5).clamp(0, 1)


def triangle_primitive(d: Tensor, a: float) -> Tensor:
    r = (d / a).clamp(-1, 1)
    return 0.5 + r - 0.5 * r * r.abs()


def atan_primitive(d: Tensor, a: float) -> Tensor:
    return torch.atan(0.5 * torch.pi * a * d) / torch.pi + 0.5


@dataclass(frozen=True)
class Rule:
    """derivative(|d|, *constants(width)) and the primitive(d, width) of it."""

    derivative: Callable
    constants: Callable[[float], tuple[float, float]]
    primitive: Callable[[Tensor, float], Tensor]


SURROGATES: dict[str, Rule] = {
    "rectangle": Rule(rectangle, lambda w: (w / 2, 1 / w), rectangle_primitive),
    "triangle": Rule(triangle, lambda w: (w, 1 / w**2), triangle_primitive),
    "atan": Rule(atan, lambda w: (2 / (math.pi**2 * w), (2 / (math.pi * w)) ** 2), atan_primitive),
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
    def constants(self) -> tuple[float, float]:
        """a, b of the rule for this width."""
        return SURROGATES[self.kind].constants(self.width)

    def derivative(self, d: Tensor) -> Tensor:
        """ds/du at d = u - centre."""
        return SURROGATES[self.kind].derivative(d.abs(), *self.constants)
