"""make fuzz: the long run, 2,000 inputs for each reader, and its figures as a table in Markdown."""

import argparse
import logging
import sys
import time
import warnings

import torch

from .fuzz import fuzz
from .readers import READERS

HEADER = ("reader", "inputs", "accepted", "refused", "other", "longest, s of CPU", "most memory, MB")


def main() -> int:
    """Print the table and what went wrong; 1 if anything did."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("readers", nargs="*", help="by default all")
    options.add_argument("--inputs", type=int, default=2000, help="for each reader (default: %(default)s)")
    options.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    given = options.parse_args()
    torch.set_num_threads(1)
    logging.disable()
    warnings.simplefilter("ignore")
    print(f"| {' | '.join(HEADER)} |\n|---|{'--:|' * (len(HEADER) - 1)}", flush=True)
    began, wrong = time.monotonic(), []
    for name in given.readers or READERS:
        figures = fuzz(name, given.inputs, given.seed)
        counts = [figures.counts.total(), *(figures.counts[kind] for kind in ("accepted", "refused", "other"))]
        row = [name, *(f"{n:,}" for n in counts), f"{figures.seconds:.2f}", f"{figures.memory / 1e6:.0f}"]
        print(f"| {' | '.join(row)} |", flush=True)
        wrong += [(name, what, data) for what, data in figures.others.items()]
    print(f"\n{time.monotonic() - began:.0f} s, seed {given.seed}")
    for name, what, data in wrong:
        print(f"\n{name}: {what}\n{data[:200]!r}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
