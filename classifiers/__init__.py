"""Spiking classifiers with temporal-channel joint attention: networks as a line of text, training, a report.

Importing this package loads nothing but the standard library; PyTorch comes with the first name that is used.
"""

from typing import TYPE_CHECKING

from fsvae_tcja.utils.lazy import lazy

if TYPE_CHECKING:
    from .accuracy import Evaluation as Evaluation
    from .accuracy import evaluate as evaluate
    from .accuracy import predict as predict
    from .checkpoint import load as load
    from .checkpoint import save as save
    from .config import ClassifierConfig as ClassifierConfig
    from .data import load_split as load_split
    from .losses import LOSSES as LOSSES
    from .model import SpikingClassifier as SpikingClassifier
    from .nets import NETS as NETS
    from .presets import PRESETS as PRESETS
    from .report import write_report as write_report
    from .report.energy import energy as energy
    from .report.firing import firing as firing
    from .report.gates import gates as gates
    from .report.gates import mean_gates as mean_gates
    from .report.summary import summary as summary
    from .train import ClassifierTask as ClassifierTask
    from .train import TrainConfig as TrainConfig

__all__, __getattr__, __dir__ = lazy(
    __name__,
    {
        ".accuracy": ("Evaluation", "evaluate", "predict"),
        ".checkpoint": ("load", "save"),
        ".config": ("ClassifierConfig",),
        ".data": ("load_split",),
        ".losses": ("LOSSES",),
        ".model": ("SpikingClassifier",),
        ".nets": ("NETS",),
        ".presets": ("PRESETS",),
        ".report": ("write_report",),
        ".report.energy": ("energy",),
        ".report.firing": ("firing",),
        ".report.gates": ("gates", "mean_gates"),
        ".report.summary": ("summary",),
        ".train": ("ClassifierTask", "TrainConfig"),
    },
)
