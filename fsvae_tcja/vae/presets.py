"""Training runs by name. Each says what it is; what it gives stands on the results page."""

from dataclasses import dataclass

from .config import FSVAEConfig, TCJAConfig
from .train import TrainConfig

# Chosen by the ablation on the results page: in the last decoder blocks, on the spikes.
TCJA_32 = TCJAConfig(decoder=(2, 3), placement="spikes")
TCJA_64 = TCJAConfig(decoder=(3, 4), placement="spikes")


@dataclass(frozen=True)
class Preset:
    """A named configuration and a sentence on it."""

    config: TrainConfig
    about: str


PRESETS: dict[str, Preset] = {
    "digits": Preset(
        TrainConfig(
            data="digits",
            epochs=24,
            batch_size=64,
            lr=5e-3,
            model=FSVAEConfig(T=4, k=4, channels=(16, 32, 64, 128), tcja=TCJA_32),
        ),
        "The demo: the 1,797 digits of scikit-learn, half the channels, T = 4; under two minutes on two CPU cores.",
    ),
    "mnist": Preset(
        TrainConfig(data="mnist", model=FSVAEConfig(tcja=TCJA_32)),
        "MNIST 1x32x32 by the published recipe (150 epochs, batch 250, AdamW 1e-3, MMD), with TCJA.",
    ),
    "fashion-mnist": Preset(
        TrainConfig(data="fashion-mnist", model=FSVAEConfig(tcja=TCJA_32)),
        "Fashion-MNIST 1x32x32 by the published recipe, with TCJA.",
    ),
    "cifar10": Preset(
        TrainConfig(data="cifar10", flip=True, model=FSVAEConfig(in_channels=3, tcja=TCJA_32)),
        "CIFAR10 3x32x32 by the published recipe, horizontal flips, with TCJA.",
    ),
    "celeba": Preset(
        TrainConfig(
            data="celeba",
            model=FSVAEConfig(image_size=64, in_channels=3, channels=(32, 64, 128, 256, 512), tcja=TCJA_64),
        ),
        "CelebA 3x64x64, centre crop 148, by the published recipe, with TCJA.",
    ),
}


def preset(name: str) -> Preset:
    """The preset of this name; a ValueError that lists the names if there is none."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}: choose one of {list(PRESETS)}")
    return PRESETS[name]
