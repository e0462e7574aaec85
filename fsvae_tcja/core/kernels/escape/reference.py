"""The specification of the draw, written to be read. Every fused kernel agrees with this file."""

from collections.abc import Callable

import torch
from torch import Tensor

from .inputs import Inputs

Step = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


def draw(inputs: Inputs, guidance: float, step: Step) -> tuple[Tensor, Tensor]:
    """Bits z and the membranes u that they fire by, both [N, M, B].

    Args:
        inputs: of K = 1, or K = 2 if guided: with the label, without.
        guidance: w of u = u_0 + w (u_0 - u_1), where K = 2.
        step: of the hidden neurons: current and membrane, None for rest -> spikes and membrane.
    """
    noise, start, direct, scale, shift, W, V, D = inputs
    K, (_, M, B) = len(start), noise.shape
    c, direct, v = start.flatten(0, 1), direct.flatten(0, 1), None  # [K N, H], [K N, M B]
    bits, membranes = [], []
    for m in range(M):
        s, v = step(scale * c + shift[m], v)
        here, direct = direct.tensor_split([B], dim=1)
        u = torch.addmm(here, s, V[m]).unflatten(0, (K, -1))
        u = u[0] if K == 1 else u[0] + guidance * (u[0] - u[1])
        z = (noise[:, m] < torch.sigmoid(u)).to(u.dtype)
        bits.append(z)
        membranes.append(u)
        z = z.repeat(K, 1)
        c = torch.addmm(c, z, W[m])
        direct = torch.addmm(direct, z, D[m * B : (m + 1) * B, (m + 1) * B :])
    return torch.stack(bits, dim=1), torch.stack(membranes, dim=1)
