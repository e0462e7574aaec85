"""Kill trainings, at random times and in the middle of writing, and compare what they end in with undisturbed ones.

    python -m tests.reliability.kills --kills 20

A tiny FSVAE in its three stages (latent `escape`, its prior, tuning) and a tiny classifier are trained by the program
itself, in processes that get SIGKILL, and are resumed until they are done. Weights, optimizer states, the classifier's
best epoch and its results must be those of the run that nothing happened to, bit for bit, and nothing may be left over.
"""

import argparse
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import sklearn.datasets  # noqa: F401  # this and others here, so that no forked process has to
import torch
import torch.utils.tensorboard

import classifiers.commands.train  # noqa: F401
import fsvae_tcja.commands.train  # noqa: F401
from fsvae_tcja.cli import main
from fsvae_tcja.runtime import checkpoint, curves
from fsvae_tcja.utils.atomic import leftovers, replacing

VAE = (
    "train digits --limit 60 --batch-size 20 --epochs 2 --model.T 4 --model.L 8 --model.channels 2 3 4 5 "
    "--model.latent escape --model.latent.groups 2 --model.latent.hidden 8 --model.latent.joint-groups 1 "
    "--model.latent.joint-hidden 8 --model.latent.prior.epochs 2 --model.latent.prior.batch-size 20 "
    "--tuning.weight 0.02 --tuning.stage.epochs 2 --tuning.stage.batch-size 20 --ema 0.9 --device cpu"
)
CLASSIFIER = (
    "classify train digits --model.layers '4C MP2 8C MP2 FC10' --model.T 2 --limit 120 --batch-size 40 --epochs 4 "
    "--test-every-epoch --device cpu"
)
PROGRAMS = {"vae": VAE, "classifier": CLASSIFIER}
RENAMES = 12  # about so many in a run: the kill in the middle of writing comes at one of them
Kill = Callable[[int], None]
"""Called with the process number: kills it, sooner or later."""


def start(args: Sequence[str], prepare: Callable[[], None], log: Path) -> int:
    """The program in a forked process; returns its number."""
    if number := os.fork():
        return number
    status = 1
    try:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            prepare()
            status = main(list(args))
    finally:
        os._exit(status)


def at_a_rename(which: int, how: str) -> Callable[[], None]:
    """Prepare a process to kill itself at one of its renames: before, after, or with half of the file."""

    def die(path: object) -> None:
        if how == "half":
            for file in [Path(str(path))] if Path(str(path)).is_file() else []:
                os.truncate(file, file.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    def prepare() -> None:
        replace, done = os.replace, [0]

        def counted(source: object, target: object) -> None:
            done[0] += 1
            if done[0] == which and how != "after":
                die(source)
            replace(source, target)  # type: ignore[arg-type]
            if done[0] == which:
                die(source)

        os.replace = counted  # type: ignore[assignment]

    return prepare


def one(args: Sequence[str], log: Path, chance: random.Random | None, seconds: float) -> int:
    """Run the program, and kill it if there is a `chance`; returns its exit status, -9 if it was killed."""
    writing = chance is not None and chance.random() < 0.5
    prepare = (
        at_a_rename(chance.randint(1, RENAMES), chance.choice(["half", "before", "after"])) if writing else _nothing
    )
    number = start(args, prepare, log)
    if chance is not None and not writing:
        time.sleep(chance.uniform(0, seconds))
        os.kill(number, signal.SIGKILL)  # it is not reaped yet, so the number is still its own
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def _nothing() -> None:
    pass


def killed(program: str, folder: Path, chance: random.Random, kills: int, seconds: float) -> int:
    """Train to the end, through so many kills at most; returns how many there were."""
    args, log, done = shlex.split(program), folder.with_suffix(".log"), 0
    while True:
        resumable = any(folder.glob("checkpoint*.safetensors"))
        if not resumable:  # as the program tells its user
            shutil.rmtree(folder, ignore_errors=True)
        command = [*args[: args.index("digits")], "--resume", str(folder), "--device", "cpu"]
        status = one(
            command if resumable else [*args, "--out", str(folder)], log, chance if done < kills else None, seconds
        )
        if status == 0:
            return done
        if status != -signal.SIGKILL:
            sys.exit(f"ended with {status}:\n{log.read_text()}")
        done += 1


def differences(whole: Path, other: Path) -> list[str]:
    """What is not the same in two finished runs, or left over."""
    found = []
    for name in ("model.safetensors", "best.safetensors", "results.json", "config.json"):
        if (whole / name).exists() and (whole / name).read_bytes() != (other / name).read_bytes():
            found.append(name)
    (a, b), (c, d) = (
        checkpoint.read(whole / "checkpoint.safetensors"),
        checkpoint.read(other / "checkpoint.safetensors"),
    )
    found += [f"checkpoint: {name}" for name in a.keys() | c.keys() if not torch.equal(a[name], c[name])]
    found += [f"checkpoint: {name}" for name in b.keys() | d.keys() if b[name] != d[name]]
    found += [f"left: {path}" for place in (other, other / "pictures") for path in leftovers(place)]
    return found + [f"left: {path}" for path in other.glob(".lock")]


def write_nothing(figure: object, path: str | Path) -> None:
    """A file in the place of a picture, written as it is."""
    with replacing(path, ".png") as temporary:
        temporary.touch()


def try_out(kind: str, kills: int, seed: int, folder: Path) -> None:
    """Print a row for one program; exits with a message if anything differs."""
    program, chance = PROGRAMS[kind], random.Random(seed)
    whole = folder / f"{kind}-whole"
    began = time.monotonic()
    if status := one([*shlex.split(program), "--out", str(whole)], whole.with_suffix(".log"), None, 0):
        sys.exit(f"the undisturbed run ended with {status}:\n{whole.with_suffix('.log').read_text()}")
    seconds, total, runs = time.monotonic() - began, 0, 0
    while total < kills:
        other = folder / f"{kind}-{runs}"
        total += killed(program, other, chance, kills - total, seconds)
        runs += 1
        if found := differences(whole, other):
            sys.exit(f"{other} differs from {whole}: {', '.join(found)}")
    print(
        f"{kind}: {total} kills in {runs} runs, {time.monotonic() - began:.0f} s, all bit for bit the undisturbed run"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each program")
    parser.add_argument("--seed", type=int, default=0, help="of their times and places")
    parser.add_argument("--quick", action="store_true", help="curves are written as empty files: drawing takes longest")
    parser.add_argument("programs", nargs="*", default=list(PROGRAMS))
    options = parser.parse_args()
    os.environ["FSVAE_TCJA_BACKEND"] = "reference"
    torch.set_num_threads(1)
    if options.quick:
        curves.save_figure = write_nothing
    with tempfile.TemporaryDirectory() as place:
        for name in options.programs:
            try_out(name, options.kills, options.seed, Path(place))
