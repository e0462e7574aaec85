"""The last stage of a training, adversarial: the decoder learns to draw from codes of the prior what a discriminator
takes for real.

The discriminator D is a small network of the ordinary kind that tells images that are real (> 0) from drawn ones (< 0).
It is trained beside the model, like a loss, and not part of it: what draws stays fully spiking. Encoder and prior stay
as they are. With images x, their codes z, codes z~ of the prior, and clusters y, y~ of both,

    decoder:        MSE(dec(z), x) - a mean D(dec(z~), y~)                          a rises over the first steps
    discriminator:  mean max(0, 1 - D(x, y)) + mean max(0, 1 + D(dec(z~), y~))      hinge loss, arXiv 1705.02894

Both in one step. The discriminator knows the cluster by a projection, arXiv 1802.05637, and its weights have spectral
norm, arXiv 1802.05957.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..runtime.config import Stage
from ..runtime.modes import evaluated
from ..utils import shares
from .config import FSVAEConfig
from .model import FSVAE
from .noise import Generated
from .sample import noise_of

STAGE = Stage(epochs=1, batch_size=32, lr=1e-3, betas=(0.5, 0.99), schedule="cosine", warmup=100)
RISE = 300  # first batches, or parts of them, over which the discriminator's weight rises
WIDTHS = (24, 48, 96)
FEATURES = 128
DRAWN = 16_384  # codes of the prior, drawn once
SEED = 1 << 62  # added to the run's, for codes that no one draws with a seed of 0, 1, ...


@dataclass(frozen=True)
class Tuning:
    """A last, adversarial stage: a discriminator looks at what the decoder makes of codes of the prior."""

    weight: float = 0.0
    """a, of the adversarial loss against the reconstruction error; 0: there is no such stage."""
    stage: Stage = field(default_factory=lambda: STAGE)
    """How long and how fast, decoder and discriminator."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight must be >= 0, found {self.weight}")


class Discriminator(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> D [N]. Convolutions 4x4 of stride 2 and a linear layer, with spectral norm.

    Args:
        config: of the model, for images of at least 8 pixels.
        classes: kinds of the codes that it knows; 0: none.
    """

    steps: Tensor

    def __init__(self, config: FSVAEConfig, classes: int = 0) -> None:
        super().__init__()
        widths = (config.in_channels, *WIDTHS)
        pixels = (config.image_size >> len(WIDTHS)) ** 2
        layers = [spectral_norm(nn.Conv2d(c, d, 4, 2, 1)) for c, d in pairwise(widths)]
        layers += [nn.Flatten(), spectral_norm(nn.Linear(WIDTHS[-1] * pixels, FEATURES))]
        self.features = nn.Sequential(*(part for layer in layers for part in _with_slope(layer)))
        self.score = spectral_norm(nn.Linear(FEATURES, 1))
        self.of_class = spectral_norm(nn.Embedding(classes + 1, FEATURES))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """images [N, C, H, W], int64 labels [N] in 0..classes -> [N]."""
        h = self.features(images)  # [N, F]
        return self.score(h).squeeze(1) + (h * self.of_class(labels)).sum(1)


def _with_slope(layer: nn.Module) -> list[nn.Module]:
    return [layer] if isinstance(layer, nn.Flatten) else [layer, nn.LeakyReLU(0.2)]


class Tuner:
    """The discriminator of a model, and the codes of the prior that it looks at.

    Args:
        model: encoder and prior as they will stay.
        weight: a.
        seed: of the run.

    Attributes:
        codes: uint8 [T, n, L], drawn from the prior.
    """

    def __init__(self, model: FSVAE, weight: float, seed: int) -> None:
        self.model, self.weight = model, weight
        self.device = next(model.parameters()).device
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # that of GPUs is not forked
            self.discriminator = Discriminator(model.config, model.latent.kinds).to(self.device)
        noise = noise_of(model, SEED + seed % SEED, 0, DRAWN)
        with evaluated(model):
            drawn = [model.latent.sample(part) for part in noise.split(1024, dim=1)]
        self.codes = torch.cat(drawn, dim=1).to(torch.uint8)
        self.kinds = self._known(model.latent.draw_kinds(noise), DRAWN)

    def losses(self, x: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """x [N, C, H, W] in [-1, 1] -> "loss", that of decoder and discriminator, and its parts."""
        model, discriminator, n = self.model, self.discriminator, len(x)
        z, kinds = self._code(x, labels, generator)
        device = generator.device
        chosen = shares.drawn(lambda n: torch.randint(DRAWN, (n,), generator=generator, device=device), n, generator)
        chosen = chosen.to(self.codes.device)
        y = self.kinds[chosen]
        recon, drawn = model.decoder(torch.cat([z, self.codes[:, chosen].to(z.dtype)], dim=1)).split(n)
        mse = F.mse_loss(recon.float(), x)
        drawn_logit = self._drawn_logit(drawn, y)
        real, unreal = self._logits(x, kinds, drawn.detach(), y)
        hinge = F.relu(1 - real).mean() + F.relu(1 + unreal).mean()
        rise = (discriminator.steps / RISE).clamp(max=1)
        discriminator.steps += 1
        loss = mse - self.weight * rise * drawn_logit + hinge
        return {"loss": loss, "mse": mse, "drawn_logit": drawn_logit, "hinge": hinge}

    def _drawn_logit(self, drawn: Tensor, y: Tensor) -> Tensor:
        """The mean of D of drawn images, with a gradient for these alone; on a GPU without power iteration."""
        discriminator, training = self.discriminator, self.discriminator.training
        discriminator.requires_grad_(False).train(training and not drawn.is_cuda)
        drawn_logit: Tensor = discriminator(drawn, y).float().mean()
        discriminator.requires_grad_(True).train(training)
        return drawn_logit

    def _logits(self, x: Tensor, kinds: Tensor, drawn: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """D of real and of drawn images, [N] each. On a GPU in one call: its weights are normalised once a step, by
        launches that cost more there than their work."""
        if x.is_cuda:
            both: Tensor = self.discriminator(torch.cat([x, drawn]), torch.cat([kinds, y])).float()
            real, unreal = both.split(len(x))
            return real, unreal
        return self.discriminator(x, kinds).float(), self.discriminator(drawn, y).float()

    def _code(self, x: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Code and kind of images, by encoder and latent in eval mode."""
        latent = self.model.latent
        noise = latent.noise(Generated(len(x), generator)).to(x.device)
        with evaluated(self.model):
            z, _ = latent.infer(self.model.encoder(x), noise)
            return z, self._known(latent.kinds_of(z, labels), len(x))

    def _known(self, kinds: Tensor | None, n: int) -> Tensor:
        return torch.zeros(n, dtype=torch.int64, device=self.device) if kinds is None else kinds
