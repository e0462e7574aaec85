"""Temporal-channel joint attention (TCJA), Zhu et al., TNNLS 2024 (arXiv 2206.10177)."""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..utils.spelling import check_choice
from .axes import mean_over_space, over_space

Fusion = Literal["joint", "add", "tla", "cla"]


def _convolve(z: Tensor, weight: Tensor | None) -> Tensor:
    """conv1d that keeps the length; the extra zero of an even kernel goes on the right."""
    if weight is None:
        raise ValueError("this fusion reads a weight that is None; pass it, or take the fusion that does not read it")
    k = weight.shape[2]
    return F.conv1d(F.pad(z, ((k - 1) // 2, k // 2)), weight)


def tcja_gate(z: Tensor, cla_weight: Tensor | None, tla_weight: Tensor | None, fusion: Fusion = "joint") -> Tensor:
    """The gate F of a squeezed input.

    Args:
        z: [T, N, C].
        cla_weight: [T, T, K_C], slides along channels; not read by "tla".
        tla_weight: [C, C, K_T], slides along time; not read by "cla".
        fusion: "joint" sigmoid(TLA * CLA), the paper's CCF; "add" sigmoid(TLA + CLA); "tla" or "cla" alone.

    Returns:
        F [T, N, C], in (0, 1).

    Raises:
        ValueError: an unknown fusion, or a weight that is read is None.
    """
    attentions = []
    if fusion != "cla":
        attentions.append(rearrange(_convolve(rearrange(z, "t n c -> n c t"), tla_weight), "n c t -> t n c"))
    if fusion != "tla":
        attentions.append(rearrange(_convolve(rearrange(z, "t n c -> n t c"), cla_weight), "n t c -> t n c"))
    if fusion == "joint":
        return torch.sigmoid(attentions[0] * attentions[1])
    if fusion == "add":
        return torch.sigmoid(attentions[0] + attentions[1])
    if fusion not in ("tla", "cla"):
        check_choice("fusion", fusion, Fusion)
    return torch.sigmoid(attentions[0])


def tcja(x: Tensor, cla_weight: Tensor | None, tla_weight: Tensor | None, fusion: Fusion = "joint") -> Tensor:
    """Gate a sequence: y[t, n, c, ...] = F[t, n, c] x[t, n, c, ...].

    Args:
        x: [T, N, C, ...].
        cla_weight: [T, T, K_C]; not read by "tla".
        tla_weight: [C, C, K_T]; not read by "cla".
        fusion: "joint", "add", "tla" or "cla", as in `tcja_gate`.

    Returns:
        [T, N, C, ...].
    """
    return over_space(tcja_gate(mean_over_space(x), cla_weight, tla_weight, fusion), x) * x


class TCJA(nn.Module):
    """TCJA as a layer, bound to its number of steps and channels: K_C T^2 + K_T C^2 parameters.

    Args:
        steps: T.
        channels: C.
        kernel_c: K_C, extent of the convolution that slides along channels (CLA).
        kernel_t: K_T, extent of the convolution that slides along time (TLA).
        fusion: "joint" sigmoid(TLA * CLA), the paper's CCF; "add" sigmoid(TLA + CLA); "tla" or "cla" alone.

    Raises:
        ValueError: an unknown fusion, or an extent below 1.
    """

    def __init__(
        self, steps: int, channels: int, kernel_c: int = 4, kernel_t: int = 4, fusion: Fusion = "joint"
    ) -> None:
        super().__init__()
        check_choice("fusion", fusion, Fusion)
        if min(kernel_c, kernel_t) < 1:
            raise ValueError(f"TCJA kernels must be >= 1, found K_C={kernel_c}, K_T={kernel_t}")
        self.steps = steps
        self.channels = channels
        self.fusion = fusion
        self.cla = nn.Conv1d(steps, steps, kernel_c, bias=False) if fusion != "tla" else None
        self.tla = nn.Conv1d(channels, channels, kernel_t, bias=False) if fusion != "cla" else None

    def gate(self, x: Tensor) -> Tensor:
        """x [T, N, C, ...] -> F [T, N, C] in (0, 1).

        Raises:
            ValueError: T or C is not the one that the weights were made for.
        """
        if x.dim() < 3 or x.shape[0] != self.steps or x.shape[2] != self.channels:
            raise ValueError(
                f"this TCJA was made for T={self.steps} steps of C={self.channels} channels, found an input of shape "
                f"{list(x.shape)}; T is part of the weights: keep it, or train a model for the new T"
            )
        cla = None if self.cla is None else self.cla.weight
        tla = None if self.tla is None else self.tla.weight
        return tcja_gate(mean_over_space(x), cla, tla, self.fusion)

    def forward(self, x: Tensor) -> Tensor:
        """x [T, N, C, ...] -> the gated sequence, same shape. A ValueError if T or C is not that of the weights."""
        return over_space(self.gate(x), x) * x

    def extra_repr(self) -> str:
        return f"T={self.steps}, C={self.channels}, fusion={self.fusion}"
