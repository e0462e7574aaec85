"""Protocols as data: a recipe fixes everything beside the images and the weights that moves a score."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fsvae_tcja.utils.spelling import did_you_mean


@dataclass(frozen=True)
class Recipe:
    """How one score is computed under one protocol."""

    protocol: str
    """Name of the protocol."""
    score: str
    """Name of the score."""
    measure: Literal["frechet", "inception score", "kid", "precision recall"]
    """What is computed from the features."""
    extractor: Literal["autoencoder", "classifier", "inception 2015-12-05", "inception torchvision", "vgg16"]
    """The network whose features are used, and its weights."""
    layer: str
    """Which of its outputs."""
    input_range: str
    """Pixel range that the network sees."""
    quantise: bool
    """Whether floating point images are first rounded to 8 bits."""
    grey: Literal["as it is", "repeated to RGB"]
    """What becomes of grey images."""
    resize: str
    """How images are brought to the network's size; "none": they must have it."""
    batch_norm: Literal["running", "batch"]
    """Statistics that batch norms use: the stored ones, or those of each batch (the score then depends on it)."""
    precision: Literal["float32", "float64"]
    """Type inside the network; the statistics behind it are always float64."""
    batch: int | None
    """Images per batch; None: any, the score does not depend on it."""
    n: int | None
    """Images scored; None: the caller says, and it is part of the score."""
    at_most: int | None = None
    """Images scored of a larger set, if the caller does not say; None: all."""
    splits: int | None = None
    """Parts over which an Inception Score is averaged."""
    split_order: Literal["in order", "shuffled"] | None = None
    """Which images a split takes: consecutive ones, or those of torch-fidelity's permutation."""
    reference_split: str | None = None
    """Split of a data set that is compared with."""
    celeba_split: str | None = None
    """The same for CelebA."""

    @property
    def compares(self) -> bool:
        """Whether the score needs a reference."""
        return self.measure != "inception score"

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)

    def extraction(self) -> dict[str, Any]:
        """What goes into the features of any set of images."""
        names = ("extractor", "layer", "input_range", "quantise", "grey", "resize", "batch_norm", "precision", "batch")
        return {name: getattr(self, name) for name in names}

    def images(self, asked: int | None) -> int | None:
        """The number of images to score, given what the caller asked for; None: all.

        Raises:
            ValueError: the protocol fixes another number, or fewer than 2.
        """
        if self.n is not None and asked not in (None, self.n):
            raise ValueError(
                f"{self.score} under protocol {self.protocol} takes exactly {self.n} images, {asked} were asked for; "
                "leave n out, or choose a protocol whose number is free"
            )
        if asked is not None and asked < 2:
            raise ValueError(f"a score needs at least 2 images, {asked} were asked for")
        return self.n or asked

    def split_of(self, data: str) -> str | None:
        """The split of a data set to compare with."""
        return self.celeba_split if data == "celeba" else self.reference_split


@dataclass(frozen=True)
class Protocol:
    """A named set of recipes, one per score."""

    name: str
    """Name under which scores are reported."""
    about: str
    """When to use it."""
    default: tuple[str, ...]
    """Scores to compute unless others are asked for."""
    recipes: tuple[Recipe, ...]
    """One per score that it defines."""

    def recipe(self, score: str) -> Recipe:
        """The recipe of a score. "FID-192" is FID in layer 192 of the Inception network: 64, 192, 768 or 2048.

        Raises:
            ValueError: the protocol does not define that score.
        """
        for recipe in self.recipes:
            if recipe.score == score:
                return recipe
        name, _, layer = score.partition("-")
        if name == "FID" and layer in INCEPTION_LAYERS and any(recipe.score == "FID" for recipe in self.recipes):
            return replace(self.recipe("FID"), score=score, layer=layer)
        known = ", ".join(recipe.score for recipe in self.recipes)
        known += " and FID-64, FID-192, FID-768" if "FID" in known else ""
        raise ValueError(f"protocol {self.name} defines no {score}; it defines {known}")

    def split_of(self, data: str) -> str | None:
        """The split of a data set that its scores compare with."""
        return next((split for recipe in self.recipes if (split := recipe.split_of(data))), None)


INCEPTION_LAYERS = {"64": 64, "192": 192, "768": 768, "2048": 2048}
"""Poolings of the Inception network and their lengths."""

_TORCH_FIDELITY = Recipe(
    protocol="standard",
    score="FID",
    measure="frechet",
    extractor="inception 2015-12-05",
    layer="2048",
    input_range="0..255, then (x - 128) / 128",
    quantise=True,
    grey="repeated to RGB",
    resize="TensorFlow 1 bilinear to 299",
    batch_norm="running",
    precision="float32",
    batch=None,
    n=None,
    at_most=50_000,
    reference_split="train",
    celeba_split="train",
)

STANDARD = Protocol(
    "standard",
    "colour photographs, numbers to put beside the literature at large; agrees with torch-fidelity",
    ("IS", "FID"),
    (
        replace(
            _TORCH_FIDELITY,
            score="IS",
            measure="inception score",
            layer="logits_unbiased",
            splits=10,
            split_order="shuffled",
            reference_split=None,
            celeba_split=None,
        ),
        _TORCH_FIDELITY,
        replace(_TORCH_FIDELITY, score="KID", measure="kid"),
        replace(
            _TORCH_FIDELITY,
            score="PRC",
            measure="precision recall",
            extractor="vgg16",
            layer="fc2_relu",
            input_range="ImageNet mean 0, deviation 1",
            resize="TensorFlow 1 bilinear to 224",
        ),
    ),
)

_FSVAE2022_FAD = Recipe(
    protocol="fsvae2022",
    score="FAD",
    measure="frechet",
    extractor="autoencoder",
    layer="latent",
    input_range="-1..1",
    quantise=False,
    grey="as it is",
    resize="none",
    batch_norm="batch",
    precision="float32",
    batch=256,
    n=5120,
    reference_split="test",
    celeba_split="valid",
)

FSVAE2022 = Protocol(
    "fsvae2022",
    "numbers to put beside the spiking-VAE papers (FSVAE, TAID, ESVAE), whose programs it repeats",
    ("FAD",),
    (
        replace(
            _FSVAE2022_FAD,
            score="IS",
            measure="inception score",
            extractor="inception torchvision",
            layer="logits",
            input_range="0..255, not normalised",
            grey="repeated to RGB",
            resize="bilinear to 299, align_corners off",
            batch_norm="running",
            n=2560,
            splits=10,
            split_order="in order",
            reference_split=None,
            celeba_split=None,
        ),
        replace(
            _FSVAE2022_FAD,
            score="FID",
            extractor="inception 2015-12-05",
            layer="2048",
            input_range="0..255, then (x - 128) / 128",
            grey="repeated to RGB",
            resize="Pillow bicubic to 299, antialiased, floating point",
            batch_norm="running",
        ),
        _FSVAE2022_FAD,
    ),
)

_STRICT_FAD = replace(
    _FSVAE2022_FAD,
    protocol="strict",
    quantise=True,
    batch_norm="running",
    precision="float64",
    batch=None,
    n=None,
    celeba_split="test",
)

STRICT = Protocol(
    "strict",
    "any two generators of any images, on any machine: evaluation mode, float64, exactly n images, any batch size",
    ("FAD",),
    (
        _STRICT_FAD,
        replace(_STRICT_FAD, score="Domain-Frechet", extractor="classifier", layer="features"),
        replace(
            _STRICT_FAD,
            score="Domain-IS",
            measure="inception score",
            extractor="classifier",
            layer="logits",
            splits=10,
            split_order="shuffled",
            reference_split=None,
            celeba_split=None,
        ),
    ),
)

PROTOCOLS = {protocol.name: protocol for protocol in (STANDARD, FSVAE2022, STRICT)}


def get_protocol(name: str) -> Protocol:
    """A protocol by its name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in PROTOCOLS:
        near = did_you_mean(name, PROTOCOLS)
        raise ValueError(f"unknown protocol {name!r}{near}: choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
