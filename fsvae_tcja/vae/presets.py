"""Training runs by name."""

from dataclasses import replace

from ..core import CENTRED_LIF
from ..utils.presets import Preset
from .config import FSVAEConfig, TCJAConfig
from .latent import Bernoulli, Escape
from .latent.escape import PRIOR
from .train import TrainConfig

# Chosen by the ablation on the results page: in the last decoder blocks, on the spikes.
TCJA_32 = TCJAConfig(decoder=(2, 3))
TCJA_64 = TCJAConfig(decoder=(3, 4))
PUBLISHED = "Published without TCJA (150 epochs, protocol fsvae2022, n = 5,120): "


def fast(data: str) -> TrainConfig:
    """Both stages of the escape-noise latent in a few minutes, on 60,000 grey images of 10 classes."""
    latent = Escape(groups=8, hidden=512, classes=10, prior=replace(PRIOR, epochs=5))
    return TrainConfig(
        data=data,
        steps=5000,
        batch_size=32,
        lr=5e-3,
        schedule="cosine",
        warmup=50,
        recalibrate=4096,
        model=FSVAEConfig(T=4, latent=latent, neuron=CENTRED_LIF, channels=(16, 32, 64, 128), tcja=TCJA_32),
    )


PRESETS: dict[str, Preset] = {
    "digits": Preset(
        TrainConfig(
            data="digits",
            epochs=24,
            batch_size=64,
            lr=5e-3,
            model=FSVAEConfig(T=4, latent=Bernoulli(k=4), channels=(16, 32, 64, 128), tcja=TCJA_32),
        ),
        "The 1,797 digits of scikit-learn, half the channels, T = 4; under two minutes on two CPU cores.",
        "Reconstruction MSE .060, FAD 17.0 (strict, n = 1,000, seed 0, digits test; real images 1.5).",
    ),
    "mnist-5k": Preset(
        TrainConfig(
            data="mnist-5k",
            epochs=11,
            batch_size=64,
            lr=5e-3,
            model=FSVAEConfig(T=4, latent=Bernoulli(k=4), channels=(16, 32, 64, 128), tcja=TCJA_32),
        ),
        "The demo: 5,000 digits of MNIST, the same model; under two minutes on two CPU cores.",
        "Reconstruction MSE .117, FAD 35.8 (strict, n = 1,000, seed 0, mnist-5k test; real images .92).",
    ),
    "mnist-fast": Preset(
        fast("mnist"),
        "MNIST with the escape-noise latent, half the channels, T = 4, in two stages: code, then prior.",
    ),
    "fashion-mnist-fast": Preset(
        fast("fashion-mnist"),
        "Fashion-MNIST with the escape-noise latent, half the channels, T = 4, in two stages: code, then prior.",
    ),
    "mnist": Preset(
        TrainConfig(data="mnist", model=FSVAEConfig(tcja=TCJA_32)),
        "MNIST 1x32x32 by the published recipe (150 epochs, batch 250, AdamW 1e-3, MMD), with TCJA.",
        f"{PUBLISHED}reconstruction MSE .031, FAD 35.54.",
    ),
    "fashion-mnist": Preset(
        TrainConfig(data="fashion-mnist", model=FSVAEConfig(tcja=TCJA_32)),
        "Fashion-MNIST 1x32x32 by the published recipe, with TCJA.",
        f"{PUBLISHED}reconstruction MSE .031, FAD 15.75.",
    ),
    "cifar10": Preset(
        TrainConfig(data="cifar10", flip=True, model=FSVAEConfig(in_channels=3, tcja=TCJA_32)),
        "CIFAR10 3x32x32 by the published recipe, horizontal flips, with TCJA.",
        f"{PUBLISHED}reconstruction MSE .066, FAD 133.9.",
    ),
    "celeba": Preset(
        TrainConfig(
            data="celeba",
            model=FSVAEConfig(image_size=64, in_channels=3, channels=(32, 64, 128, 256, 512), tcja=TCJA_64),
        ),
        "CelebA 3x64x64, centre crop 148, by the published recipe, with TCJA.",
        f"{PUBLISHED}reconstruction MSE .051, FAD 112.9.",
    ),
}
