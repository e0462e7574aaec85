"""Scores as a table: each with what stands beside it, and how sure it is."""

from collections.abc import Mapping, Sequence

from eval import Score

from .page import Table
from .run import Run

HEADER = (
    "score",
    "of",
    "better",
    "value",
    "real images",
    "reconstructions",
    "95% interval",
    "protocol",
    "n",
    "seed",
    "network",
    "against",
    "file",
)


def score_table(runs: Mapping[str, Run]) -> Table:
    """A row for each score of each run, by its name; columns in which nothing stands are left out."""
    rows = [
        (name, one.name, _images(one, run), *_cells(one), file)
        for name, run in runs.items()
        for file, one in run.scores
    ]
    filled = [any(column) for column in zip(*rows, strict=True)]
    header, *kept = [
        [cell for cell, some in zip(row, filled, strict=True) if some] for row in (("run", *HEADER), *rows)
    ]
    return Table(header, kept)


def score_lines(runs: Sequence[Run]) -> list[str]:
    """What the columns say, the length of codes, and the notes of the scores, each once."""
    scores = [one for run in runs for _, one in run.scores]
    lines = []
    if any("real images" in one.beside for one in scores):
        lines.append("Real images: what as many of them score, the floor.")
    if any("reconstructions" in one.beside for one in scores):
        lines.append(
            "Reconstructions: what those of these same images score; from the floor to them is the decoder's share, "
            "from there to the value the prior's."
        )
    lengths = [f"{one['value']:.4g} nats, {one['images']}" for s in scores if (one := s.beside.get("code length"))]
    lines += [f"Code length: {text}" for text in lengths]
    lines += [f"{one.name}: {note}" for one in scores for note in one.notes]
    return list(dict.fromkeys(lines))


def _cells(score: Score) -> tuple[str, ...]:
    beside = (_number(score.beside.get(name, {}).get("value")) for name in ("real images", "reconstructions"))
    seed = "" if score.seed is None else str(score.seed)
    network = f"{score.extractor_description} {score.extractor[:8]}"
    described = (score.protocol, f"{score.n:,}", seed, network, score.reference_description)
    return (score.better, _value(score), *beside, _interval(score), *described)


def _images(score: Score, run: Run) -> str:
    """Which images were scored, where there are scores of several, as in a study."""
    return score.images if len({one.images for _, one in run.scores}) > 1 else ""


def _value(score: Score) -> str:
    if score.doubt:
        return f"{score.doubt.mean:.4g} ± {score.doubt.spread:.2g}"
    return f"{score.value:.4g}" + ("" if score.std is None else f" ± {score.std:.2g}")


def _interval(score: Score) -> str:
    if score.doubt is None:
        return ""
    of = "seeds" if score.doubt.how == "seeds" else "halves of the images"
    return f"{score.doubt.low:.4g} to {score.doubt.high:.4g} ({score.doubt.times} {of})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
