"""Writing checkpoints for the published FSVAE program (AAAI 2022): what `interop` reads, the other way."""

from pathlib import Path

import torch
from torch import Tensor

from ..core import FSVAE_LIF
from ..utils.atomic import replacing
from .interop import CONSTANTS, our_name
from .latent import Bernoulli
from .model import FSVAE
from .readout import READOUTS

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def their_names(blocks: int) -> list[str]:
    """The names of the tensors of a model of so many encoder blocks, the constants apart, in their order."""
    layers = [f"encoder.{i}" for i in range(blocks)] + ["before_latent_layer"]
    layers += [f"{network}.layers.{i}" for network in ("prior", "posterior") for i in range(3)]
    layers += ["decoder_input", *(f"decoder.{i}" for i in range(blocks - 1)), "final_layer.0"]
    names = [f"{layer}.{name}" for layer in layers for name in ("weight", "bias", *(f"bn.{part}" for part in NORM))]
    return [*names, "final_layer.1.weight", "final_layer.1.bias"]


def fsvae2022_state_dict(model: FSVAE) -> dict[str, Tensor]:
    """The weights under the names and in the shapes of the FSVAE 2022 program: convolutions with a last axis of 1.

    Raises:
        ValueError: a model that their program has not: with TCJA, another latent, read-out or neuron.
    """
    config = model.config
    wanted = {
        "latent": isinstance(config.latent, Bernoulli),
        "readout": config.readout == READOUTS["membrane"],
        "neuron": config.neuron == FSVAE_LIF,
        "tcja": not (config.tcja.encoder or config.tcja.decoder),
        "input": config.input == "image",
        "image_size": config.image_size in (32, 64),
    }
    if other := [name for name, same in wanted.items() if not same]:
        raise ValueError(
            f"the FSVAE 2022 program has no such model, for this one differs in {', '.join(other)}: it has images "
            "of 32 or 64 pixels, the Bernoulli latent, the membrane read-out, neurons fsvae2022 and no TCJA. Other "
            "formats take any model: --format onnx, torch"
        )
    blocks, ours = len(config.channels), model.state_dict()
    state = {name: ours[our_name(name, blocks - 1)] for name in their_names(blocks)}
    state = {name: value.unsqueeze(-1) if value.dim() == 4 else value for name, value in state.items()}
    zero = torch.zeros(1, config.L, 1)
    decay = torch.pow(0.8, torch.arange(config.T - 1, -1, -1))
    state |= {CONSTANTS[0]: zero, CONSTANTS[1]: zero.clone(), CONSTANTS[2]: decay.view(1, 1, 1, 1, -1)}
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def export_fsvae2022(model: FSVAE, path: str | Path) -> None:
    """Write a checkpoint that the FSVAE 2022 program loads, a .pth; whole or not at all.

    Raises:
        ValueError: as `fsvae2022_state_dict`, or another suffix.
    """
    state = fsvae2022_state_dict(model)
    with replacing(path, ".pth") as temporary:
        torch.save(state, temporary)
