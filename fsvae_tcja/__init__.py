"""Fully-spiking variational autoencoder with temporal-channel joint attention.

Importing this package loads nothing but the standard library; PyTorch comes with the first name that is used.
"""

from typing import TYPE_CHECKING

from .utils.lazy import lazy

if TYPE_CHECKING:
    from .core import NEURONS as NEURONS
    from .core import SURROGATES as SURROGATES
    from .core import LIFParams as LIFParams
    from .core import Neuron as Neuron
    from .data import IMAGE_SETS as IMAGE_SETS
    from .data import load_images as load_images
    from .runtime.run import RunFolder as RunFolder
    from .runtime.trainer import Trainer as Trainer
    from .vae import FSVAE as FSVAE
    from .vae import LATENTS as LATENTS
    from .vae import READOUTS as READOUTS
    from .vae import Bernoulli as Bernoulli
    from .vae import Escape as Escape
    from .vae import FSVAEConfig as FSVAEConfig
    from .vae import FSVAEOutput as FSVAEOutput
    from .vae import Hierarchical as Hierarchical
    from .vae import TCJAConfig as TCJAConfig
    from .vae import load as load
    from .vae import save as save
    from .vae.presets import PRESETS as PRESETS
    from .vae.summary import summary as summary
    from .vae.train import FSVAETask as FSVAETask
    from .vae.train import TrainConfig as TrainConfig
    from .version import __version__ as __version__

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        ".core": ("NEURONS", "SURROGATES", "LIFParams", "Neuron"),
        ".data": ("IMAGE_SETS", "load_images"),
        ".runtime.run": ("RunFolder",),
        ".runtime.trainer": ("Trainer",),
        ".vae": (
            *("FSVAE", "FSVAEConfig", "FSVAEOutput", "TCJAConfig", "load", "save"),
            *("LATENTS", "READOUTS", "Bernoulli", "Escape", "Hierarchical"),
        ),
        ".vae.presets": ("PRESETS",),
        ".vae.summary": ("summary",),
        ".vae.train": ("FSVAETask", "TrainConfig"),
        ".version": ("__version__",),
    },
)
