"""The fully-spiking VAE: encoder, decoder, read-out, and what joins them."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core import FSVAE_LIF, LIF, TCJA, Linear, SpikingLayer, TDBatchNorm
from .config import FSVAEConfig
from .latent import SCHEDULED_FROM, Posterior, Prior
from .sample import sample

READOUT_DECAY = 0.8
READOUT_KERNELS = {"kernel_c": 1, "kernel_t": 4}


class FSVAEOutput(NamedTuple):
    """recon [N, C, H, W] in [-1, 1]; q, p [T, N, L, k] and z [T, N, L], spikes in {0, 1}."""

    recon: Tensor
    q: Tensor
    p: Tensor
    z: Tensor


def _layer(transform: nn.Module, channels: int, config: FSVAEConfig, attended: bool) -> SpikingLayer:
    tcja = config.tcja
    attention = TCJA(config.T, channels, tcja.kernel_c, tcja.kernel_t, tcja.fusion) if attended else None
    return SpikingLayer(transform, TDBatchNorm(channels, FSVAE_LIF.v_th), LIF(FSVAE_LIF), attention, tcja.placement)


class Encoder(nn.Module):
    """Image -> latent spikes. Blocks of Conv3x3 stride 2, then a linear layer to L."""

    def __init__(self, config: FSVAEConfig) -> None:
        super().__init__()
        self.T = config.T
        widths = (config.in_channels, *config.channels)
        self.blocks = nn.ModuleList(
            _layer(nn.Conv2d(widths[i], widths[i + 1], 3, 2, 1), widths[i + 1], config, i in config.tcja.encoder)
            for i in range(len(config.channels))
        )
        self.to_latent = _layer(Linear(4 * widths[-1], config.latent), config.latent, config, False)

    def forward(self, images: Tensor) -> Tensor:
        """images [N, C, H, W] -> spikes [T, N, L]."""
        first, *rest = self.blocks
        x = first.forward_static(images, self.T)  # the image is the same at every step
        for block in rest:
            x = block(x)
        return self.to_latent(x.flatten(2))


class Readout(nn.Module):
    """Spikes of the last block -> image, through the last convolution (no norm, no neuron).

    "membrane": tanh(sum_t 0.8^(T-1-t) y_t), a LIF that never fires. "mean": tanh(mean_t y_t). Both are linear in y and
    so is the convolution: the sum over time, with these `coefficients`, is taken before it, for a T-th of the work.
    "tcja": tanh(sum_t F_t y_t) with the TCJA gate F of the output sequence y.

    All in float32 whatever the spikes are stored in: it is a membrane.
    """

    def __init__(self, config: FSVAEConfig) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(config.channels[0], config.in_channels, 3, 1, 1)
        self.linear = config.readout != "tcja"
        if self.linear:
            steps = torch.arange(config.T - 1, -1, -1)
            weights = READOUT_DECAY**steps if config.readout == "membrane" else torch.full((config.T,), 1 / config.T)
            self.register_buffer("coefficients", weights, persistent=False)
        else:
            self.attention = TCJA(config.T, config.in_channels, **READOUT_KERNELS)

    def of_sum(self, x: Tensor) -> Tensor:
        """Linear: spikes summed over time with the coefficients [N, C, H, W] -> images [N, C_in, H, W] in [-1, 1]."""
        with torch.autocast(x.device.type, enabled=False):
            y = nn.functional.conv_transpose2d(x, self.conv.weight, padding=1)
            return torch.tanh(y + self.conv.bias[:, None, None] * self.coefficients.sum())

    def of_sequence(self, x: Tensor) -> Tensor:
        """ "tcja": spikes [T, N, C, H, W] -> images [N, C_in, H, W] in [-1, 1]."""
        with torch.autocast(x.device.type, enabled=False):
            y = self.conv(x.flatten(0, 1).to(self.conv.weight.dtype)).unflatten(0, x.shape[:2])
            return torch.tanh(self.attention(y).sum(0))


class Decoder(nn.Module):
    """Latent spikes -> image. A linear layer, blocks of ConvTranspose3x3 stride 2, the read-out."""

    def __init__(self, config: FSVAEConfig) -> None:
        super().__init__()
        widths = (*reversed(config.channels), config.channels[0])
        self.from_latent = _layer(Linear(config.latent, 4 * widths[0]), 4 * widths[0], config, False)
        self.blocks = nn.ModuleList(
            _layer(
                nn.ConvTranspose2d(widths[i], widths[i + 1], 3, 2, 1, output_padding=1),
                widths[i + 1],
                config,
                i in config.tcja.decoder,
            )
            for i in range(len(config.channels))
        )
        self.readout = Readout(config)

    def forward(self, z: Tensor) -> Tensor:
        """z [T, N, L] -> images [N, C, H, W] in [-1, 1]."""
        *blocks, last = self.blocks
        x = self.from_latent(z).unflatten(2, (-1, 2, 2))  # [T, N, C, 2, 2]
        for block in blocks:
            x = block(x)
        if self.readout.linear:
            return self.readout.of_sum(last.summed(x, self.readout.coefficients))
        return self.readout.of_sequence(last(x))


class FSVAE(nn.Module):
    """Fully-spiking variational autoencoder with temporal-channel joint attention.

    Args:
        config: sizes and settings; `FSVAEConfig()` is the published 1x32x32 model.
    """

    def __init__(self, config: FSVAEConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FSVAEConfig()
        self.encoder = Encoder(config)
        self.posterior = Posterior(config.latent, config.k)
        self.prior = Prior(config.latent, config.k)
        self.decoder = Decoder(config)

    def forward(
        self,
        images: Tensor,
        *,
        choice: Tensor | None = None,
        generator: torch.Generator | None = None,
        scheduled: float = 0.0,
    ) -> FSVAEOutput:
        """Reconstruct, and give what the losses need.

        Args:
            images: [N, C, H, W] in [-1, 1].
            choice: picks [T, N, L] in 0..k-1 that replay a run; None draws them.
            generator: source of the random picks and of scheduled sampling; None takes torch's global one.
            scheduled: probability per step that the prior is fed its own prediction; training mode only.

        Raises:
            ValueError: images or choice of another shape or range than the model was made for.
        """
        z, q = self._infer(images, choice, generator)
        past = z
        if scheduled > 0 and self.training:
            past = self._schedule(z, scheduled, generator)
        return FSVAEOutput(self.decoder(z), q, self.prior.predict(past), z)

    def encode(
        self, images: Tensor, *, choice: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """images [N, C, H, W] in [-1, 1] -> posterior spikes z [T, N, L]. Arguments and errors as `forward`."""
        return self._infer(images, choice, generator)[0]

    def decode(self, z: Tensor) -> Tensor:
        """z [T, N, L] -> images [N, C, H, W] in [-1, 1]."""
        c = self.config
        if not z.is_floating_point():
            raise ValueError(f"z must be floating point spikes in {{0, 1}}, found {z.dtype}")
        if z.dim() != 3 or (z.shape[0], z.shape[2]) != (c.T, c.latent):
            raise ValueError(f"z must be [T={c.T}, N, L={c.latent}], found {list(z.shape)}")
        return self.decoder(z)

    def sample(self, n: int, seed: int = 0, *, batch_size: int = 64, choice: Tensor | None = None) -> Tensor:
        """Draw n images [n, C, H, W] in [-1, 1] from the prior; see `vae.sample.sample`."""
        return sample(self, n, seed, batch_size=batch_size, choice=choice)

    def _infer(self, images: Tensor, choice: Tensor | None, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        check_images(images, self.config)
        given = choice is not None
        choice = (
            self.check_choice(choice, len(images))
            if given
            else self._draw_choice(len(images), images.device, generator)
        )
        return self.posterior.infer(self.encoder(images), choice.to(images.device), self.config.sampling)

    def _draw_choice(self, n: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
        c = self.config
        source = device if generator is None else generator.device
        return torch.randint(c.k, (c.T, n, c.latent), generator=generator, device=source)

    def check_choice(self, choice: Tensor, n: int) -> Tensor:
        """The picks [T, n, L] as int64; a ValueError if they are of another shape or outside 0..k-1."""
        c = self.config
        if choice.shape != (c.T, n, c.latent):
            raise ValueError(f"choice must be [T, N, L] = {[c.T, n, c.latent]}, found {list(choice.shape)}")
        if choice.is_floating_point() or choice.min() < 0 or choice.max() >= c.k:
            raise ValueError(
                f"choice must be whole numbers in 0..{c.k - 1}, which of the k spikes to take; found {choice.dtype} "
                f"from {choice.min().item()} to {choice.max().item()}"
            )
        return choice.to(torch.int64)

    def _schedule(self, z: Tensor, probability: float, generator: torch.Generator | None) -> Tensor:
        source = generator.device if generator is not None else z.device
        coins = torch.rand(len(z), generator=generator, device=source) < probability
        coins[:SCHEDULED_FROM] = False
        if not coins.any():
            return z
        noise = torch.randn(z.shape, generator=generator, device=source).to(z.device)
        return self.prior.schedule(z, coins, noise, self.config.sampling)


def check_images(images: Tensor, config: FSVAEConfig) -> None:
    """Raise a ValueError unless images are float [N, C, H, W] in [-1, 1] of the configured shape."""
    shape = (config.in_channels, config.image_size, config.image_size)
    if images.dim() != 4 or images.shape[1:] != shape or len(images) == 0:
        raise ValueError(
            f"images must be [N, {', '.join(map(str, shape))}] with N >= 1, found {list(images.shape)}; "
            "resize them, or build a model of their size"
        )
    if not images.is_floating_point():
        raise ValueError(f"images must be floating point in [-1, 1], found {images.dtype}; 8-bit images: x / 127.5 - 1")
    low, high = images.aminmax()
    if not (low >= -1 and high <= 1):
        raise ValueError(
            f"images must lie in [-1, 1], found {low.item():.4g} to {high.item():.4g}; "
            "from [0, 1] take 2x - 1, from 0..255 take x / 127.5 - 1"
        )
