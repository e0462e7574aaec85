"""The classifier of the domain scores, Inception Score and Frechet distance in a network of the data set itself.

Where ImageNet features mean little (digits, clothes), a small classifier of the data set tells more. Its scores are
called Domain-IS and Domain-Frechet, never FID.

    Conv3x3 stride 2 - BN - ReLU, C-32-64-128 (-128)  [C, S, S] -> [128, 4, 4]
    Linear 2048-d, ReLU (the features), Linear d-K (the logits)
"""

from itertools import pairwise
from pathlib import Path
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from fsvae_tcja.core.shared import BatchNorm2d
from fsvae_tcja.data.dataset import LabelledDataset

from ..training import TrainingConfig, mean_over, provenance, train
from .trained import FeatureNetwork

WIDTHS = {32: (32, 64, 128), 64: (32, 64, 128, 128)}
POOR_ACCURACY = 0.9
CLASSIFIER_TRAINING = TrainingConfig(epochs=5, batch_size=100)
"""Enough for MNIST and Fashion-MNIST."""
DIGITS_CLASSIFIER_TRAINING = TrainingConfig(epochs=10, batch_size=32)
"""For the 1,500 digits: test accuracy 0.997 after some 3 s on one core."""


def training_for(data: str) -> TrainingConfig:
    """How a classifier is trained on a data set unless one says otherwise."""
    return {"digits": DIGITS_CLASSIFIER_TRAINING}.get(data, CLASSIFIER_TRAINING)


class Classifier(FeatureNetwork):
    """The classifier behind the domain scores.

    Args:
        channels: 1 or 3.
        size: 32 or 64.
        classes: number of classes.
        latent: length of the feature vector.
    """

    kind = "classifier"
    command = "fsvae-tcja eval train-classifier"
    figure = "test_accuracy"

    def __init__(self, channels: int = 1, size: int = 32, classes: int = 10, latent: int = 64) -> None:
        super().__init__(channels, size)
        self.classes = classes
        self.latent = latent
        widths = (channels, *WIDTHS[size])
        self.convolutions = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), BatchNorm2d(b), nn.ReLU()) for a, b in pairwise(widths))
        )
        self.features = nn.Linear(widths[-1] * 16, latent)
        self.logits = nn.Linear(latent, classes)

    @classmethod
    def shaped_as(cls, state: dict[str, Tensor]) -> Self:
        blocks = len({name.split(".")[1] for name in state if name.startswith("convolutions.")})
        classes, latent = state["logits.weight"].shape
        return cls(state["convolutions.0.0.weight"].shape[1], 2 ** (blocks + 2), classes, latent)

    @classmethod
    def poor(cls, figure: float) -> str | None:
        why = f"it is right about {figure:.1%} of the test images, less than {POOR_ACCURACY:.0%}"
        return why if figure < POOR_ACCURACY else None

    @property
    def dims(self) -> dict[str, int]:
        return {"features": self.latent, "logits": self.classes}

    def layers(self, images: Tensor) -> dict[str, Tensor]:
        """Images [N, C, S, S] in [-1, 1] -> "features" [N, d], "logits" [N, K]."""
        features = self.features(self.convolutions(images).flatten(1)).relu()
        return {"features": features, "logits": self.logits(features)}

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, S, S] in [-1, 1] -> logits [N, K]."""
        return self.layers(images)["logits"]


def train_classifier(
    dataset: LabelledDataset,
    config: TrainingConfig = CLASSIFIER_TRAINING,
    *,
    test: LabelledDataset | None = None,
    run: Path | None = None,
    resume: bool = False,
) -> Classifier:
    """Train a classifier on a labelled data set: cross-entropy, AdamW.

    The global random state is left alone; on one machine the weights depend on data and `config` alone.

    Args:
        dataset: labelled training images of 32 or 64 pixels.
        config: how.
        test: images, the accuracy on which goes into the provenance.
        run: run folder for metrics and a checkpoint after each epoch; None: nothing is kept.
        resume: go on with the training in `run`.

    Returns:
        the classifier in evaluation mode, with its provenance, on the CPU.

    Raises:
        KeyboardInterrupt: by Ctrl-C or SIGTERM.
        ValueError: the data set, or some of its images or those of `test`, has no labels.
    """
    classes = dataset.classes
    if classes is None:
        raise ValueError(f"{dataset.name} has no labels: a classifier needs a data set with classes; use FAD instead")
    for one in (dataset, test):
        if one is not None and (without := int((one.labels < 0).sum())):
            raise ValueError(
                f"{without:,} of {len(one):,} images of {one.name}, {one.split}, have no label: a classifier needs a "
                "class for each; put them into a folder of a class, or elsewhere"
            )
    classifier = train(
        lambda: Classifier(dataset.channels, dataset.size, classes, config.latent or 64),
        lambda network, images, labels: F.cross_entropy(network(images), labels),
        dataset,
        config,
        run=run,
        resume=resume,
    )
    accuracy = None if test is None else mean_over(test, lambda x, y: (classifier(x).argmax(1) == y).float())
    classifier.provenance = provenance(dataset, config) | {"test_accuracy": accuracy}
    return classifier
