"""fsvae-tcja report: a run as one HTML page, or several side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..data.names import short_name
from ..report.compare import compare
from ..report.page import write_page
from ..report.run import Run
from ..report.sections import sections
from ..runtime.device import resolve
from ..utils.options import DataRoot, Device, File, parse
from ..utils.outputs import check_out


@dataclass(frozen=True)
class ReportOptions:
    """Write a run, or several side by side, as one HTML page, to which nothing has to be fetched."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")]
    """Run folders."""
    out: File = None
    """The page, an .html; None: report.html in the run folder, or here for several."""
    data_root: DataRoot = None
    device: Device = "auto"


def main(args: list[str]) -> int:
    """Write the page."""
    options = parse(ReportOptions, "fsvae-tcja report", args)
    if not options.runs:
        raise ValueError("name one run folder, or several")
    runs = [Run(path, resolve(options.device), options.data_root) for path in options.runs]
    out = options.out or (runs[0].path if len(runs) == 1 else Path()) / "report.html"
    check_out(out, ".html")
    if len(runs) == 1:
        write_page(out, f"{runs[0].name}: FSVAE on {short_name(runs[0].data)}", sections(runs[0]))
    else:
        write_page(out, f"{len(runs)} runs", compare(runs))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    return 0
