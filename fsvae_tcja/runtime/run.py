"""The run folder: configuration, metrics, pictures, TensorBoard logs and checkpoints of one training run.

config.json  metrics.jsonl  checkpoint.safetensors  model.safetensors  tensorboard/  pictures/
"""

import json
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ..utils.atomic import replacing


class RunFolder:
    """One training run on disk.

    Args:
        path: the folder; made by `start` if absent.
        resume: go on in a folder that holds a run. Without it such a folder is refused, so that nothing is overwritten.

    Raises:
        ValueError: the folder holds a run and `resume` is off.
        FileNotFoundError: `resume` is on and there is no checkpoint to go on from.
    """

    def __init__(self, path: str | Path, resume: bool = False) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.model = self.path / "model.safetensors"
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.pictures = self.path / "pictures"
        if resume and not self.checkpoint.is_file():
            raise FileNotFoundError(
                f"cannot resume: no checkpoint at {self.checkpoint}; a run that ended before its first starts anew, "
                "in another folder"
            )
        if not resume and self.config.exists():
            saved = self.checkpoint.is_file()
            remedy = f"go on with --resume {self.path}" if saved else "it ended before its first checkpoint; delete it"
            raise ValueError(f"{self.path} already holds a run: {remedy}, or choose another --out")
        self._tensorboard: SummaryWriter | None = None

    def start(self, config: dict[str, Any], step: int) -> None:
        """Write the configuration and drop what was logged after `step`, which will be done again."""
        kept = [row for row in self.read_metrics() if row["step"] <= step]
        self.pictures.mkdir(parents=True, exist_ok=True)
        _write(self.config, json.dumps(config, indent=2) + "\n")
        _write(self.metrics, "".join(json.dumps(row) + "\n" for row in kept))
        self._tensorboard = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1)

    def log(self, step: int, epoch: int, values: dict[str, float]) -> None:
        """Append one row of metrics, to the JSON lines and to TensorBoard."""
        with open(self.metrics, "a") as file:
            file.write(json.dumps({"step": step, "epoch": epoch, **values}) + "\n")
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)

    def read_metrics(self) -> list[dict[str, float]]:
        """The rows logged so far; a last line that was cut off is left out."""
        rows = []
        for line in self.metrics.read_text().splitlines() if self.metrics.exists() else ():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    def close(self) -> None:
        """Flush and close the TensorBoard log."""
        if self._tensorboard is not None:
            self._tensorboard.close()
            self._tensorboard = None


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)
