"""Which implementation of an operation runs, and why.

"auto" takes the fastest implementation that can run the tensor at hand and logs once why it fell back. A backend that
is asked for by name never falls back: it raises and names the remedy. The environment variable FSVAE_TCJA_BACKEND
replaces "auto" everywhere.
"""

import os
from collections.abc import Callable

from torch import Tensor

from .kernels.lif import reference as lif_reference

ENVIRONMENT = "FSVAE_TCJA_BACKEND"
BACKENDS = ("reference",)

_IMPLEMENTATIONS: dict[str, dict[str, Callable]] = {
    "lif": {"reference": lif_reference.lif},
}


def select(operation: str, x: Tensor, backend: str = "auto") -> Callable:
    """The implementation of `operation` for a tensor like `x`.

    Raises:
        ValueError: the backend is unknown.
    """
    if backend == "auto":
        backend = os.environ.get(ENVIRONMENT, "auto")
    if backend == "auto":
        backend = "reference"
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}: choose 'auto' or one of {list(BACKENDS)}")
    return _IMPLEMENTATIONS[operation][backend]


def report() -> dict[str, str]:
    """Each operation with the backend that "auto" takes and the reason, for `fsvae-tcja doctor`."""
    forced = os.environ.get(ENVIRONMENT)
    why = f"forced by {ENVIRONMENT}" if forced else "the only backend"
    return {operation: f"{forced or 'reference'} ({why})" for operation in _IMPLEMENTATIONS}
