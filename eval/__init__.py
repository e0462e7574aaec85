"""Scores that can be compared: `evaluate(images, protocol, reference=..., networks=Networks(...))`.

from eval import Networks, evaluate

(score,) = evaluate(images, "strict", reference="mnist:test", networks=Networks(autoencoder="fad.safetensors"))

Importing this package loads nothing but the standard library; PyTorch comes with the first name that is used.
"""

from typing import TYPE_CHECKING

from fsvae_tcja.utils.lazy import lazy

if TYPE_CHECKING:
    from .evaluation import evaluate as evaluate
    from .evaluation import make_references as make_references
    from .evaluation import write_references as write_references
    from .features import Extractor as Extractor
    from .measures import MEASURES as MEASURES
    from .measures import Measure as Measure
    from .networks import NETWORKS as NETWORKS
    from .networks import Network as Network
    from .networks import Networks as Networks
    from .networks.autoencoder import Autoencoder as Autoencoder
    from .networks.autoencoder import train_autoencoder as train_autoencoder
    from .networks.classifier import Classifier as Classifier
    from .networks.classifier import train_classifier as train_classifier
    from .opening import open_images as open_images
    from .protocols import PROTOCOLS as PROTOCOLS
    from .protocols import Protocol as Protocol
    from .protocols import Recipe as Recipe
    from .protocols import get_protocol as get_protocol
    from .reference import Reference as Reference
    from .reference import load_reference as load_reference
    from .result import Score as Score
    from .result import load_scores as load_scores
    from .result import save_scores as save_scores

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        ".evaluation": ("evaluate", "make_references", "write_references"),
        ".features": ("Extractor",),
        ".measures": ("MEASURES", "Measure"),
        ".networks": ("NETWORKS", "Network", "Networks"),
        ".networks.autoencoder": ("Autoencoder", "train_autoencoder"),
        ".networks.classifier": ("Classifier", "train_classifier"),
        ".protocols": ("PROTOCOLS", "Protocol", "Recipe", "get_protocol"),
        ".reference": ("Reference", "load_reference"),
        ".result": ("Score", "load_scores", "save_scores"),
        ".opening": ("open_images",),
    },
)
