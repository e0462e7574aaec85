"""Models that are exported fast: 4x4 pixels, one block."""

from dataclasses import replace

import pytest
import torch

from fsvae_tcja import FSVAE, Bernoulli, Escape, FSVAEConfig, TCJAConfig

from ..vae.conftest import awake

ESCAPE = Escape(groups=2, hidden=8, rate=0, classes=3, guidance=0.5)
TINY = FSVAEConfig(image_size=4, T=2, L=4, latent=Bernoulli(k=3), channels=(3,), tcja=TCJAConfig((), (0,)))


def of(latent) -> FSVAE:
    """A tiny model with this latent, whose neurons fire."""
    model = awake(replace(TINY, latent=latent))
    if isinstance(latent, Escape):
        model.latent.seen.copy_(torch.tensor([5, 0, 3, 1])[: latent.classes + 1])
        model.latent.prior.layer.norm.running_var.fill_(0.3)
    return model


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
