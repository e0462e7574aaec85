"""A classifier from training to its confusion, and what an image costs it.

python samples/confusion.py [OUT]
"""

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from classifiers.cli import main

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out", metavar="OUT", nargs="?", type=Path, default=Path("confusion.png"))
out = parser.parse_args().out

with TemporaryDirectory() as folder:
    run = Path(folder) / "digits"
    if status := main(["train", "digits", "--epochs", "4", "--out", str(run)]):
        raise SystemExit(status)
    main(["evaluate", str(run), "--out", folder])  # prints accuracy, firing and energy
    shutil.copyfile(Path(folder) / "confusion.png", out)
print(out)
