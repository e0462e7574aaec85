"""A model for images of another size or colour than those that its configuration was made for."""

from dataclasses import replace

from .config import FSVAEConfig


def sized(model: FSVAEConfig, size: int) -> FSVAEConfig:
    """The configuration for images of another size: one encoder block per halving down to 2 x 2.

    New blocks have twice the channels of the one before. Decoder blocks keep their attention as counted from the image.

    Args:
        model: the configuration to start from.
        size: height and width in pixels: 4, 8, 16, 32, 64, ...

    Raises:
        ValueError: another size.
    """
    blocks = size.bit_length() - 2
    if blocks < 1 or size != 2 ** (blocks + 1):
        raise ValueError(f"--size must be a power of two of at least 4 pixels, found {size}; 32 and 64 are usual")
    before = len(model.channels)
    channels = list(model.channels[:blocks])
    while len(channels) < blocks:
        channels.append(2 * channels[-1])
    tcja = replace(
        model.tcja,
        encoder=tuple(block for block in model.tcja.encoder if block < blocks),
        decoder=tuple(block + blocks - before for block in model.tcja.decoder if block + blocks - before >= 0),
    )
    return replace(model, image_size=size, channels=tuple(channels), tcja=tcja)
