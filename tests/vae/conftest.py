import pytest
import torch

from fsvae_tcja.vae import FSVAE, Bernoulli, FSVAEConfig, TCJAConfig

SMALL = FSVAEConfig(T=7, L=6, latent=Bernoulli(k=3), channels=(3, 4, 5, 6), tcja=TCJAConfig((1, 3), (0, 2)))
LARGE = FSVAEConfig(image_size=64, in_channels=3, T=3, L=6, latent=Bernoulli(k=2), channels=(3, 4, 5, 6, 7))
K = SMALL.latent.k


def awake(config: FSVAEConfig) -> FSVAE:
    """A model whose neurons fire and are silent: random norms, running statistics of its own activity."""
    torch.manual_seed(0)
    model = FSVAE(config).train()
    for name, parameter in model.named_parameters():
        if "norm.weight" in name:
            parameter.data.uniform_(0.8, 1.5)
        if "norm.bias" in name:
            parameter.data.normal_(0.15, 0.2)
    with torch.no_grad():
        for _ in range(60):
            size = (16, config.in_channels, config.image_size, config.image_size)
            images = torch.rand(size) * 2 - 1 if config.input == "image" else torch.rand(config.T, *size)
            model.losses(images, model(images))
    return model.eval()


@pytest.fixture
def small() -> FSVAE:
    return awake(SMALL)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
