"""What a model is: sizes, attention, read-out. Saved inside every checkpoint."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..core.layers import Placement
from ..core.tcja import Fusion

Readout = Literal["membrane", "tcja", "mean"]
Sampling = Literal["stream", "prefix"]


def _choose(name: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {list(get_args(choices))}, found {value!r}")


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
    placement: Placement = "current"
    """Gate the current (all that travels between layers stays binary) or the spikes."""
    fusion: Fusion = "joint"
    """Join the two attentions by product (the paper's), by sum, or keep one of them."""

    def __post_init__(self) -> None:
        if min(self.kernel_c, self.kernel_t) < 1:
            raise ValueError(f"kernels must be >= 1, found kernel_c={self.kernel_c}, kernel_t={self.kernel_t}")
        _choose("placement", self.placement, Placement)
        _choose("fusion", self.fusion, Fusion)


@dataclass(frozen=True)
class FSVAEConfig:
    """A fully-spiking VAE. The defaults are the 1x32x32 model of FSVAE 2022, without TCJA."""

    image_size: int = 32
    """Height and width of the image in pixels: 2 * 2^(number of encoder blocks)."""
    in_channels: int = 1
    """1 for grey, 3 for RGB."""
    T: int = 16
    """Time steps."""
    latent: int = 128
    """L, latent neurons."""
    k: int = 20
    """Spikes per latent and step, of which one is drawn."""
    channels: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of the encoder blocks; the decoder mirrors them."""
    tcja: TCJAConfig = field(default_factory=TCJAConfig)
    """Attention."""
    readout: Readout = "membrane"
    """From the output sequence to the image: leaky sum (0.8 a step), TCJA gate and sum, or mean."""
    sampling: Sampling = "stream"
    """How training draws the latent: step by step by running statistics, O(T), or the authors' prefixes, O(T^2)."""

    def __post_init__(self) -> None:
        for name in ("image_size", "in_channels", "T", "latent", "k"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number >= 1, found {value!r}")
        if self.in_channels not in (1, 3):
            raise ValueError(f"in_channels must be 1 (grey) or 3 (RGB), found {self.in_channels}")
        if not self.channels or min(self.channels) < 1:
            raise ValueError(f"channels must name at least one block of at least one channel, found {self.channels}")
        size = 2 * 2 ** len(self.channels)
        if self.image_size != size:
            raise ValueError(
                f"{len(self.channels)} encoder blocks make a model for {size}x{size} images, found "
                f"image_size={self.image_size}; give one block per halving down to 2x2 "
                "(32 pixels: 4 blocks, 64 pixels: 5)"
            )
        _choose("readout", self.readout, Readout)
        _choose("sampling", self.sampling, Sampling)
        for part in ("encoder", "decoder"):
            blocks = getattr(self.tcja, part)
            if any(not 0 <= block < len(self.channels) for block in blocks) or len(set(blocks)) < len(blocks):
                raise ValueError(
                    f"tcja.{part} must name different blocks among 0..{len(self.channels) - 1}, found {blocks}"
                )
