from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest
import torch

from fsvae_tcja.core import TDBatchNorm
from fsvae_tcja.vae import FSVAE, Bernoulli, FSVAEConfig, TCJAConfig
from tests.curves import undrawn

SMALL = FSVAEConfig(T=7, L=6, latent=Bernoulli(k=3), channels=(3, 4, 5, 6), tcja=TCJAConfig((1, 3), (0, 2)))
LARGE = FSVAEConfig(image_size=64, in_channels=3, T=3, L=6, latent=Bernoulli(k=2), channels=(3, 4, 5, 6, 7))
TWO_BLOCKS = replace(SMALL, image_size=8, T=3, channels=(3, 4), tcja=TCJAConfig((1,), (0,)))  # traced in less time
K = SMALL.latent.k


def awake(config: FSVAEConfig) -> FSVAE:
    """A model whose neurons fire and are silent: random norms, running statistics of its own activity.

    A copy of one that each process makes once. The random state is that behind the making, too.
    """
    model, random = _awake(config)
    torch.set_rng_state(random)
    return deepcopy(model)


@cache
def _awake(config: FSVAEConfig) -> tuple[FSVAE, torch.Tensor]:
    torch.manual_seed(0)
    model = FSVAE(config).train()
    for name, parameter in model.named_parameters():
        if "norm.weight" in name:
            parameter.data.uniform_(0.8, 1.5)
        if "norm.bias" in name:
            parameter.data.normal_(0.15, 0.2)
    norms = [module for module in model.modules() if isinstance(module, TDBatchNorm)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches, of which a few are then enough
    with torch.no_grad():
        for _ in range(10):
            size = (16, config.in_channels, config.image_size, config.image_size)
            images = torch.rand(size) * 2 - 1 if config.input == "image" else torch.rand(config.T, *size)
            model.losses(images, model(images))
    for norm in norms:
        norm.momentum = 0.1
    return model.eval(), torch.get_rng_state()


@pytest.fixture(scope="module")
def without_curves() -> Iterator[None]:
    """Trainings draw no curves, which take longer than the rest of a tiny one."""
    with undrawn():
        yield


@pytest.fixture
def small() -> FSVAE:
    return awake(SMALL)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
