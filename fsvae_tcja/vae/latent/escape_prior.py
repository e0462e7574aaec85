"""A spiking prior over a whole code, a group of its bits at a time, with stochastic output neurons."""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ...core import Neuron, SpikingLayer, TDBatchNorm
from ...core.escape import Inputs, escape_draw
from ..activity import Passing

NORM_ALPHA = 2  # of the tdBN, as in the other latent networks
LONG = 2048  # bits of a code, from which a CPU gains by leaving out the half of D that does not act


class EscapePrior(nn.Module):
    """p(z) = prod_m p(z_m | z_<m) of codes z [T, N, L], over M = T G micro-steps of B = L / G bits each.

        c_m = b_m + Y[y] + sum_{m'<m} W_m' z_m'           current into H neurons: synapses without leak
        s_m = spikes of the neurons behind tdBN(c_m), alpha = 2; the membrane is carried from one micro-step to the next
        u_m = V_m s_m + a_m + Yd_m[y] + sum_{m'<m} D_m'm z_m'
        z_m fires with probability sigmoid(u_m)           an escape-noise neuron: a stochastic threshold on its membrane
        -log p(z) = sum_m softplus(u_m) - u_m z_m         nats, summed over the B bits of each micro-step

    Micro-step m = t G + g holds bits g B .. (g + 1) B - 1 of step t. In training mode all micro-steps are computed at
    once, and the norm takes its statistics over M and N; in eval mode they are computed one by one, as in drawing, so
    that a code has exactly the probability that it is drawn with.

    Args:
        T: steps of the code.
        L: bits a step.
        groups: G, a divisor of L.
        hidden: H.
        neuron: of the hidden layer.
        classes: labels are 0..classes - 1; `classes` itself says that there is none. 0: no labels at all.

    Raises:
        ValueError: G does not divide L.
    """

    mask: Tensor
    """Which synapses of D act, 1 or 0: those from one micro-step on later ones."""

    def __init__(self, T: int, L: int, groups: int, hidden: int, neuron: Neuron, classes: int = 0) -> None:
        super().__init__()
        if L % groups:
            raise ValueError(f"groups must divide the {L} bits of a step, found {groups}")
        self.T, self.L, self.groups, self.classes = T, L, groups, classes
        M, B, H = T * groups, L // groups, hidden
        self.W = nn.Parameter(torch.randn(M, B, H) / (M * B) ** 0.5)
        self.b = nn.Parameter(0.1 * torch.randn(M, H))
        neurons = neuron.build(H)
        self.layer = SpikingLayer(nn.Identity(), TDBatchNorm(H, neurons.v_th, NORM_ALPHA), neurons)
        self.V = nn.Parameter(0.1 * torch.randn(M, H, B) / H**0.5)
        self.a = nn.Parameter(torch.zeros(M, B))
        self.D = nn.Parameter(torch.zeros(M * B, M * B))
        if classes:
            self.Y = nn.Parameter(0.3 * torch.randn(classes + 1, H))
            self.Yd = nn.Parameter(torch.zeros(classes + 1, M * B))
        of_micro_step = torch.arange(M).repeat_interleave(B)
        acting = of_micro_step[:, None] < of_micro_step
        # As numbers: PyTorch multiplies by booleans ten times as slowly on a CPU.
        self.register_buffer("mask", acting.to(self.D.dtype), persistent=False)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Membranes u of the output neurons, [M, N, B], where the code is z [T, N, L]; labels int64 [N] if there are
        classes.

        Raises:
            ValueError: z of another T or L, labels of another number than codes; in eval mode a code of other numbers
                than 0 and 1.
        """
        if z.dim() != 3 or (z.shape[0], z.shape[2]) != (self.T, self.L):
            raise ValueError(f"z must be [T={self.T}, N, L={self.L}], found {list(z.shape)}")
        _check_labels(labels, z.shape[1])
        with torch.autocast(z.device.type, enabled=False):
            bits = self._micro_steps(z.to(self.W.dtype))
            return self.at_once(bits, labels) if self.training else self._of_given(bits, labels)

    def nll(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """-log p(z) in nats, [N]; the gradient reaches z too. Arguments as in `forward`."""
        u = self(z, labels)
        return (F.softplus(u) - u * self._micro_steps(z.to(u.dtype))).sum((0, 2))

    def sample(self, noise: Tensor, labels: Tensor | None = None, guidance: float = 0.0) -> Tensor:
        """A code z [T, N, L] of noise [N, T L], uniform in [0, 1).

        With guidance w > 0 (Ho and Salimans 2022, arXiv 2207.12598) z_m fires with probability
        sigmoid((1 + w) u_y - w u_none): membranes with the label and with none, both driven by the bits drawn so far.

        Args:
            noise: [N, T L].
            labels: int64 [N] if there are classes.
            guidance: w >= 0; 0: a draw from the prior as it is.

        Raises:
            ValueError: guidance below 0, or above it without classes or labels; labels of another number than codes.
        """
        _check_labels(labels, noise.shape[0])
        self._check_guidance(guidance, labels)
        with torch.autocast(noise.device.type, enabled=False):
            z, _ = self._one_by_one(noise.unflatten(1, self.a.shape), labels, guidance)
        return z.view(-1, self.T, self.L).transpose(0, 1)

    def _check_guidance(self, guidance: float, labels: Tensor | None) -> None:
        if not 0 <= guidance < math.inf:
            raise ValueError(f"guidance must be a number >= 0, found {guidance}")
        if guidance and (labels is None or not self.classes):
            missing = "labels" if self.classes else "a prior with classes"
            raise ValueError(f"guidance needs {missing} to guide towards, found {guidance} without; take 0")

    def at_once(self, bits: Tensor, labels: Tensor | None = None) -> Tensor:
        """Membranes u [M, N, B] of all micro-steps for given bits [M, N, B]."""
        M, N, B = bits.shape
        u = _Driven.apply(self._hidden(bits, labels), self.V)
        direct = self._direct(bits.transpose(0, 1).reshape(N, M * B))
        direct = direct if labels is None else direct + self.Yd[labels]
        return u + self.a.unsqueeze(1) + direct.view(N, M, B).transpose(0, 1)

    def _direct(self, bits: Tensor) -> Tensor:
        """What the direct synapses D make of the bits [N, M B], [N, M B]."""
        if len(self.D) < LONG or not bits.is_cpu or torch.compiler.is_compiling():
            return bits @ (self.D * self.mask)  # in few launches
        direct: Tensor = _Direct.apply(bits, self.D, self.a.shape[1])
        return direct

    def _hidden(self, bits: Tensor, labels: Tensor | None) -> Tensor:
        """Spikes s [M, N, H] of the hidden layer for given bits [M, N, B]."""
        M, N, _ = bits.shape
        one = bits.new_ones(M - 1, N, 1)
        weights = torch.cat([self.W[:-1], self.b.diff(dim=0).unsqueeze(1)], dim=1)  # b_m is carried like the rest
        start = self.b[0].expand(N, -1) if labels is None else self.b[0] + self.Y[labels]
        c = _Carried.apply(torch.cat([bits[:-1], one], dim=2), weights, start)
        spikes = self.layer(c.transpose(1, 2).unsqueeze(1))  # [M, 1, H, N]: the batch as space gives longer rows
        hidden: Tensor = spikes.squeeze(1).transpose(1, 2)
        return hidden

    @torch.no_grad()
    def passing(self, z: Tensor, labels: Tensor | None, name: str, given: int = 0) -> Iterator[Passing]:
        """The work of drawing the codes z [T, N, L], whose first `given` micro-steps are known: each bit reaches the
        hidden neurons once, their current is kept, and the output neurons of all later micro-steps; each hidden spike
        those of its own."""
        bits = self._micro_steps(z.to(self.W.dtype))
        M, N, B = bits.shape
        H = self.b.shape[1]
        hidden = self._hidden(bits, labels)
        sent = bits.transpose(0, 1).reshape(1, N, M * B)
        later = (M - 1 - torch.arange(M, device=bits.device)).repeat_interleave(B)  # micro-steps behind each bit
        to_outputs = hidden.clone()
        to_outputs[:given] = 0
        drawn = M - given  # micro-steps with output neurons
        yield Passing(f"{name}, bits to hidden", H * later.clamp(max=1), sent, 1, 0, owner=self)
        yield Passing(f"{name}, hidden", torch.full((H,), B), to_outputs, M, H, hidden, owner=self)
        yield Passing(f"{name}, bits to bits", B * later.clamp(max=drawn), sent, 1, drawn * B, owner=self)

    def _of_given(self, bits: Tensor, labels: Tensor | None) -> Tensor:
        """Membranes u [M, N, B] as in drawing, for given bits [M, N, B]; their gradient is that of `at_once`."""
        noise = forcing(bits.detach().transpose(0, 1))
        if not torch.compiler.is_compiling() and (noise.abs() != 1).any():
            raise ValueError("a code in eval mode must hold bits, 0 or 1, and found other numbers; round it")
        u = self._one_by_one(noise, labels)[1].transpose(0, 1)
        return _Valued.apply(self.at_once(bits, labels), u) if torch.is_grad_enabled() else u

    @torch.no_grad()
    def _one_by_one(self, noise: Tensor, labels: Tensor | None, guidance: float = 0.0) -> tuple[Tensor, Tensor]:
        """Bits z and membranes u [N, M, B] of noise [N, M, B], micro-step by micro-step, by the running statistics."""
        norm = self.layer.norm
        scale, shift = norm.affine(norm.running_mean, norm.running_var)
        none = self.b.new_zeros(1, noise.shape[0], 1)
        start, direct = none.expand(-1, -1, self.b.shape[1]), none + self.a.flatten()
        if labels is not None:
            rows = torch.stack([labels, torch.full_like(labels, self.classes)][: 2 if guidance else 1])
            start, direct = self.Y[rows], direct + self.Yd[rows]
        shift = scale * self.b + shift
        inputs = Inputs(noise, start, direct, scale, shift, self.W, self.V, self.D)
        return escape_draw(inputs, self.layer.neuron, guidance)

    def _micro_steps(self, z: Tensor) -> Tensor:
        """[T, N, L] -> [M, N, B]."""
        return z.unflatten(2, (self.groups, -1)).transpose(1, 2).flatten(0, 1)


def forcing(bits: Tensor) -> Tensor:
    """The noise that draws these bits: -1 where a bit is 1, below every probability, and 1 where it is 0."""
    return 1 - 2 * bits


def _check_labels(labels: Tensor | None, n: int) -> None:
    """A ValueError unless there is a label for each of n codes: the kernel would read beyond a single one."""
    if labels is not None and not torch.compiler.is_compiling() and list(labels.shape) != [n]:
        raise ValueError(f"labels must be int64 [{n}], one for each code, found {list(labels.shape)}")


class _Valued(torch.autograd.Function):
    """A value that was computed in another way than its gradient is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class _Carried(torch.autograd.Function):
    """c_0 = start, c_m = c_{m-1} + z_{m-1} W_{m-1}: z [M - 1, N, B], W [M - 1, B, H], start [N, H] -> c [M, N, H].

    On the CPU in one pass over c, and one over its gradient; a sum by `cumsum` takes three of each, but few launches.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, weights: Tensor, start: Tensor) -> Tensor:
        ctx.save_for_backward(z, weights)
        c = start.new_empty(len(z) + 1, *start.shape)
        c[0] = start
        if start.is_cuda:  # where a launch costs more than the sum
            torch.bmm(z, weights, out=c[1:])
            return c.cumsum_(0)
        for m in range(len(z)):
            torch.addmm(c[m], z[m], weights[m], out=c[m + 1])
        return c

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        z, weights = ctx.saved_tensors
        if grad.is_cuda:
            total = grad.flip(0).cumsum(0).flip(0)
        else:
            total = torch.empty_like(grad)
            total[-1] = grad[-1]
            for m in range(len(z) - 1, -1, -1):
                torch.add(grad[m], total[m + 1], out=total[m])
        to_z = torch.bmm(total[1:], weights.transpose(1, 2)) if ctx.needs_input_grad[0] else None
        return to_z, torch.bmm(z.transpose(1, 2), total[1:]), total[0]


class _Direct(torch.autograd.Function):
    """sum_{m'<m} D_m'm z_m': bits z [N, M B], D [M B, M B] -> [N, M B].

    A product for each micro-step, with that part of D which acts on it: half of the work of one with all of D.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, D: Tensor, B: int) -> Tensor:
        ctx.save_for_backward(z, D)
        ctx.B = B
        u = torch.zeros_like(z)
        for m in range(B, len(D), B):
            torch.mm(z[:, :m], D[:m, m : m + B], out=u[:, m : m + B])
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        z, D = ctx.saved_tensors
        to_z = torch.zeros_like(z) if ctx.needs_input_grad[0] else None
        to_D = torch.zeros_like(D) if ctx.needs_input_grad[1] else None
        for m in range(ctx.B, len(D), ctx.B):
            block = slice(m - ctx.B, m)
            if to_z is not None:
                torch.mm(grad[:, m:], D[block, m:].T, out=to_z[:, block])
            if to_D is not None:
                torch.mm(z[:, :m].T, grad[:, m : m + ctx.B], out=to_D[:m, m : m + ctx.B])
        return to_z, to_D, None


class _Driven(torch.autograd.Function):
    """s V: spikes s [M, N, H], V [M, H, B] -> [M, N, B].

    As products whose rows are H or N long, not B: up to five times as fast as those of torch.bmm(s, V).
    """

    @staticmethod
    def forward(ctx: Any, s: Tensor, V: Tensor) -> Tensor:
        ctx.save_for_backward(s, V)
        return torch.bmm(V.transpose(1, 2).contiguous(), s.transpose(1, 2)).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        s, V = ctx.saved_tensors
        return torch.bmm(grad, V.transpose(1, 2)), torch.bmm(grad.transpose(1, 2), s).transpose(1, 2)
