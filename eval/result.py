"""A score never travels alone: value, protocol, n, seed, extractor and reference in one object."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fsvae_tcja.utils.atomic import write_json
from fsvae_tcja.utils.foreign import brief, reading

from .doubt import Doubt, difference
from .measures import MEASURES
from .protocols import RENAMED
from .provenance import differences, json_sha256, library_versions

_JSON_TYPES = {  # of the fields that are not text
    "value": float | int,
    "std": float | int | None,
    "n": int,
    "seed": int | None,
    "value_range": str | None,
    "reference": str | None,
    "reference_pixels": str | None,
    "recipe": dict,
    "notes": list,
    "versions": dict,
    "beside": dict,
    "doubt": dict | None,
}
_ADDED = {"beside", "doubt"}  # fields that files of version 0.1.0 do not have


@dataclass(frozen=True)
class Score:
    """One score with everything that it depends on.

    Two scores are comparable if name, protocol, recipe, n, pixels, extractor and reference agree; `<` and `-` on others
    raise ValueError.
    """

    name: str
    """What it measures: FAD, FID, IS, ..."""
    value: float
    """The number."""
    std: float | None
    """Standard deviation over splits or subsets, where there are such."""
    protocol: str
    """Name of the protocol."""
    n: int
    """Images that were scored."""
    seed: int | None
    """Seed that the images were drawn with; None if they were not drawn here."""
    images: str
    """Where the images came from, in words."""
    pixels: str
    """Their size before the protocol's own resize, and how they came to it: "28 x 28", "28 to 32, PIL bilinear"."""
    value_range: str | None
    """Range of floating point pixels as it was stated; None: not stated, 8 bits."""
    extractor: str
    """SHA-256 of the extractor's weights."""
    extractor_description: str
    """The same in words."""
    reference: str | None
    """SHA-256 of what was compared with: its images, extractor and extraction; None where nothing was."""
    reference_description: str
    """The same in words."""
    reference_pixels: str | None
    """As `pixels`. The hash of the reference knows its pixels, so that it is not compared again."""
    recipe: dict[str, Any]
    """The protocol's recipe in full."""
    notes: tuple[str, ...] = ()
    """What a reader must know, such as a rank-deficient covariance."""
    versions: dict[str, str] = field(default_factory=library_versions)
    """Library versions."""
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The score of other images against the same reference, {"value", "images"} of "real images", the floor, and of
    "reconstructions"; and "code length", in nats an image of held-out images, which is no score."""
    doubt: Doubt | None = None
    """Mean, spread and interval, where they were asked for."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for number in (self.value, self.std or 0.0)):
            raise ValueError(f"{self.name} is {self.value} (deviation {self.std}), expected finite numbers")

    def check_comparable(self, other: "Score") -> None:
        """Raise ValueError, naming the differences, unless the two scores measure the same thing the same way."""
        compared = ("name", "protocol", "n", "pixels", "extractor", "reference", "recipe")
        ours, theirs = ({name: getattr(score, name) for name in compared} for score in (self, other))
        if different := differences(ours, theirs):
            named = ((name, self._named(name, a), other._named(name, b)) for name, a, b in different)
            pairs = "; ".join(f"{name}: {a} and {b}" for name, a, b in named)
            raise ValueError(f"these scores cannot be compared; they differ in {pairs}")

    @property
    def better(self) -> str:
        """Which values are better: "lower", "higher", or what a good one is; "" where the measure is not known."""
        measure = MEASURES.get(str(self.recipe.get("measure")))
        return measure.better if measure else ""

    @property
    def sha256(self) -> str:
        """Hash of the whole record: which images, how, and what came out."""
        return json_sha256(asdict(self))

    def difference(self, other: "Score") -> tuple[float, float | None]:
        """What the other is above this one, of the means where there are some, and half of its 95% interval (None: not
        known, unless both have a doubt).

        Raises:
            ValueError: as `check_comparable`.
        """
        self.check_comparable(other)
        if self.doubt and other.doubt:
            return difference(self.doubt, other.doubt)
        return other.mean - self.mean, None

    @property
    def mean(self) -> float:
        """Over the seeds, where it was computed on several; else the value."""
        return self.doubt.mean if self.doubt else self.value

    def _named(self, field: str, value: Any) -> Any:
        """What a field that differs is called: of a hash also what it is of."""
        described = getattr(self, f"{field}_description", None)
        return value if described is None or value is None else f"{described} ({value[:8]})"

    def __lt__(self, other: "Score") -> bool:
        self.check_comparable(other)
        return self.value < other.value

    def __sub__(self, other: "Score") -> float:
        self.check_comparable(other)
        return self.value - other.value

    def __str__(self) -> str:
        spread = "" if self.std is None else f" +/- {self.std:.3g}"
        seed = "" if self.seed is None else f", seed {self.seed}"
        beside = "".join(f", {what} {one['value']:.4g}" for what, one in self.beside.items())
        return (
            f"{self.name} {self.value:.4g}{spread}{beside} ({self.protocol}, n = {self.n}{seed}, "
            f"{self.extractor_description} {self.extractor[:8]}, against {self.reference_description})"
        )

    @classmethod
    def _from_dict(cls, content: Any) -> "Score":
        names = {f.name for f in fields(cls)}
        if not isinstance(content, dict) or not names - _ADDED <= content.keys() <= names:
            raise ValueError(f"not a score: expected a JSON object with the keys {', '.join(sorted(names))}")
        for name, value in content.items():
            kind = _JSON_TYPES.get(name, str)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"not a score: {name} is {brief(value)}")
        if not all(isinstance(text, str) for text in (*content["notes"], *content["versions"].values())):
            raise ValueError("not a score: its notes and versions must be text")
        made: dict[str, Any] = {"notes": tuple(content["notes"]), "name": _renamed(content["name"])}
        made |= {name: float(content[name]) for name in ("value", "std") if content[name] is not None}  # 1 is 1.0
        if "score" in content["recipe"]:
            made["recipe"] = content["recipe"] | {"score": _renamed(content["recipe"]["score"])}
        if content.get("doubt") is not None:
            made["doubt"] = Doubt.from_dict(content["doubt"])
        if not all(_is_beside(one) for one in content.get("beside", {}).values()):
            raise ValueError("not a score: what stands beside it is of another form")
        return cls(**content | made)


def _renamed(name: Any) -> Any:
    return RENAMED.get(name, name) if isinstance(name, str) else name


def _is_beside(one: Any) -> bool:
    return isinstance(one, dict) and one.keys() == {"value", "images"} and isinstance(one["value"], int | float)


def save_scores(path: str | Path, scores: Sequence[Score]) -> None:
    """Write a JSON list of scores in one step."""
    write_json(path, [asdict(score) for score in scores])


def load_scores(path: str | Path) -> list[Score]:
    """Read what `save_scores` wrote, or a single score as version 0.1.0 wrote it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no JSON, or no scores.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file of scores {path}: `fsvae-tcja score ... --out {path}` writes one")
    with reading(path, "holds no scores", "score the images again"):
        content = json.loads(Path(path).read_text())
        return [Score._from_dict(item) for item in (content if isinstance(content, list) else [content])]


def side_by_side(files: Sequence[Sequence[Score]]) -> list[list[Score | None]]:
    """The scores of one protocol and name in several lists, side by side; None where a list has none.

    Raises:
        ValueError: a list has two of them.
    """
    tables = [{(score.protocol, score.name): score for score in scores} for scores in files]
    if any(len(table) < len(scores) for table, scores in zip(tables, files, strict=True)):
        raise ValueError("one of the files holds two scores of one protocol and name: compare them one by one")
    return [[table.get(key) for table in tables] for key in dict.fromkeys(key for table in tables for key in table)]
