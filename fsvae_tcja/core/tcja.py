"""Temporal-channel joint attention (TCJA), Zhu et al., TNNLS 2024 (arXiv 2206.10177)."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Fusion = Literal["joint", "add", "tla", "cla"]


def squeeze(x: Tensor) -> Tensor:
    """Z: the mean over space. [T, N, C, H, W] -> [T, N, C]; [T, N, C] stays."""
    return x.flatten(3).mean(3) if x.dim() > 3 else x


def _convolve(z: Tensor, weight: Tensor) -> Tensor:
    """conv1d that keeps the length; the extra zero of an even kernel goes on the right."""
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
    """
    tla = cla = None
    if fusion != "cla":
        tla = _convolve(z.permute(1, 2, 0), tla_weight).permute(2, 0, 1)  # over t, channels C
    if fusion != "tla":
        cla = _convolve(z.transpose(0, 1), cla_weight).transpose(0, 1)  # over c, channels T
    if fusion == "tla":
        return torch.sigmoid(tla)
    if fusion == "cla":
        return torch.sigmoid(cla)
    return torch.sigmoid(tla * cla if fusion == "joint" else tla + cla)


def tcja(x: Tensor, cla_weight: Tensor | None, tla_weight: Tensor | None, fusion: Fusion = "joint") -> Tensor:
    """Gate a sequence: y[t, n, c, ...] = F[t, n, c] x[t, n, c, ...], with x [T, N, C, ...]; see `tcja_gate`."""
    gate = tcja_gate(squeeze(x), cla_weight, tla_weight, fusion)
    return gate.reshape(gate.shape + (1,) * (x.dim() - 3)) * x


class TCJA(nn.Module):
    """TCJA as a layer, bound to its number of steps and channels: K_C T^2 + K_T C^2 parameters.

    Args:
        steps: T.
        channels: C.
        kernel_c: K_C, extent of the convolution that slides along channels (CLA).
        kernel_t: K_T, extent of the convolution that slides along time (TLA).
        fusion: see `tcja_gate`.
    """

    def __init__(
        self, steps: int, channels: int, kernel_c: int = 4, kernel_t: int = 4, fusion: Fusion = "joint"
    ) -> None:
        super().__init__()
        if fusion not in get_args(Fusion):
            raise ValueError(f"unknown fusion {fusion!r}: choose one of {list(get_args(Fusion))}")
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
        return tcja_gate(squeeze(x), cla, tla, self.fusion)

    def forward(self, x: Tensor) -> Tensor:
        """x [T, N, C, ...] -> the gated sequence, same shape. Errors as `gate`."""
        gate = self.gate(x)
        return gate.reshape(gate.shape + (1,) * (x.dim() - 3)) * x

    def extra_repr(self) -> str:
        return f"T={self.steps}, C={self.channels}, fusion={self.fusion}"
