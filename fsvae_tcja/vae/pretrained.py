"""Models to hand on: without what only training needs, and in half the bytes."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from .config import FSVAEConfig
from .latent import Escape
from .latent.escape_prior import EscapePrior


def drawing_config(config: FSVAEConfig) -> FSVAEConfig:
    """The configuration of the same model without joint priors, which keep codes short while training."""
    if isinstance(config.latent, Escape):
        return replace(config, latent=config.latent.for_drawing())
    return config


def training_parts(model: nn.Module) -> list[str]:
    """The names of the modules that a model of `drawing_config` lacks."""
    return [name for name, _ in model.named_modules() if name in ("latent.joint", "latent.joint_base")]


def compact(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model in half precision, and of each prior's direct synapses D only those that act.

    Those stay as they are that half precision cannot hold, such as counts of more than 65,504 images.
    """
    tensors = {name: _halved(t) for name, t in model.state_dict().items()}
    for name, prior in _priors(model):
        tensors[name] = tensors[name][prior.mask.bool()]
    return tensors


def _halved(tensor: Tensor) -> Tensor:
    half = tensor.half() if tensor.is_floating_point() else tensor
    return half if half.isfinite().all() else tensor


def expanded(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `compact` made of the tensors of such a model, in full form and single precision; others as they are."""
    found = {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
    for name, prior in _priors(model):
        acting = found.get(name)
        if acting is not None and acting.dim() == 1 and len(acting) == prior.mask.sum():
            whole = acting.new_zeros(prior.mask.shape)
            whole[prior.mask.bool().to(whole.device)] = acting
            found[name] = whole
    return found


def _priors(model: nn.Module) -> Iterator[tuple[str, EscapePrior]]:
    """The escape priors in a model, under the names of their direct synapses."""
    for name, module in model.named_modules():
        if isinstance(module, EscapePrior):
            yield f"{name}.D", module
