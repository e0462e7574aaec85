"""fsvae-tcja ablate: a study of settings x seeds on one budget, and its table."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..runtime.device import resolve
from ..utils.atomic import replacing, write_json
from ..utils.options import DataRoot, Device, Download, Folder, parse
from ..utils.program import check_not_hidden
from .ablation.job import Stopped, Where, finished, train_and_measure
from .ablation.measure import check_networks
from .ablation.picture import save_study
from .ablation.study import Study, read_study
from .ablation.table import latex, markdown, plain, rows_of


@dataclass(frozen=True)
class AblateOptions:
    """Train the settings of a study with every seed, measure them, and put them side by side; docs/ABLATE.md."""

    study: tyro.conf.Positional[Path]
    """The .toml that says what is trained."""
    out: Folder = None
    """Folder of the runs and the table; by default runs/ and the name of the study."""
    shard: Annotated[str, tyro.conf.arg(metavar="I/N")] = "1/1"
    """Of N processes that share out the runs, the I-th, from 1."""
    table: bool = False
    """Train nothing: the table of what is finished."""
    dry_run: bool = False
    """Print the runs of this process, and stop."""
    data_root: DataRoot = None
    download: Download = False
    device: Device = "auto"


def main(args: list[str]) -> int:
    """Train what is not yet finished, then write and print the table."""
    options = parse(AblateOptions, "fsvae-tcja ablate", args)
    study = read_study(options.study)
    check_not_hidden("eval")
    place = {"root": options.data_root, "download": options.download}
    where = Where(options.out or Path("runs") / options.study.stem, resolve(options.device), place)
    jobs = shared(study.jobs(), options.shard)
    if options.dry_run:
        for setting, seed in jobs:
            done = finished(study, setting, seed, where) is not None
            print(f"{where.folder(setting, seed)}  {'finished' if done else 'to be trained'}")
        return 0
    if options.table:
        jobs = []
    for setting in dict.fromkeys(setting for setting, seed in jobs if finished(study, setting, seed, where) is None):
        check_networks(study, setting, where.device)
    for number, (setting, seed) in enumerate(jobs, 1):
        if finished(study, setting, seed, where) is not None:
            continue
        print(f"{setting}, seed {seed} (run {number} of {len(jobs)})")
        try:
            train_and_measure(study, setting, seed, where)
        except Stopped as stopped:
            print(f"stopped; go on with: fsvae-tcja ablate {shlex.join(args)}")
            return stopped.status
    results = [finished(study, setting, seed, where) for setting, seed in study.jobs()]
    write_tables(study, [result for result in results if result is not None], where.out)
    return 0


def shared(jobs: list[tuple[str, int]], shard: str) -> list[tuple[str, int]]:
    """The jobs of the I-th of N processes, "I/N"; a ValueError if that is no such thing."""
    found = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"--shard must be I/N with I in 1..N, such as 2/4; found {shard!r}")
    return jobs[int(found[1]) - 1 :: int(found[2])]


def write_tables(study: Study, results: list[dict[str, Any]], folder: Path) -> None:
    """table.md, which is printed, table.tex, table.json and table.png."""
    rows = rows_of(study, results)
    for name, text in (("table.md", markdown(study, rows)), ("table.tex", latex(study, rows))):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_json(folder / "table.json", plain(study, rows))
    save_study(study, rows, folder / "table.png")
    print(markdown(study, rows), end="")
    print(f"\n{len(results)} of {len(study.jobs())} runs are finished: {folder / 'table.md'}, .tex, .json, .png")
