"""Training runs by name."""

from dataclasses import replace

from ..core import CENTRED_LIF
from ..utils.presets import Preset
from .config import FSVAEConfig, TCJAConfig
from .discriminator import STAGE, Tuning
from .latent import Bernoulli, Escape
from .latent.escape import PRIOR
from .systems import MODELS, SYSTEMS
from .train import TrainConfig

# Chosen by the ablation on the results page: in the last decoder blocks, on the spikes.
TCJA_32 = TCJAConfig(decoder=(2, 3))
TCJA_64 = TCJAConfig(decoder=(3, 4))

GREY = FSVAEConfig(T=4, neuron=CENTRED_LIF, channels=(16, 32, 64, 128), tcja=TCJA_32)
COLOUR = FSVAEConfig(T=4, L=256, in_channels=3, neuron=CENTRED_LIF, channels=(32, 64, 128, 256), tcja=TCJA_32)
FACES = replace(COLOUR, image_size=64, channels=(32, 64, 128, 256, 512), tcja=TCJA_64)

# By the trials of docs/STUDY.md.
LATENT = Escape(groups=8, hidden=512, clusters=100, guidance=0.25, prior=PRIOR)
FAST = replace(LATENT, prior=replace(PRIOR, epochs=5))
DEMO = replace(LATENT, clusters=0, classes=10, guidance=1, prior=replace(PRIOR, epochs=12))
LONG = replace(LATENT, hidden=1024, prior=replace(PRIOR, epochs=20))

# A code that holds a garment's fabric, and blocks wide enough to read it.
WIDE = replace(GREY, L=512, channels=(32, 64, 256, 512))
WIDE_LATENT = replace(LATENT, rate=0.0, groups=16, hidden=1024, prior=replace(PRIOR, epochs=6))


def tuned(weight: float, steps: int) -> Tuning:
    """The last stage, of so many steps."""
    return Tuning(weight, replace(STAGE, steps=steps))


TUNING = tuned(0.02, 6000)
PUBLISHED = "Published (protocol fsvae2022, n = 5,120):"


def escape(
    data: str,
    model: FSVAEConfig = GREY,
    latent: Escape = LATENT,
    tuning: Tuning = TUNING,
    *,
    steps: int = 16_000,
    flip: bool = False,
) -> TrainConfig:
    """The escape-noise latent in three stages: the code, the prior, the decoder on codes of the prior."""
    return TrainConfig(
        data=data,
        steps=steps,
        batch_size=32,
        lr=5e-3,
        schedule="cosine",
        warmup=50,
        ema=0.998,
        recalibrate=8192,
        flip=flip,
        model=replace(model, latent=latent),
        tuning=tuning,
    )


def fast(data: str) -> TrainConfig:
    """The same with shorter stages."""
    return escape(data, latent=FAST, tuning=tuned(0.02, 1200), steps=2500)


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
        replace(escape("mnist-5k", latent=DEMO, tuning=Tuning(), steps=700), recalibrate=2000, evaluate_every=10),
        "The demo: 5,000 digits of MNIST, the escape-noise latent with labels; in some two minutes on one CPU core.",
        "Reconstruction MSE .085, FAD 48.4 (strict, n = 1,000, seed 0, autoencoder mnist; real images 2.83).",
    ),
    "mnist-fast": Preset(
        fast("mnist"),
        "MNIST 1x32x32, the escape-noise latent, half the channels, T = 4; some six minutes on two cores.",
        "FAD 11.1 (fsvae2022, n = 5,120, seed 0), reconstruction MSE .046.",
    ),
    "fashion-mnist-fast": Preset(
        fast("fashion-mnist"),
        "Fashion-MNIST 1x32x32, the escape-noise latent, half the channels, T = 4; some six minutes on two cores.",
        "FAD 14.0 (fsvae2022, n = 5,120, seed 0), reconstruction MSE .059.",
    ),
    "mnist": Preset(
        escape("mnist"),
        "MNIST 1x32x32, the escape-noise latent, half the channels, T = 4.",
        "FAD 5.99 (fsvae2022, n = 5,120, seed 0), reconstruction MSE .032; some 45 minutes of one thread.",
    ),
    "fashion-mnist": Preset(
        escape("fashion-mnist"),
        "Fashion-MNIST 1x32x32, the escape-noise latent, half the channels, T = 4.",
        "FAD 6.27 (fsvae2022, n = 5,120, seed 0), reconstruction MSE .046; some 45 minutes of one thread.",
    ),
    "mnist-best": Preset(
        escape("mnist", latent=LONG, tuning=tuned(0.02, 30_000), steps=100_000),
        "MNIST 1x32x32, the same with a larger prior, trained longest.",
        "FAD 4.56 (fsvae2022, n = 5,120, seed 0), reconstruction MSE .032; some 5.2 hours of one thread.",
    ),
    "fashion-mnist-best": Preset(
        escape("fashion-mnist", WIDE, WIDE_LATENT, tuned(0.004, 3000), steps=14_000),
        "Fashion-MNIST 1x32x32, a longer code, a larger prior and wider blocks.",
        "FAD 3.41 (fsvae2022, n = 5,120, seed 0), reconstruction MSE .018; 1.6 hours of one thread with AVX512-BF16.",
    ),
    "cifar10": Preset(
        escape("cifar10", COLOUR, LONG, steps=40_000, flip=True),
        "CIFAR10 3x32x32, the escape-noise latent, T = 4, L = 256, horizontal flips.",
    ),
    "celeba": Preset(
        escape("celeba", FACES, LONG, steps=40_000),
        "CelebA 3x64x64, centre crop 148, the escape-noise latent, five blocks, T = 4, L = 256.",
    ),
}
PRESETS |= {
    f"{name}-{data}": Preset(
        system.train(data),
        system.about,
        f"{PUBLISHED} {system.published[data]}." if data in system.published else "",
        group=f"{name}-DATA",
    )
    for name, system in SYSTEMS.items()
    for data in MODELS
}
