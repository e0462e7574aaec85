"""Scores that can be compared: `evaluate(images, protocol, reference=..., networks=Networks(...))`.

from eval import Networks, evaluate

(score,) = evaluate(images, "strict", reference="mnist:test", networks=Networks(autoencoder="fad.safetensors"))
"""

from importlib import import_module
from typing import Any

_WHERE = {
    **dict.fromkeys(("evaluate", "make_references", "write_references"), "evaluation"),
    **dict.fromkeys(("Score", "load_scores", "save_scores"), "result"),
    **dict.fromkeys(("Reference", "load_reference"), "reference"),
    **dict.fromkeys(("Network", "Networks", "NETWORKS"), "networks"),
    **dict.fromkeys(("Measure", "MEASURES"), "measures"),
    **dict.fromkeys(("Protocol", "Recipe", "PROTOCOLS", "get_protocol"), "protocols"),
    **dict.fromkeys(("Autoencoder", "train_autoencoder"), "networks.autoencoder"),
    **dict.fromkeys(("Classifier", "train_classifier"), "networks.classifier"),
    "open_images": "sources",
    "Extractor": "features",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: importing the package alone costs nothing."""
    if name not in _WHERE:
        raise AttributeError(f"module 'eval' has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
