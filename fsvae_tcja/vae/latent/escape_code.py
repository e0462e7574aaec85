"""A code that is drawn: LIF neurons with escape noise, which fire by chance, more often the higher their membrane."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core import LIFParams
from ...core.kernels.lif.reference import reset


def draw(current: Tensor, noise: Tensor, neuron: LIFParams, tau: float) -> tuple[Tensor, Tensor]:
    """Draw a code z, step by step.

        u_t = decay v_{t-1} + gain x_t
        a_t = (u_t - v_th) / tau
        z_t = [a_t > logit(b_t)]        fires with probability p_t = sigmoid(a_t), for b_t is uniform in [0, 1)
        v_t = reset of u_t by z_t, as in the LIF neuron (core/README.md, section 1)

    So q(z | x) = prod_t q(z_t | z_<t, x). The gradient is straight-through: that of z_t is taken for that of p_t. With
    b_t = 1/2, and for tau -> 0 with any noise, z are the spikes [u_t > v_th] of the LIF neuron.

    Args:
        current: x [T, N, L].
        noise: b [T, N, L], uniform in [0, 1).
        neuron: the LIF neuron that the noise is given to.
        tau: > 0, width of the threshold, in the units of the membrane.

    Returns:
        z [T, N, L] in {0, 1} and a [T, N, L], in float32.
    """
    with torch.autocast(current.device.type, enabled=False):
        thresholds = torch.logit(noise.float())
        v = torch.zeros_like(thresholds[0])
        z, a = [], []
        for x_t, threshold in zip(current.float(), thresholds, strict=True):
            u = neuron.decay * v + neuron.gain * x_t
            a.append((u - neuron.v_th) / tau)
            z.append(_Fired.apply(a[-1], threshold))
            v = reset(u, z[-1], neuron)
        return torch.stack(z), torch.stack(a)


def entropy(a: Tensor) -> Tensor:
    """An estimate of the entropy of q(z | x) in nats, [N], from the a [T, N, L] of the code that was drawn.

    H(q) = E sum_t H(q(z_t | z_<t, x)), each a sum over L of softplus(a_t) - a_t sigmoid(a_t); E: the mean over codes.
    """
    return (F.softplus(a) - a * torch.sigmoid(a)).sum((0, 2))


class _Fired(torch.autograd.Function):
    """[a > threshold], with the derivative of sigmoid(a)."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        return (a > threshold).to(a.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (a,) = ctx.saved_tensors
        p = torch.sigmoid(a)
        return grad * p * (1 - p), None
