"""What is computed with a trained model computes float32 products in float32, whatever is set around it."""

from dataclasses import replace

import pytest
import torch

from fsvae_tcja.core.precision import current_products, float32_products
from fsvae_tcja.data.dataset import limited
from fsvae_tcja.data.load import load_images
from fsvae_tcja.report.latent import latent_use
from fsvae_tcja.vae import FSVAE, Escape
from fsvae_tcja.vae.codes import codes_of
from fsvae_tcja.vae.complete import complete
from fsvae_tcja.vae.energy import energy
from fsvae_tcja.vae.interpolate import interpolate
from fsvae_tcja.vae.recalibrate import recalibrate
from fsvae_tcja.vae.reconstruct import reconstruct

from .conftest import SMALL

CODES = torch.zeros(SMALL.T, 2, SMALL.L)
WAYS = {
    "model.sample": lambda model, digits: model.sample(2),
    "energy": lambda model, digits: energy(model, torch.zeros(2, 1, 32, 32)),
    "report": lambda model, digits: latent_use(model, digits, n=2),
    "reconstruct": lambda model, digits: list(reconstruct(model, digits, 2)),
    "encode": lambda model, digits: codes_of(model, limited(digits, 2)),
    "interpolate": lambda model, digits: interpolate(model, CODES, CODES, 3),
    "complete": lambda model, digits: complete(model, CODES, 1, 2),
    "recalibrate": lambda model, digits: recalibrate(model, digits, 2),
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return FSVAE(replace(SMALL, latent=Escape(groups=2, hidden=8, joint_groups=2, joint_hidden=8))).eval()


@pytest.mark.parametrize("way", WAYS)
def test_float32_is_float32(way, model):
    """On a GPU this is what its libraries read; a CPU has no TF32."""
    seen = set()
    products = [m for m in model.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    hooks = [m.register_forward_pre_hook(lambda *_: seen.update(current_products())) for m in products]
    with float32_products("tf32"):  # as in a training with --tf32
        around = current_products()
        WAYS[way](model, load_images("digits", "test"))
        assert current_products() == around
    for hook in hooks:
        hook.remove()
    assert seen == {"ieee"}
