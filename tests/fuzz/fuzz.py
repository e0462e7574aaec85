"""Any number of inputs for one reader, and a row of figures on what came of them."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, seed, settings

from .limits import Outcome, attempt
from .readers import READERS


@dataclass
class Figures:
    """What came of the inputs of a reader."""

    counts: Counter[str] = field(default_factory=Counter)
    others: dict[str, bytes] = field(default_factory=dict)
    """What went wrong, with an input that shows it."""
    seconds: float = 0
    memory: int = 0
    """Of the worst input each."""

    def add(self, outcome: Outcome, data: bytes) -> None:
        self.counts[outcome.kind] += 1
        self.seconds, self.memory = max(self.seconds, outcome.seconds), max(self.memory, outcome.memory)
        if outcome.kind == "other":
            self.others.setdefault(outcome.what, data)


def fuzz(name: str, inputs: int, number: int | None = None) -> Figures:
    """Read so many files in place of a valid one; `number` is a random seed, None: the same inputs every time."""
    figures = Figures()
    with TemporaryDirectory() as folder:
        reader = READERS[name]
        path = reader.make(Path(folder))
        whole = path.read_bytes() if path.exists() else b""
        attempt(reader.read, path)  # what it imports is no part of the figures

        def run(data: bytes) -> None:
            path.write_bytes(data)
            figures.add(attempt(reader.read, path, reader.named), data)

        test = given(reader.inputs(whole))(run)
        rules = {
            "deadline": None,
            "database": None,
            "phases": [Phase.generate],
            "suppress_health_check": list(HealthCheck),
        }
        settings(max_examples=inputs, derandomize=number is None, **rules)(
            test if number is None else seed(number)(test)
        )()
    return figures
