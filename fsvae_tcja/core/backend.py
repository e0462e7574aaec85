"""Which implementation of the fused operations runs, and why.

"auto" takes the fastest implementation that can run the tensor at hand and logs once why it fell back. A backend that
is asked for by name never falls back: it raises and names the remedy. The environment variable FSVAE_TCJA_BACKEND
replaces "auto" everywhere.
"""

import logging
import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import torch

from ..utils.once import warn_once

ENVIRONMENT = "FSVAE_TCJA_BACKEND"
BACKENDS = ("reference", "cpu", "triton")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

_DEVICES = {"cpu": "cpu", "triton": "cuda"}
_PACKAGES = {"cpu": "numba", "triton": "triton"}
_REMEDIES = {
    "C compiler": "install one, such as gcc, or name it in the environment variable CC",
    "non-zero exit status": "what the C compiler says stands above; if it misses Python.h, install the headers of "
    "Python (python3-dev, python3-devel)",
}

log = logging.getLogger(__name__)


@cache
def _problem(backend: str) -> str | None:
    """Why the kernels cannot run, and the remedy; None if they can: on a GPU a tiny launch went through."""
    package = _PACKAGES[backend]
    if find_spec(package) is None:
        return f"it needs the package {package}; pip install {package}"
    try:
        import_module(f"{__package__}.kernels.lif.{backend}")
        if backend == "triton":
            import_module(f"{__package__}.kernels.common.probe").launch()
    except Exception as problem:
        message = (str(problem).splitlines() or [""])[0]
        remedy = next((r for what, r in _REMEDIES.items() if what in message), "reinstall or upgrade it")
        return f"the package {package} does not work ({type(problem).__name__}: {message}); {remedy}"
    return None


def obstacle(backend: str, device: str, dtype: torch.dtype, fusable: bool = True) -> str | None:
    """Why `backend` cannot run such neurons on such a tensor, and the remedy; None if it can."""
    if backend == "reference":
        return None
    if not fusable:
        return "it knows the LIF neurons of this package, and these are others; take 'reference'"
    if device != _DEVICES[backend]:
        return f"it runs on {_DEVICES[backend]} tensors, found one on {device}; move the model and the data there"
    if dtype not in DTYPES:
        return f"it stores {', '.join(str(d)[6:] for d in DTYPES)}, found {str(dtype)[6:]}; convert the input"
    return None if torch.compiler.is_compiling() else _problem(backend)  # no graph can hold an import


def _forced() -> str:
    """The backend that the environment asks for; "auto" if it asks for none."""
    return os.environ.get(ENVIRONMENT) or "auto"


def choose(device: str, dtype: torch.dtype, backend: str = "auto", fusable: bool = True) -> str:
    """The backend for tensors of this kind: a name of `BACKENDS`.

    Args:
        device: type of device, such as "cpu".
        dtype: what the tensors store.
        backend: what is asked for.
        fusable: whether the neuron has constants that the kernels know.

    Raises:
        ValueError: the backend is unknown, or asked for by name and cannot run.
    """
    if backend == "auto":
        backend = _forced()
    if backend == "auto":
        fused = "triton" if device == "cuda" else "cpu"
        why = obstacle(fused, device, dtype, fusable)
        if why is None:
            return fused
        if not torch.compiler.is_compiling():
            warn_once(log, f"no fused kernel, the reference runs instead (the same, slower): {fused}: {why}")
        return "reference"
    if backend not in BACKENDS:
        raise ValueError(
            f"unknown backend {backend!r} (argument or ${ENVIRONMENT}): choose 'auto' or one of {list(BACKENDS)}"
        )
    why = obstacle(backend, device, dtype, fusable)
    if why is not None:
        raise ValueError(f"backend {backend!r} cannot run: {why}, or choose 'auto'")
    return backend


def report() -> dict[str, str]:
    """Each device with the backend that "auto" takes for float32 and the reason, for `fsvae-tcja doctor`."""
    forced = None if _forced() == "auto" else _forced()
    lines = {}
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        fused = forced or ("triton" if device == "cuda" else "cpu")
        why = obstacle(fused, device, torch.float32) if fused in BACKENDS else "unknown backend"
        if forced:
            lines[device] = f"{forced} (forced by {ENVIRONMENT}{f'; cannot run: {why}' if why else ''})"
        else:
            lines[device] = f"reference ({fused}: {why})" if why else f"{fused} (fused kernels)"
    return lines
