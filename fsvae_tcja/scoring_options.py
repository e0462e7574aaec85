"""Scores while training: what can be asked for, and how a run folder remembers it."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from .runtime.run import RunFolder
from .utils.atomic import replacing
from .utils.configuration import from_dict

FILE = "scoring.json"


@dataclass(frozen=True)
class ScoringOptions:
    """Scores while training, of images drawn on the seed of the run. A resumed run goes on with them."""

    score_every: int | None = None
    """Epochs between two scorings of the model; 0: none. --resume remembers the options of the scores."""
    score_protocol: Literal["standard", "fsvae2022", "strict"] | None = None
    """What is fixed, see `python -m eval protocols`; None: strict."""
    score_n: int | None = None
    """Images drawn; None: what the protocol fixes, else 1,000."""
    scores: tuple[str, ...] | None = None
    """Names; None: FAD with --autoencoder, the domain scores with --classifier, else the protocol's default."""
    autoencoder: Path | None = None
    """The network of the FAD; `python -m eval train-fad` makes one."""
    classifier: Path | None = None
    """The network of the domain scores; `python -m eval train-classifier` makes one."""

    @property
    def given(self) -> dict[str, int | str | tuple[str, ...]]:
        """What is not None, as plain data."""
        values = {f.name: getattr(self, f.name) for f in fields(ScoringOptions)}
        return {name: str(v) if isinstance(v, Path) else v for name, v in values.items() if v is not None}

    def complete(self, run: RunFolder, resume: bool) -> "ScoringOptions":
        """What holds: what is said now, over what a resumed run was told before.

        Raises:
            ValueError: what it was told is damaged, or scores are asked for without saying how often.
        """
        file = run.path / FILE
        try:
            before = json.loads(file.read_text()) if resume and file.is_file() else {}
            options = from_dict(ScoringOptions, before | self.given)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file} is damaged ({error}); delete it and say again what to score") from error
        every = options.score_every
        if options.given and (not isinstance(every, int) or every < 0):
            raise ValueError(
                f"--score-every must say how many epochs lie between two scores, or 0 for none; found {every}"
            )
        return replace(options, autoencoder=_absolute(options.autoencoder), classifier=_absolute(options.classifier))

    def remember(self, run: RunFolder) -> None:
        """Write down what is given, for `complete`."""
        if not self.given:
            (run.path / FILE).unlink(missing_ok=True)
            return
        with replacing(run.path / FILE) as temporary:
            temporary.write_text(json.dumps(self.given, indent=2) + "\n")


def _absolute(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path).expanduser().absolute()
