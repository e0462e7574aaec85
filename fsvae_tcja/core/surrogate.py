"""The one table of surrogate derivatives, and the spike whose gradient they are.

A spike is a step function of the membrane, s = [u > v_th]; its derivative is replaced by a bump around a centre c:

    ds/du := derivative(|u - c|, width)

Each rule is plain arithmetic on r = |u - c| and two constants a, b that depend on the width w only, without a literal,
a library call, a global or an annotation, so that PyTorch, Numba (in float32) and Triton compile the very same
function. One that needs a call, such as torch.exp, says `fusable=False`: neurons with it run on the reference.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..utils.spelling import choose


def rectangle(r, a, b):  # type: ignore[no-untyped-def]
    """1/w where r < w/2, else 0. FSVAE 2022, eq. for the surrogate of the LIF. a = w/2, b = 1/w."""
    return (r < a) * b


def triangle(r, a, b):  # type: ignore[no-untyped-def]
    """max(0, w - r) / w^2. TET, eq. (4); with w = 1 the triangle of the TCJA CIFAR10-DVS net. a = w, b = 1/w^2."""
    return (r < a) * (a - r) * b


def atan(r, a, b):  # type: ignore[no-untyped-def]
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
    """One kind of surrogate. Add one's own to SURROGATES under a name that is new."""

    derivative: Callable[..., Any]
    """derivative(r, a, b) at the distance r >= 0 from the centre."""
    constants: Callable[[float], tuple[float, float]]
    """a, b for a width > 0."""
    primitive: Callable[[Tensor, float], Tensor]
    """primitive(d, width): the smooth step, from 0 to 1, whose derivative at d = u - c it is, for tests."""
    fusable: bool = True
    """Whether `derivative` is arithmetic alone, which the kernels can compile."""


SURROGATES: dict[str, Rule] = {
    "rectangle": Rule(rectangle, lambda w: (w / 2, 1 / w), rectangle_primitive),
    "triangle": Rule(triangle, lambda w: (w, 1 / w**2), triangle_primitive),
    "atan": Rule(atan, lambda w: (2 / (math.pi**2 * w), (2 / (math.pi * w)) ** 2), atan_primitive),
}


@dataclass(frozen=True)
class Surrogate:
    """One surrogate derivative.

    Args:
        kind: a key of `SURROGATES`, such as "rectangle", "triangle" or "atan".
        width: the shape parameter a > 0 of the rule: full width of the rectangle, half-width (gamma) of the triangle,
            alpha of ATan (there a larger value is a narrower bump).
        centre: membrane value on which the bump is centred; None means the firing threshold.

    Raises:
        ValueError: an unknown kind, or a width that is not above 0.
    """

    kind: str = "atan"
    width: float = 2.0
    centre: float | None = None

    def __post_init__(self) -> None:
        choose(SURROGATES, self.kind, "surrogate")
        if not self.width > 0:
            raise ValueError(f"surrogate width must be > 0, found {self.width}")

    @property
    def constants(self) -> tuple[float, float]:
        """a, b of the rule for this width."""
        return SURROGATES[self.kind].constants(self.width)

    def derivative(self, d: Tensor) -> Tensor:
        """ds/du at d = u - centre."""
        slope: Tensor = SURROGATES[self.kind].derivative(d.abs(), *self.constants)
        return slope


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, v_th: float, strict: bool, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(u)
        ctx.centre = v_th if surrogate.centre is None else surrogate.centre
        ctx.surrogate = surrogate
        return (u > v_th if strict else u >= v_th).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (u,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(u - ctx.centre), None, None, None


def spike(u: Tensor, v_th: float, surrogate: Surrogate, strict: bool = True) -> Tensor:
    """The step function of the membrane u [...], in {0, 1} and the type of u, with a surrogate as its derivative.

    Args:
        u: membrane before the reset.
        v_th: firing threshold.
        surrogate: stands for ds/du in the backward pass.
        strict: fire when u > v_th (True) or when u >= v_th (False).
    """
    return _Spike.apply(u, v_th, strict, surrogate)
