"""The systems of the field, each by a name: where it comes from, in what it differs, and its training run.

A new one is a function from the name of a data set to a run, and a line in SYSTEMS. What makes it another system is a
latent, a read-out, a neuron or an attention, which its configuration names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ..core import LeakyReLU
from .config import FSVAEConfig, TCJAConfig
from .latent import Bernoulli, Gaussian, Poisson
from .readout import READOUTS
from .train import TrainConfig

PUBLISHED = FSVAEConfig(latent=Bernoulli(sampling="prefix"))  # of FSVAE 2022, 1x32x32
MODELS = {
    "mnist": PUBLISHED,
    "fashion-mnist": PUBLISHED,
    "cifar10": replace(PUBLISHED, in_channels=3),
    "celeba": replace(PUBLISHED, image_size=64, in_channels=3, channels=(32, 64, 128, 256, 512)),
}
FLIPPED = ("cifar10", "celeba")  # by the authors' programs


@dataclass(frozen=True)
class System:
    """A system that a paper describes."""

    train: Callable[[str], TrainConfig]
    """The published training run on a data set of MODELS."""
    about: str
    """Where it comes from, and in what it differs from FSVAE 2022 or from its own paper."""
    published: Mapping[str, str] = field(default_factory=dict)
    """By data set what its paper reports: reconstruction MSE, FAD."""


def last_blocks(data: str) -> tuple[int, int]:
    """The numbers of the last two blocks of the encoder, and of the decoder."""
    blocks = len(MODELS[data].channels)
    return blocks - 2, blocks - 1


def fsvae2022(data: str) -> TrainConfig:
    return TrainConfig(data=data, flip=data in FLIPPED, model=MODELS[data])


def fsvae2022_kld(data: str) -> TrainConfig:
    run = fsvae2022(data)
    return replace(run, model=replace(run.model, latent=Bernoulli(sampling="prefix", distance="kld")))


def tcja_fsvae(data: str) -> TrainConfig:
    run = fsvae2022(data)
    return replace(run, model=replace(run.model, tcja=TCJAConfig(encoder=last_blocks(data), decoder=last_blocks(data))))


def tcja_readout(data: str) -> TrainConfig:
    run = fsvae2022(data)
    return replace(run, model=replace(run.model, readout=READOUTS["tcja"]))


def taid(data: str) -> TrainConfig:
    run = fsvae2022(data)
    return replace(run, model=replace(run.model, readout=READOUTS["taid"]))


def esvae(data: str) -> TrainConfig:
    lr, batch_size, L = {
        "mnist": (3e-3, 256, 32),
        "fashion-mnist": (3e-3, 256, 32),
        "cifar10": (6e-4, 256, 128),
        "celeba": (1e-3, 64, 128),
    }[data]
    run = fsvae2022(data)
    lr *= batch_size / 250  # as their program does with what its settings say
    return replace(run, epochs=300, batch_size=batch_size, lr=lr, model=replace(run.model, L=L, latent=Poisson()))


def ann_vae(data: str) -> TrainConfig:
    steps = {"mnist": 240, "fashion-mnist": 240, "cifar10": 200, "celeba": 652}[data]  # of an epoch
    model = replace(MODELS[data], T=1, latent=Gaussian(weight=1 / steps), neuron=LeakyReLU())
    return TrainConfig(data=data, flip=data == "celeba", weight_decay=1e-2, model=model)


SYSTEMS: dict[str, System] = {
    "fsvae2022": System(
        fsvae2022,
        "FSVAE (arXiv 2110.00375) by its published recipe: 150 epochs, batch 250, AdamW 1e-3, MMD, prefix, no TCJA.",
        {
            "mnist": "reconstruction MSE .031, FAD 35.54",
            "fashion-mnist": "reconstruction MSE .031, FAD 15.75",
            "cifar10": "reconstruction MSE .066, FAD 133.9",
            "celeba": "reconstruction MSE .051, FAD 112.9",
        },
    ),
    "fsvae2022-kld": System(
        fsvae2022_kld,
        "fsvae2022 with the KL divergence in place of the MMD, as the authors' program can be set.",
    ),
    "tcja-fsvae": System(
        tcja_fsvae,
        "fsvae2022 with TCJA (arXiv 2206.10177) in the last two blocks of encoder and decoder, blocks of our choice.",
    ),
    "tcja-readout": System(
        tcja_readout,
        "fsvae2022 with one TCJA in place of the membrane read-out, as in a program of TCJA's authors.",
    ),
    "taid": System(
        taid,
        "fsvae2022 with temporal attention in place of the read-out (TAID, arXiv 2406.03046); no adaptive neurons.",
        {"cifar10": "FAD 120.5", "celeba": "FAD 105.3"},
    ),
    "esvae": System(
        esvae,
        "ESVAE (arXiv 2310.14839) by its program: rates, their MMD and Poisson sampling, no latent networks.",
        {
            "mnist": "reconstruction MSE .013, FAD 10.99",
            "fashion-mnist": "reconstruction MSE .019, FAD 11.13",
            "cifar10": "reconstruction MSE .045, FAD 14.74",
            "celeba": "reconstruction MSE .034, FAD 51.93",
        },
    ),
    "ann-vae": System(
        ann_vae,
        "The papers' baseline that does not spike: the layers with batch norm and LeakyReLU, T = 1, Gaussian latent.",
        {
            "mnist": "reconstruction MSE .048, FAD 17.09",
            "fashion-mnist": "reconstruction MSE .050, FAD 18.08",
            "cifar10": "reconstruction MSE .105, FAD 196.9",
            "celeba": "reconstruction MSE .059, FAD 156.9",
        },
    ),
}
