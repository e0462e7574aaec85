"""Running the program, and small runs."""

import shlex
import sys

from fsvae_tcja.cli import main

PROGRAM = [sys.executable, "-m", "fsvae_tcja"]
TINY = shlex.split("--model.T 4 --model.L 8 --model.latent.k 3 --model.channels 2 3 4 5 --device cpu")
SHORT = shlex.split("--epochs 2 --batch-size 50 --log-every 1")  # 2 epochs of 30 steps


def train(out, *options):
    return main(["train", "digits", *TINY, "--out", str(out), *options])


def rows_of(path):
    return path.read_text().splitlines() if path.exists() else []
