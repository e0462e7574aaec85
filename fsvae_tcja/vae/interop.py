"""Importing the checkpoints of the published FSVAE program (AAAI 2022)."""

import re
from pathlib import Path

from torch import Tensor

from ..runtime.checkpoint import load_into, read_state_dict
from ..runtime.memory import no_larger_than
from ..utils.foreign import reading
from .config import FSVAEConfig
from .latent import Bernoulli
from .model import FSVAE
from .readout import SumThenConvolve

# Their names -> ours, in order; `{last}` is the number of the last decoder block.
RENAME = [
    (r"^encoder\.(\d+)\.", r"encoder.blocks.\1."),
    (r"^(prior|posterior)\.", r"latent.\1."),
    (r"^before_latent_layer\.", "encoder.to_latent."),
    (r"^decoder_input\.", "decoder.from_latent."),
    (r"^decoder\.(\d+)\.", r"decoder.blocks.\1."),
    (r"^final_layer\.0\.", "decoder.blocks.{last}."),
    (r"^final_layer\.1\.", "decoder.readout.conv."),
    (r"\.bn\.", ".norm."),
    (r"^(?!decoder\.readout)(.*(?:\.\d+|_latent))\.(weight|bias)$", r"\1.transform.\2"),
]
ELSEWHERE = {  # names by which other weights are known
    "encoder.blocks.0.transform.weight": "an FSVAE of this package: FSVAE(config).load_state_dict(torch.load(...))",
    "latent_layer.weight": "the autoencoder of a FAD: --networks.autoencoder of fsvae-tcja score",
    "logits.weight": "a classifier of domain scores: --networks.classifier of fsvae-tcja score",
    "Mixed_5b.branch1x1.conv.weight": "an Inception network: --networks.inception of fsvae-tcja score",
}
CONSTANTS = ("prior.initial_input", "posterior.initial_input", "membrane_output_layer.coef")


def _configure(state: dict[str, Tensor], path: Path) -> FSVAEConfig:
    """Every size is read off the file."""
    blocks = sum(re.fullmatch(r"encoder\.\d+\.weight", name) is not None for name in state)
    convolutions = [f"encoder.{i}.weight" for i in range(max(blocks, 1))]
    needed = [*convolutions, "before_latent_layer.weight", "prior.layers.2.weight", "membrane_output_layer.coef"]
    if missing := [name for name in needed if name not in state]:
        known = "".join(f". They are the weights of {what}" for name, what in ELSEWHERE.items() if name in state)
        raise ValueError(f"{path} is not an FSVAE 2022 checkpoint: it lacks {missing[:3]}{known}")
    if empty := [name for name in needed if state[name].dim() < 2 or not state[name].numel()]:
        raise ValueError(f"{path}: {empty[0]} has shape {list(state[empty[0]].shape)}, which no FSVAE 2022 has")
    L = len(state["before_latent_layer.weight"])
    return FSVAEConfig(
        image_size=2 * 2**blocks,
        in_channels=state[convolutions[0]].shape[1],
        T=state["membrane_output_layer.coef"].shape[-1],
        L=L,
        latent=Bernoulli(k=len(state["prior.layers.2.weight"]) // L, sampling="prefix"),
        channels=tuple(len(state[name]) for name in convolutions),
    )


def _check_constants(state: dict[str, Tensor], model: FSVAE, path: Path) -> None:
    """The constants of their file must be ours: z_0 = 0 and a read-out that decays by 0.8."""
    first = [state[k] for k in CONSTANTS[:2] if k in state]
    decay = state[CONSTANTS[2]].flatten().float()
    readout = model.decoder.readout
    assert isinstance(readout, SumThenConvolve)  # _configure asks for no other
    same = decay.shape == (model.config.T,) and decay.allclose(readout.coefficients)
    if not same or any(z.any() for z in first):
        raise ValueError(f"{path} has another initial latent than 0 or another read-out decay than 0.8: not FSVAE 2022")


def our_name(name: str, last: int) -> str:
    """Our name of one of their tensors, `last` the number of the last decoder block."""
    for pattern, ours in RENAME:
        name = re.sub(pattern, ours.replace("{last}", str(last)), name)
    return name


def import_fsvae2022(path: str | Path) -> FSVAE:
    """Read an authors' checkpoint into our model; sizes and T are taken from the file.

    Names inside a "state_dict", or behind "module.", are found too.

    The model comes in eval mode; trained on, it draws z by prefixes, the published way. Only tensors are unpickled.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no such checkpoint, its tensors do not fit one another, or its model not the memory.
    """
    path = Path(path)
    state = read_state_dict(path)
    with reading(path, "holds no FSVAE 2022 model"), no_larger_than(state):
        config = _configure(state, path)
        model = FSVAE(config)
        last = len(config.channels) - 1
        ours = {our_name(k, last): v.squeeze(-1) if v.dim() == 5 else v for k, v in state.items() if k not in CONSTANTS}
        load_into(model, ours, path)
        _check_constants(state, model, path)
        return model.eval()
