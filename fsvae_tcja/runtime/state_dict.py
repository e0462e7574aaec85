"""Whether what a .pth file holds is a state dict: names and dense tensors, perhaps inside something else."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..utils.foreign import brief
from ..utils.memory import gigabytes

log = logging.getLogger(__name__)

INSIDE = ("state_dict", "model_state_dict", "model")  # where programs put it, beside the epoch and the optimizer
WRAPPED = ("module.", "_orig_mod.")  # in front of all names, of a model inside DataParallel or torch.compile


def plain(state: Any, path: Path) -> dict[str, Tensor]:
    """The names and tensors of what was unpickled from the file `path`.

    Raises:
        ValueError: there are other things, or tensors that are complex, sparse, quantised or larger than what is stored
            of them; the first is named.
    """
    for name in INSIDE:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            log.warning(f"{path}: the weights are those inside, under {name!r}")
            state = state[name]
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} is no plain PyTorch state dict: expected names and tensors, found {_kind(state)}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            found = f"{brief(name)}: {_kind(value)}"
            raise ValueError(f"{path} is no plain PyTorch state dict: expected names and tensors, found {found}")
        if strange := _strange(value):
            raise ValueError(
                f"{path}: {brief(name)} is {strange}; expected dense tensors of real numbers, save them so"
            )
    while prefix := next((one for one in WRAPPED if state and all(name.startswith(one) for name in state)), None):
        log.warning(f"{path}: {prefix!r} in front of all names is left away")
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _strange(tensor: Tensor) -> str | None:
    """What keeps a tensor from being weights."""
    if tensor.layout != torch.strided or tensor.is_nested:
        return f"sparse or nested ({tensor.layout})"
    if tensor.is_quantized or tensor.is_complex():
        return f"of type {tensor.dtype}"
    if tensor.device.type != "cpu":
        return f"without values, on the device {tensor.device}"
    size = tensor.numel() * tensor.element_size()
    if size > tensor.untyped_storage().nbytes():
        return f"expanded: its shape {list(tensor.shape)} takes {gigabytes(size)}, more than is stored"
    return None
