"""What a model is: sizes, attention, latent, read-out, neurons. Saved inside every checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..core import FSVAE_LIF, Neuron
from ..core.layers import Placement
from ..core.tcja import Fusion
from ..utils.spelling import check_choice
from .latent import LATENTS, Latent
from .readout import READOUTS, Readout
from .upgrade import upgrade_model

Input = Literal["image", "frames"]
CHANNELS = {"image": (1, 3), "frames": (1, 2, 3)}


@dataclass(frozen=True)
class TCJAConfig:
    """Where temporal-channel joint attention sits in the FSVAE, and its form."""

    encoder: tuple[int, ...] = ()
    """Encoder blocks that have TCJA, counted from 0 at the image."""
    decoder: tuple[int, ...] = ()
    """Decoder blocks that have TCJA, counted from 0 at the latent."""
    kernel_c: int = 4
    """K_C, extent of the convolution that slides along channels."""
    kernel_t: int = 4
    """K_T, extent of the convolution that slides along time."""
    placement: Placement = "spikes"
    """Gate the spikes, or the current (all that travels between layers stays binary)."""
    fusion: Fusion = "joint"
    """Join the two attentions by product (the paper's), by sum, or keep one of them."""

    def __post_init__(self) -> None:
        if min(self.kernel_c, self.kernel_t) < 1:
            raise ValueError(f"kernels must be >= 1, found kernel_c={self.kernel_c}, kernel_t={self.kernel_t}")
        check_choice("placement", self.placement, Placement)
        check_choice("fusion", self.fusion, Fusion)


@dataclass(frozen=True)
class FSVAEConfig:
    """A fully-spiking VAE. The defaults are the 1x32x32 model of FSVAE 2022, without TCJA."""

    image_size: int = 32
    """Height and width of the image in pixels: 2 * 2^(number of encoder blocks)."""
    in_channels: int = 1
    """Channels of the image: 1 for grey, 3 for RGB; of event frames 2, darker and brighter."""
    T: int = 16
    """Time steps."""
    L: int = 128
    """Latent neurons."""
    latent: Latent = LATENTS["bernoulli"]
    """What is drawn in the latent, and how posterior and prior are compared."""
    channels: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of the encoder blocks; the decoder mirrors them."""
    tcja: TCJAConfig = field(default_factory=TCJAConfig)
    """Attention."""
    readout: Readout = READOUTS["membrane"]
    """From the output sequence to the image: leaky sum (0.8 a step), TCJA or TAID gate and sum, or mean."""
    neuron: Neuron = FSVAE_LIF
    """The neurons of all layers."""
    input: Input = "image"
    """image: [N, C, H, W] in [-1, 1] at each step; frames: [T, N, C, H, W] in [0, 1], whose mean is reconstructed."""

    def __post_init__(self) -> None:
        if isinstance(self.latent, int):
            raise ValueError(
                f"latent must be one of {list(LATENTS)} or a Latent, found {self.latent}; the number of latent neurons "
                f"is L: FSVAEConfig(L={self.latent})"
            )
        for name, kind in (("latent", Latent), ("readout", Readout), ("neuron", Neuron)):
            object.__setattr__(self, name, kind.of(getattr(self, name)))
        for name in ("image_size", "in_channels", "T", "L"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number >= 1, found {value!r}")
        if self.latent.of_spikes and not self.neuron.spiking:
            raise ValueError(
                f"the code of the latent {type(self.latent).__name__} is of spikes, found the neuron "
                f"{type(self.neuron).__name__}, which has none; take neurons that spike, or the latent gaussian"
            )
        check_choice("input", self.input, Input)
        if self.in_channels not in CHANNELS[self.input]:
            wanted = "1 (grey) or 3 (RGB)" if self.input == "image" else "1, 2 (events) or 3"
            raise ValueError(f"in_channels must be {wanted}, found {self.in_channels}")
        if not self.channels or min(self.channels) < 1:
            raise ValueError(f"channels must name at least one block of at least one channel, found {self.channels}")
        size = 2 * 2 ** len(self.channels)
        if self.image_size != size:
            raise ValueError(
                f"{len(self.channels)} encoder blocks make a model for {size}x{size} images, found "
                f"image_size={self.image_size}; give one block per halving down to 2x2 "
                "(32 pixels: 4 blocks, 64 pixels: 5)"
            )
        for part in ("encoder", "decoder"):
            blocks = getattr(self.tcja, part)
            if any(not 0 <= block < len(self.channels) for block in blocks) or len(set(blocks)) < len(blocks):
                raise ValueError(
                    f"tcja.{part} must name different blocks among 0..{len(self.channels) - 1}, found {blocks}"
                )

    @property
    def sizes(self) -> list[int]:
        """Numbers that the layers hand on for one image, in all steps, but for the last block, summed at once."""
        areas = [(self.image_size >> i + 1) ** 2 for i in range(len(self.channels))]  # 16^2, 8^2, 4^2, 2^2
        blocks = [channels * area for channels, area in zip(self.channels, areas, strict=True)]
        return [self.T * size for size in (*blocks, self.L, *reversed(blocks))]

    @staticmethod
    def upgrade(data: Mapping[str, Any]) -> dict[str, Any]:
        """Plain data of any version in today's form."""
        return upgrade_model(data)
