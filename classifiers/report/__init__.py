"""What a trained classifier does on a split: accuracy, firing, energy and gates, as text, pictures and JSON.

`write` makes the whole report; `firing`, `energy` and `gates` compute one thing each, from what
flows through the parts of the model (`classifiers.parts`); `figures` draws.
"""

from .write import write_report

__all__ = ["write_report"]
