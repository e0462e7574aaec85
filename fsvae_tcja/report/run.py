"""A run folder, read for its report."""

import re
from pathlib import Path
from typing import Any

import torch

from eval import Score, load_scores

from ..data.dataset import LabelledDataset
from ..data.load import load_images
from ..runtime import checkpoint
from ..runtime.run import METRICS, PICTURES, flat, read_rows
from ..vae import FSVAE, load
from ..vae.reconstruct import check_taken

PICTURE = re.compile(r"epoch-(\d+)-(\w+)\.png")


class Run:
    """What lies in a run folder.

    Args:
        path: the folder.
        device: of the model.
        root: data root; None: the variable's, or ./data.

    Attributes:
        images: of the test split of the data that the model was trained on; None if they are not there.
        missing: why not.

    Raises:
        FileNotFoundError: there is no run.
        ValueError: its model is damaged, or not an FSVAE.
    """

    def __init__(self, path: str | Path, device: str | torch.device = "cpu", root: str | Path | None = None) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            found = f"{path} is a file" if self.path.exists() else f"there is no folder {path}"
            raise FileNotFoundError(f"expected a run folder; {found}")
        self.model: FSVAE = load(self.path, device)
        self.metadata = checkpoint.read_metadata(checkpoint.find(self.path))
        self.rows = read_rows(self.path / METRICS)
        self.scores = _scores(self.path)
        self.settings: dict[str, Any] = flat(self.metadata.get("training") or {"model": self.metadata["config"]})
        self.images: LabelledDataset | None = None
        self.missing = ""
        try:
            images = load_images(self.data, "test", size=self.model.config.image_size, root=root)
            check_taken(self.model, images, 1)
            self.images = images
        except (OSError, ValueError) as error:
            self.missing = str(error)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def data(self) -> str:
        """What it was trained on."""
        return str(self.metadata.get("data", ""))

    @property
    def seed(self) -> int:
        """Of the training."""
        return int(self.settings.get("seed", 0))

    def last(self, quantity: str) -> float | None:
        """The value logged last."""
        return next((row[quantity] for row in reversed(self.rows) if quantity in row), None)

    def pictures(self, kind: str) -> dict[int, Path]:
        """Pictures of a kind, "samples" or "reconstructions", by epoch."""
        found = {}
        for path in sorted((self.path / PICTURES).glob("epoch-*.png")):
            if (match := PICTURE.fullmatch(path.name)) and match[2] == kind:
                found[int(match[1])] = path
        return found


def _scores(folder: Path) -> list[tuple[str, Score]]:
    """Scores in the folder and in its scores/, with the name of their file; others are passed over."""
    found = []
    for path in [*sorted(folder.glob("*.json")), *sorted((folder / "scores").glob("*.json"))]:
        if path.is_dir():
            continue
        try:
            found += [(str(path.relative_to(folder)), score) for score in load_scores(path)]
        except ValueError:
            continue
    return found
