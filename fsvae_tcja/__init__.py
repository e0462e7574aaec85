"""Fully-spiking variational autoencoder with temporal-channel joint attention.

Importing this package loads nothing but the standard library; PyTorch comes with the first name that is used.
"""

from typing import TYPE_CHECKING

from .utils.lazy import lazy

if TYPE_CHECKING:
    from .data import load_images as load_images
    from .runtime.run import RunFolder as RunFolder
    from .vae import FSVAE as FSVAE
    from .vae import FSVAEConfig as FSVAEConfig
    from .vae import FSVAEOutput as FSVAEOutput
    from .vae import TCJAConfig as TCJAConfig
    from .vae import load as load
    from .vae import save as save
    from .vae.presets import PRESETS as PRESETS
    from .vae.train import FSVAETask as FSVAETask
    from .vae.train import TrainConfig as TrainConfig
    from .version import __version__ as __version__

_PLACES = {
    "FSVAE": ".vae",
    "FSVAEConfig": ".vae",
    "FSVAEOutput": ".vae",
    "FSVAETask": ".vae.train",
    "PRESETS": ".vae.presets",
    "RunFolder": ".runtime.run",
    "TCJAConfig": ".vae",
    "TrainConfig": ".vae.train",
    "__version__": ".version",
    "load": ".vae",
    "load_images": ".data",
    "save": ".vae",
}
__all__ = [*_PLACES]
__getattr__, __dir__ = lazy(__name__, _PLACES)
