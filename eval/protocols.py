"""Protocols: a recipe fixes everything besides the images and the weights that moves a score.

Fields that name something are looked up when a score is computed, in MEASURES, NETWORKS, SPLIT_ORDER and the tables of
preprocessing.py: what runs is what stands here. Their names are part of scores and of statistics, so that those of
another recipe are told apart: a name that has been used keeps its meaning.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fsvae_tcja.utils.spelling import choose

from .images import too_few
from .measures import MEASURES, Measure

RENAMED = {"sure": "Domain-sure"}
"""Scores that earlier versions called otherwise, and what they are called."""


@dataclass(frozen=True)
class Recipe:
    """How one score is computed under one protocol."""

    protocol: str
    """Name of the protocol."""
    score: str
    """Name of the score."""
    measure: str
    """What is computed from the features, a name of MEASURES."""
    extractor: str
    """The network whose features are used, a name of NETWORKS."""
    layer: str
    """Which of its outputs."""
    input_range: str
    """Pixel range that the network sees, a name of INPUT_RANGE."""
    quantise: bool
    """Whether floating point images are first rounded to 8 bits."""
    grey: str
    """What becomes of grey images, a name of GREY."""
    resize: str
    """How images are brought to the network's size, a name of RESIZE; "none": they must have it."""
    batch_norm: str
    """Statistics that batch norms use, a name of BATCH_NORM: the stored ones, or those of each batch (the score then
    depends on it)."""
    precision: str
    """float32 or float64: type inside the network; the statistics behind it are always float64."""
    batch: int | None
    """Images per batch; None: any, the score does not depend on it."""
    n: int | None
    """Images scored; None: the caller says, and it is part of the score."""
    at_most: int | None = None
    """Images scored of a larger set, if the caller does not say; None: all."""
    splits: int | None = None
    """Parts over which an Inception Score is averaged."""
    split_order: str | None = None
    """Which images a split takes, a name of SPLIT_ORDER: consecutive ones, or those of torch-fidelity's permutation."""
    reference_split: str | None = None
    """Split of a data set that is compared with."""
    celeba_split: str | None = None
    """The same for CelebA."""

    @property
    def compares(self) -> bool:
        """Whether the score needs a reference."""
        return self.measured.compares

    @property
    def measured(self) -> Measure[Any]:
        """The measure itself."""
        return choose(MEASURES, self.measure, "measure")

    def in_space(self, name: str) -> str:
        """A name of one of several values of this score, with its feature space: Recall-AE for PRC-AE."""
        return "-".join([name, *self.score.split("-")[1:]])

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)

    def extraction(self) -> dict[str, Any]:
        """What goes into the features of any set of images."""
        names = ("extractor", "layer", "input_range", "quantise", "grey", "resize", "batch_norm", "precision", "batch")
        return {name: getattr(self, name) for name in names}

    def images(self, asked: int | None, there: int | None = None) -> int | None:
        """The number of images to score.

        Args:
            asked: what the caller says; None leaves it to the protocol, and where that leaves it free takes all.
            there: how many there are; None: unknown, or as many as one likes.

        Returns:
            the number; None: all of a stream whose length is unknown.

        Raises:
            ValueError: the protocol fixes another number, or there are fewer, too few for the measure, or an unknown
                number where it has to be known.
        """
        if self.n is not None and asked not in (None, self.n):
            raise ValueError(
                f"{self.score} under protocol {self.protocol} takes exactly {self.n} images, {asked} were asked for; "
                "leave n out, or choose a protocol whose number is free"
            )
        if asked is not None and asked < 2:
            raise ValueError(f"a score needs at least 2 images, {asked} were asked for")
        count = self.n or asked or there
        if asked is None and self.at_most is not None and count is not None:
            count = min(count, self.at_most)
        if count is not None and there is not None and count > there:
            raise too_few(count, there) if self.n is None else self._too_few(there)
        self.measured.check(self, count)
        return count

    def _too_few(self, there: int) -> ValueError:
        return ValueError(
            f"{self.score} under protocol {self.protocol} takes exactly {self.n} images, only {there} were found; "
            "supply more, or choose a protocol whose number is free, such as strict"
        )

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
    further: tuple[Recipe, ...] = ()
    """Those of scores that are only computed when they are asked for by name."""
    published_order: bool = False
    """Whether of a larger data set, known by name, the first images are taken in the order in which it is published;
    of anything else, and without this, they are drawn (`subset.py`)."""
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Scores that may be asked for in other layers of their network, as SCORE-LAYER."""

    def recipe(self, score: str) -> Recipe:
        """The recipe of a score. "FID-192" is FID in layer 192 of its network, where `layers` has it; a name in RENAMED
        is that of today.

        Raises:
            ValueError: the protocol does not define that score.
        """
        score = RENAMED.get(score, score)
        for recipe in (*self.recipes, *self.further):
            if recipe.score == score:
                return recipe
        name, _, layer = score.partition("-")
        if layer in self.layers.get(name, ()):
            return replace(self.recipe(name), score=score, layer=layer)
        known = ", ".join(recipe.score for recipe in (*self.recipes, *self.further))
        others = ", ".join(f"{name}-{layer}" for name, layers in self.layers.items() for layer in layers)
        of = [one.name for one in PROTOCOLS.values() if score in (r.score for r in (*one.recipes, *one.further))]
        how = "protocol, --protocol; while training --score-protocol"
        elsewhere = f"; {score} is one of protocol {' and '.join(of)} ({how})" if of else ""
        raise ValueError(
            f"protocol {self.name} defines no {score}; it defines {known}{' and ' if others else ''}{others}{elsewhere}"
        )

    def split_of(self, data: str) -> str | None:
        """The split of a data set that its scores compare with; None: none of them compares."""
        return next((split for recipe in self.recipes if (split := recipe.split_of(data))), None)


def in_space(recipe: Recipe, space: str, *others: str) -> tuple[Recipe, ...]:
    """Recipes of the scores of a feature space, named after it as in MIND-AE.

    Args:
        recipe: whose network and pixels they take.
        space: what the space is called.
        others: names of SPACE_SCORES, besides the usual ones.
    """
    names = ("MIND", "DC", "AuthPct", "FD-inf", *others)
    made = [replace(recipe, score=f"{name}-{space}", measure=SPACE_SCORES[name]) for name in names]
    return tuple(
        replace(one, reference_split="train", celeba_split="train") if one.measure == "authpct" else one for one in made
    )


SPACE_SCORES = {
    "MIND": "mind",
    "DC": "density coverage",
    "AuthPct": "authpct",
    "FD-inf": "frechet infinity",
    "FD": "frechet",
    "PRC": "precision recall",
}
"""Measures that there are in every feature space, by what their scores are called."""

_FID_LAYERS = {"FID": ("64", "192", "768", "2048")}  # poolings of the Inception network

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

_TORCH_FIDELITY_VGG = replace(
    _TORCH_FIDELITY,
    score="PRC",
    measure="precision recall",
    extractor="vgg16",
    layer="fc2_relu",
    input_range="ImageNet mean 0, deviation 1",
    resize="TensorFlow 1 bilinear to 224",
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
        _TORCH_FIDELITY_VGG,
    ),
    further=(*in_space(_TORCH_FIDELITY, "Inception"), *in_space(_TORCH_FIDELITY_VGG, "VGG")),
    layers=_FID_LAYERS,
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
    published_order=True,
    layers=_FID_LAYERS,
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

_STRICT_DOMAIN = replace(_STRICT_FAD, score="Domain-Frechet", extractor="classifier", layer="features")

STRICT = Protocol(
    "strict",
    "any two generators of any images, on any machine: evaluation mode, float64, exactly n images, any batch size",
    ("FAD",),
    (
        _STRICT_FAD,
        _STRICT_DOMAIN,
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
        replace(
            _STRICT_FAD,
            score="Domain-sure",
            measure="sure",
            extractor="classifier",
            layer="logits",
            reference_split=None,
            celeba_split=None,
        ),
    ),
    further=(*in_space(_STRICT_FAD, "AE", "PRC"), *in_space(_STRICT_DOMAIN, "Domain", "PRC")),
)

_EFFLITE0 = Recipe(
    protocol="offline",
    score="FD-EffLite0",
    measure="frechet",
    extractor="efficientnet-lite0",
    layer="1280",
    input_range="0..255, then (x - 127) / 128",
    quantise=True,
    grey="repeated to RGB",
    resize="Pillow bicubic to 224, antialiased, floating point",
    batch_norm="running",
    precision="float32",
    batch=None,
    n=None,
    reference_split="test",
    celeba_split="test",
)

_MIND_EFFLITE0, *_OTHERS_EFFLITE0 = in_space(_EFFLITE0, "EffLite0", "PRC")

OFFLINE = Protocol(
    "offline",
    "ImageNet features where nothing can be downloaded: the weights come with a package (extra `offline`)",
    ("FD-EffLite0", "MIND-EffLite0"),
    (_EFFLITE0, _MIND_EFFLITE0),
    further=tuple(_OTHERS_EFFLITE0),
)

PROTOCOLS = {protocol.name: protocol for protocol in (STANDARD, FSVAE2022, STRICT, OFFLINE)}


def get_protocol(name: str | Protocol) -> Protocol:
    """A protocol by its name in PROTOCOLS, or itself.

    Raises:
        ValueError: there is none of that name.
    """
    return name if isinstance(name, Protocol) else choose(PROTOCOLS, name, "protocol")
