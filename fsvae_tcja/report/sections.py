"""The report of one run, section by section."""

import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import version
from itertools import chain

import torch

from ..core.backend import report as backends
from ..runtime.curves import curve_figures
from ..runtime.pretrained import names as pretrained
from ..vae.train import first_losses
from ..vae.watch import lagging
from .latent import latent_use
from .page import Picture, Section, Table
from .run import Run
from .scores import score_lines, score_table
from .work import work

GRIDS = 6  # epochs whose samples are shown
LIBRARIES = ("fsvae-tcja", "torch", "torchvision", "torch-fidelity", "numpy")


def sections(run: Run) -> list[Section]:
    """All of them, those without content left out."""
    found = [
        _summary(run),
        _scores(run),
        _curves(run),
        _samples(run),
        _reconstructions(run),
        _latent(run),
        *work(run),
        _settings(run),
        _environment(),
    ]
    return [one for one in found if one.lines or one.tables or one.pictures]


def facts_of(run: Run) -> dict[str, str]:
    """What tells a run from others, in one line each."""
    mse, epoch = run.last("test_mse"), run.last("epoch")
    return {
        "data": run.data,
        "steps": f"{run.metadata.get('step', 0):,}",
        "epochs": "" if epoch is None else f"{epoch:,}",
        "seed": str(run.seed),
        "parameters": f"{sum(p.numel() for p in run.model.parameters()):,}",
        "reconstruction MSE": "" if mse is None else f"{mse:.4f} (range [-1, 1], images of the test split)",
    }


def warnings_of(run: Run) -> list[str]:
    """What makes these facts doubtful, a sentence each."""
    return lagging(run.last("mse"), run.last("test_mse"))


def _summary(run: Run) -> Section:
    rows = [[name, value] for name, value in facts_of(run).items() if value]
    return Section("Summary", [f"Warning: {line}." for line in warnings_of(run)], [Table((), rows)])


def _scores(run: Run) -> Section:
    if not run.scores:
        n = min(1000, len(run.images)) if run.images else 1000
        size = run.model.config.image_size
        named = run.data if run.data in pretrained() and size == 32 else "FILE"
        train = ["fsvae-tcja", "eval", "train-fad", run.data, *(["--size", str(size)] if size != 32 else [])]
        made = "" if named == run.data else f", with FILE of: {shlex.join(train)} --out FILE"
        options = {"--reference": f"{run.data}:test", "--n-images": str(n), "--networks.autoencoder": named}
        options["--out"] = f"{run.path}/score.json"
        command = shlex.join(["fsvae-tcja", "score", str(run.path), *chain(*options.items())])
        return Section("Scores", [f"None in {run.name}: {command}{made}"])
    return Section("Scores", score_lines([run]), [score_table({"": run})])


def _curves(run: Run) -> Section:
    figures = curve_figures(first_losses(run.rows), units=run.model.units)
    return Section("Curves", pictures=[Picture.of_figure(name, figure) for name, figure in figures.items()])


def _samples(run: Run) -> Section:
    grids = run.pictures("samples")
    shown = spread(sorted(grids), GRIDS)
    pictures = [Picture(f"epoch {epoch}, seed {run.seed}", grids[epoch].read_bytes()) for epoch in shown]
    lines = [f"The first 64 images of the seed, not chosen; {len(shown)} of {len(grids)} epochs."] if pictures else []
    return Section("Samples", lines, pictures=pictures, wide=len(pictures) < 3)


def _reconstructions(run: Run) -> Section:
    pairs = run.pictures("reconstructions")
    if not pairs:
        return Section("Reconstructions")
    epoch = max(pairs)
    picture = Picture(f"epoch {epoch}: originals above their reconstructions", pairs[epoch].read_bytes())
    return Section("Reconstructions", pictures=[picture], wide=True)


def _latent(run: Run) -> Section:
    if run.model.config.latent.analog:  # its codes have no bits
        return Section("Latent")
    use = latent_use(run.model, run.images, run.seed)
    missing = [f"Codes of images are not shown: {run.missing}"] if run.missing else []
    picture = Picture.of_figure("how often each bit of the code is one", use.figure())
    return Section("Latent", [*use.lines(), *missing], pictures=[picture], wide=True)


def _settings(run: Run) -> Section:
    rows = [[name.replace("_", "-"), str(value)] for name, value in run.settings.items()]
    return Section("Settings", tables=[Table(("option", "value"), rows)])


def _environment() -> Section:
    rows = [["python", platform.python_version()], *([name, version(name)] for name in LIBRARIES)]
    rows += [["processor", platform.processor() or platform.machine()], ["threads", str(torch.get_num_threads())]]
    rows += [[name, str(value)] for name, value in backends().items()]
    return Section("Environment", ["Of this report."], [Table((), rows)])


def spread(values: Sequence[int], n: int) -> list[int]:
    """At most n of the values, evenly spaced, the first and the last among them."""
    if len(values) <= n:
        return list(values)
    return [values[round(i * (len(values) - 1) / (n - 1))] for i in range(n)]
