"""How long the codes of images are under the prior."""

from typing import Any

from torch import Tensor

from .latent.escape_code import entropy


def code_nats(latent: Any, z: Tensor, q: Tensor | None, labels: Tensor | None = None) -> Tensor:
    """Of codes in nats, [N]: -log p(z | y), and of a stochastic code less the entropy of the posterior.

    Args:
        latent: a latent with a probability, `nll`.
        z: codes [T, N, L].
        q: what `infer` gives beside z.
        labels: int64 [N], y; None: no label is known. With clusters y is the cluster of each code.
    """
    nats = latent.nll(z, labels)
    return nats - entropy(q) if latent.params.takes_current and q is not None else nats
