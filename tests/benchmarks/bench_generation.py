"""What finished trainings of the FSVAE give, in one table: time, reconstruction error and scores.

    python tests/benchmarks/bench_generation.py RUN... --networks.autoencoder FILE... [--networks.classifier FILE...]
        [--out STEM] [--picture FILE] [--grids FOLDER]

RUN: folders that `fsvae-tcja train` wrote. Of the networks of the strict scores there may be one for each data set:
they know what they were trained on. FAD under fsvae2022 needs the published autoencoder and statistics in fad-2022 of
the data root ({mnist,fashion}_64.pth, {mnist,fashion}_test_64.npz) and is left out where there are none.

Runs that differ in nothing but the seed are one group: mean and standard deviation (n - 1) over the seeds. The floor
are n training images, chosen at random once; the same are reconstructed, so all strict scores have one n and one
reference. Time is wall-clock, evaluations included, by the events of TensorBoard's log; the pauses of a resumed run are
not in it.
"""

import argparse
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import cycle
from pathlib import Path
from textwrap import fill

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from timing import machine

from eval import Autoencoder, Classifier, Networks, Score, evaluate, make_references, open_images
from eval.networks.published import AUTOENCODERS
from fsvae_tcja.data import LabelledDataset, limited, load_images
from fsvae_tcja.data.root import data_root
from fsvae_tcja.runtime import checkpoint
from fsvae_tcja.runtime.device import resolve
from fsvae_tcja.runtime.pictures import save_grid
from fsvae_tcja.runtime.run import CONFIG, TENSORBOARD, flat
from fsvae_tcja.runtime.stages import spans
from fsvae_tcja.utils.atomic import replacing, write_json
from fsvae_tcja.utils.configuration import from_dict, to_dict
from fsvae_tcja.vae import FSVAE, load
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.reconstruct import reconstruct
from fsvae_tcja.vae.train import TrainConfig

PUBLISHED = {"mnist": "mnist", "fashion-mnist": "fashion"}  # data set: what the authors' files call it
PUBLISHED_N = 5120  # images, as protocol fsvae2022 has it
NOT_COMPARED = {"seed", "log_every", "evaluate_every"}  # settings that do not make another group
LENGTH = ("epochs", "steps", "warmup")  # what these settings end in; runs that differ in them alone are one line
MINUTES, MSE = "training, min", "test MSE"
BATCH = 256
LEGEND = 120  # characters of a line below the picture

Figures = dict[str, float]
"""Number by title of its column."""


def titled(scores: Iterable[Score], before: str = "") -> Figures:
    """{"FAD (strict, n = 5,120)": value}."""
    return {f"{before}{one.name} ({one.protocol}, n = {one.n:,})": one.value for one in scores}


@dataclass(frozen=True)
class Row:
    """One run, or real images of its data set."""

    name: str
    group: str
    """What it is, its seed apart."""
    family: str
    """Its length apart, too."""
    data: str
    training_seed: int | None
    seconds: float | None
    """Of training; None: there was none, or no log of it."""
    test_mse: tuple[float, int] | None
    """Reconstruction error per pixel in [-1, 1], of so many test images."""
    scores: list[Score]
    """Of the images."""
    reconstructed: list[Score]
    """Of reconstructions of n training images."""

    @property
    def figures(self) -> Figures:
        found = {} if self.seconds is None else {MINUTES: self.seconds / 60}
        if self.test_mse:
            found[f"{MSE} (n = {self.test_mse[1]:,})"] = self.test_mse[0]
        return found | titled(self.scores) | titled(self.reconstructed, "reconstructed: ")


# what a run was


def read_config(run: Path) -> TrainConfig:
    """The configuration of a finished run.

    Raises:
        SystemExit: no run, or one that is not finished.
    """
    if not (run / CONFIG).is_file():
        raise SystemExit(f"{run} holds no run: give folders that `fsvae-tcja train` wrote")
    config = from_dict(TrainConfig, json.loads((run / CONFIG).read_text()))
    metadata = checkpoint.read_metadata(checkpoint.find(run))
    total = spans(config.stages(), lambda stage: metadata["images"] // stage.batch_size)[-1].end
    if metadata["step"] != total:
        raise SystemExit(f"{run} has done {metadata['step']} of {total} steps: fsvae-tcja train --resume {run}")
    return config


def group_of(config: TrainConfig, *besides: str) -> str:
    """The nearest preset, and what differs from it, besides settings that end so."""
    settings = flat(to_dict(config)).items()
    here = {name: value for name, value in settings if not (name in NOT_COMPARED or name.endswith(besides))}

    def changed(preset: str) -> list[str]:
        there = flat(to_dict(PRESETS[preset].config))
        return [f"{name.removeprefix('model.')} {here[name]}" for name in here if here[name] != there.get(name)]

    name = min(PRESETS, key=lambda preset: len(changed(preset)))
    return ", ".join([name, *changed(name)])


def seconds_of(run: Path) -> float | None:
    """From the first to the last event of each process that trained it, added up; None: there are no logs."""
    files = (run / TENSORBOARD).rglob("events.out.tfevents.*")
    times = [[event.wall_time for event in EventFileLoader(str(file)).Load()] for file in files]
    return sum(each[-1] - each[0] for each in times if each) or None


# what it is worth


class Scorer:
    """Scores of images of one data set; what they are compared with is made once."""

    def __init__(self, config: TrainConfig, options: argparse.Namespace, device: torch.device) -> None:
        self.data, self.size, self.options, self.device = config.data, config.model.image_size, options, device
        own = {
            "autoencoder": trained_on(self.data, Autoencoder, options.autoencoder),
            "classifier": trained_on(self.data, Classifier, options.classifier),
        }
        self.names = ("FAD", *(("Domain-IS", "Domain-sure") if own["classifier"] else ()))
        self.networks = Networks(**own)
        self.train = self.real(options.n)

    def _images(self, split: str) -> LabelledDataset:
        return load_images(self.data, split, size=self.size, root=self.options.data_root)

    @cached_property
    def test(self) -> LabelledDataset:
        return self._images("test")

    def real(self, n: int) -> LabelledDataset:
        """n training images, chosen at random, always the same: some sets come class by class."""
        images = self._images("train")
        if len(images) < n:
            raise SystemExit(f"{self.data} has {len(images)} training images: --n is at most that")
        return limited(images, n)

    @cached_property
    def reference(self) -> dict:
        return make_references(self.test, "strict", self.names, networks=self.networks, device=self.device)

    @cached_property
    def published(self) -> dict | None:
        """Protocol, reference and network of fsvae2022; None: there are no such files."""
        folder, stem = data_root(self.options.data_root) / "fad-2022", PUBLISHED.get(self.data)
        weights, statistics = folder / f"{stem}_64.pth", folder / f"{stem}_test_64.npz"
        if self.size != 32 or not (weights.is_file() and statistics.is_file()):
            return None
        return {"protocol": "fsvae2022", "reference": statistics, "networks": Networks(autoencoder=weights)}

    def strict(self, images: object, seed: int | None = None) -> list[Score]:
        """Of the first n images."""
        against = {"reference": self.reference, "networks": self.networks, "device": self.device}
        return evaluate(images, "strict", self.names, n=self.options.n, seed=seed, **against)

    def fsvae2022(self, images: object, seed: int | None = None) -> list[Score]:
        """Of the first 5,120 images; nothing where nothing is published."""
        if self.published is None:
            return []
        return evaluate(images, scores=("FAD",), seed=seed, device=self.device, **self.published)

    def floor(self) -> Row:
        """Real images."""
        scores = (self.fsvae2022(self.real(PUBLISHED_N)) if self.published else []) + self.strict(self.train)
        return Row(f"{self.data} train", "real images", "real images", self.data, None, None, None, scores, [])

    def run(self, path: Path, config: TrainConfig) -> Row:
        model, seed, name = load(path, self.device), self.options.seed, path.name
        drawn = model.sample(max(self.options.n, PUBLISHED_N if self.published else 0), seed, batch_size=BATCH)
        scores = self.fsvae2022(named(drawn[:PUBLISHED_N], f"{name}, drawn"), seed)
        scores += self.strict(named(drawn, f"{name}, drawn"), seed)
        mse, _ = reconstructed(model, self.test, len(self.test), seed)
        _, again = reconstructed(model, self.train, self.options.n, seed)
        other = self.strict(named(again, f"{name}, training images reconstructed"))
        test_mse = mse, len(self.test)
        return Row(
            name,
            group_of(config),
            group_of(config, *LENGTH),
            self.data,
            config.seed,
            seconds_of(path),
            test_mse,
            scores,
            other,
        )


def trained_on(data: str, kind: type[Autoencoder] | type[Classifier], files: Sequence[Path]) -> Path | None:
    """The file of the network of this data set; None: no files were given.

    Raises:
        SystemExit: all were trained on something else.
    """
    networks = {file: kind.load(file) for file in files}
    found = {str(AUTOENCODERS.get(net.sha256) or net.provenance.get("data")): file for file, net in networks.items()}
    if found and data not in found:
        raise SystemExit(f"no {kind.kind} of {data}, there are some of {', '.join(found)}: {kind.command} {data}")
    return found.get(data)


def named(images: torch.Tensor, name: str) -> object:
    return open_images(images, value_range="-1..1", name=name)


def reconstructed(model: FSVAE, images: LabelledDataset, n: int, seed: int) -> tuple[float, torch.Tensor]:
    """Mean squared error per pixel and reconstructions [n, C, H, W] of the first n images."""
    pairs = list(reconstruct(model, images, n, seed, batch_size=BATCH))
    x, recon = (torch.cat(side) for side in zip(*pairs, strict=True))
    return F.mse_loss(recon, x).item(), recon


# the table


def table(rows: Sequence[Row], seed: int) -> str:
    """Markdown: each run, then each group of more than one seed."""
    columns = list(dict.fromkeys(title for row in reversed(rows) for title in row.figures))
    head = ["run", "preset", "data", "training seed", "drawn on seed", *columns]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        seeds = ["", ""] if row.training_seed is None else [str(row.training_seed), str(seed)]
        lines.append([row.name, row.group, row.data, *seeds, *(digits(row.figures.get(title)) for title in columns)])
    for name, group in groups(rows).items():
        seeds = ", ".join(str(row.training_seed) for row in group)
        values = [[row.figures.get(title) for row in group] for title in columns]
        lines.append(["mean ± deviation", name, group[0].data, seeds, str(seed), *map(spread, values)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Runs of more than one seed, by what they are."""
    runs = [row for row in rows if row.training_seed is not None]
    found = {row.group: [other for other in runs if other.group == row.group] for row in runs}
    return {name: group for name, group in found.items() if len({row.training_seed for row in group}) > 1}


def digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def spread(values: Sequence[float | None]) -> str:
    """Of a column that all runs of a group have."""
    there = [value for value in values if value is not None]
    return f"{statistics.mean(there):.4g} ± {statistics.stdev(there):.2g}" if len(there) == len(values) else ""


# pictures


def draw(rows: Sequence[Row], path: Path) -> None:
    """FAD and share of sure images against minutes, PNG.

    Runs that differ in length and seed alone are one line; lines are told apart by marker and shade of grey.
    """
    figure = Figure((10, 4.2), dpi=150, layout="constrained")
    fad, sure = figure.subplots(1, 2)
    n = next(score.n for row in rows for score in row.scores if score.protocol == "strict")
    _panel(fad, rows, f"FAD (strict, n = {n:,})")
    fad.set_yscale("log")
    _log(fad.yaxis)
    _panel(sure, rows, f"Domain-sure (strict, n = {n:,})")
    sure.set_ylim(-0.03, 1.03)
    for axes in (fad, sure):
        axes.set_xscale("log")
        _log(axes.xaxis)
        axes.set_xlabel("training, minutes of wall-clock (log)")
    fad.set_ylabel(f"FAD (strict, n = {n:,}; log)")
    sure.set_ylabel(f"share of sure images (strict, n = {n:,})")
    handles, labels = fad.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", frameon=False, fontsize="small")
    with replacing(path, ".png") as temporary:
        figure.savefig(temporary, format="png")


def _panel(axes: Axes, rows: Sequence[Row], title: str) -> None:
    runs = [row for row in rows if MINUTES in row.figures and title in row.figures]
    names = list(dict.fromkeys(row.family for row in runs))
    for i, (name, marker) in enumerate(zip(names, cycle("osD^vP*X"), strict=False)):
        points = sorted((row.figures[MINUTES], row.figures[title]) for row in runs if row.family == name)
        shade = str(0.65 * i / max(1, len(names) - 1))
        axes.plot(
            *zip(*points, strict=True),
            f"{marker}-",
            linewidth=1,
            color=shade,
            label=fill(name, LEGEND),
            markersize=7,
            markeredgecolor="black",
        )
    for row, dashes in zip([row for row in rows if row.training_seed is None], cycle(["--", ":", "-."]), strict=False):
        if title in row.figures:
            axes.axhline(row.figures[title], linestyle=dashes, color="0.3", label=f"real images, {row.name}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _log(axis: object) -> None:
    """Plain numbers at 1, 2 and 5 of each decade."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path)
    network = {"nargs": "+", "type": Path, "metavar": "FILE"}
    parser.add_argument("--networks.autoencoder", dest="autoencoder", required=True, **network)
    parser.add_argument("--networks.classifier", dest="classifier", default=[], **network)
    parser.add_argument("--n", type=int, default=PUBLISHED_N, help="images of the strict scores (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="that images are drawn on (%(default)s)")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", metavar="STEM", help="write STEM.md and STEM.json")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="FAD and share of sure images against minutes")
    parser.add_argument("--grids", type=Path, metavar="FOLDER", help="the first 64 images of seed 0 of each run")
    options = parser.parse_args()
    options.runs = [run.resolve() for run in options.runs]
    if len({run.name for run in options.runs}) < len(options.runs):
        parser.error("two runs have one name: rows and grids are called by it")
    return options


def main() -> None:
    options = parsed()
    device = resolve(options.device)
    configs = {run: read_config(run) for run in options.runs}
    scorers = {}
    for config in configs.values():
        key = config.data, config.model.image_size
        if key not in scorers:
            scorers[key] = Scorer(config, options, device)
    rows = [scorer.floor() for scorer in scorers.values()]
    for run, config in configs.items():
        print(f"{run} ...", flush=True)
        rows.append(scorers[config.data, config.model.image_size].run(run, config))
    text = f"{table(rows, options.seed)}\n{machine()}\n"
    print(f"\n{text}")
    if options.out:
        Path(f"{options.out}.md").write_text(text)
        write_json(f"{options.out}.json", {"machine": machine(), "rows": [asdict(row) for row in rows]})
    for run in options.runs if options.grids else ():
        save_grid(load(run, device).sample(64, 0), options.grids / f"{run.name}.png", columns=8)
    if options.picture:
        draw(rows, options.picture)


if __name__ == "__main__":
    main()
