"""Several runs on one page: what they differ in, their scores, their curves in one figure, their last samples."""

from collections.abc import Sequence

from eval import Score

from ..runtime.curves import compared_figure
from .page import Picture, Section, Table
from .run import Run
from .scores import score_lines, score_table
from .sections import facts_of, warnings_of

CURVES = ("test_mse", "test_prior_nats")  # drawn for all runs in one figure each


def compare(runs: Sequence[Run]) -> list[Section]:
    """The sections of the page."""
    names = [run.name if [r.name for r in runs].count(run.name) == 1 else str(run.path) for run in runs]
    found = [_summary(names, runs), _scores(names, runs), _curves(names, runs), _samples(names, runs)]
    return [one for one in found if one.tables or one.pictures]


def _summary(names: Sequence[str], runs: Sequence[Run]) -> Section:
    facts = [facts_of(run) for run in runs]
    rows = [[name, *(one[name] for one in facts)] for name in facts[0]]
    settings = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: [str(run.settings.get(name, "")) for run in runs] for name in settings}
    different = [[name.replace("_", "-"), *found] for name, found in values.items() if len(set(found)) > 1]
    line = "Settings not listed are the same in all." if different else "All settings are the same."
    options = [Table(("option", *names), different)] if different else []
    warnings = [f"Warning: {name}: {text}." for name, run in zip(names, runs, strict=True) for text in warnings_of(run)]
    return Section("Runs", [*warnings, line], [Table(("", *names), rows), *options])


def _scores(names: Sequence[str], runs: Sequence[Run]) -> Section:
    if not any(run.scores for run in runs):
        return Section("Scores")
    lines = [*_incomparable(names, runs), *score_lines(runs)]
    return Section("Scores", lines, [score_table(dict(zip(names, runs, strict=True)))])


def _incomparable(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Why scores of one name and protocol cannot be compared with that of the first run that has one."""
    lines: list[str] = []
    firsts: dict[tuple[str, str], tuple[str, Score]] = {}
    for name, run in zip(names, runs, strict=True):
        for _, score in run.scores:
            whose, first = firsts.setdefault((score.protocol, score.name), (name, score))
            try:
                first.check_comparable(score)
            except ValueError as error:
                lines += [f"{score.name} of {whose} and {name}: {error}."] if whose != name else []
    return list(dict.fromkeys(lines))


def _curves(names: Sequence[str], runs: Sequence[Run]) -> Section:
    pictures = []
    for quantity in CURVES:
        rows = {name: run.rows for name, run in zip(names, runs, strict=True)}
        figure = compared_figure(quantity, rows, units=runs[0].model.units)
        pictures += [Picture.of_figure(quantity, figure)] if figure else []
    return Section("Curves", pictures=pictures)


def _samples(names: Sequence[str], runs: Sequence[Run]) -> Section:
    pictures = []
    for name, run in zip(names, runs, strict=True):
        grids = run.pictures("samples")
        if grids:
            about = f"{name}: epoch {max(grids)}, seed {run.seed}"
            pictures.append(Picture(about, grids[max(grids)].read_bytes(), caption=name))
    return Section("Samples", pictures=pictures)
