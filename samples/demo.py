"""The main job on 5,000 handwritten digits: train a TCJA-FSVAE, draw, reconstruct, score.

    python samples/demo.py [OUT]

OUT is a new folder; by default the first free one of runs/demo, runs/demo-2, ...
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

import torch

from eval import Networks, evaluate, make_references, save_scores
from fsvae_tcja.data import LabelledDataset, load_images
from fsvae_tcja.data.dataset import some
from fsvae_tcja.runtime.callbacks import KeepMemory
from fsvae_tcja.runtime.curves import save_curves
from fsvae_tcja.runtime.pictures import save_grid, save_pairs
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.vae.model import FSVAE
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.reconstruct import reconstruct as reconstruct_images
from fsvae_tcja.vae.train import FSVAETask

DATA = "mnist-5k"
SEED = 0
SCORED = 1000  # images drawn for the score


def free_folder() -> Path:
    """The first of runs/demo, runs/demo-2, ... that is not there."""
    names = itertools.chain(["demo"], (f"demo-{i}" for i in itertools.count(2)))
    return next(Path("runs") / name for name in names if not (Path("runs") / name).exists())


def reconstruct(model: FSVAE, test: LabelledDataset, path: Path) -> float:
    """Draw 32 reconstructions; return the mean squared error over the test split."""
    shown = some(test, 32)
    save_pairs(*_pairs(model, shown), path, title=f"{shown.name} {shown.split}")
    x, recon = _pairs(model, test)
    return torch.nn.functional.mse_loss(recon, x).item()


def _pairs(model: FSVAE, data: LabelledDataset) -> tuple[torch.Tensor, torch.Tensor]:
    originals, reconstructions = zip(*reconstruct_images(model, data, len(data), SEED), strict=True)
    return torch.cat(originals), torch.cat(reconstructions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", nargs="?", type=Path)
    out = parser.parse_args().out or free_folder()
    began = time.monotonic()
    train, test = load_images(DATA, "train"), load_images(DATA, "test")
    run = RunFolder(out)

    config = PRESETS[DATA].config
    task = FSVAETask(config, train, test)
    outcome = Trainer(task, config, run, callbacks=[KeepMemory()]).fit()
    model = task.model.eval()
    if not outcome.finished:
        sys.exit(f"stopped after step {outcome.step}; go on with: fsvae-tcja train --resume {run.path}")

    networks = Networks(autoencoder="mnist")  # of the package
    against = {"networks": networks, "reference": make_references(test, "strict", networks=networks)}
    drawn = model.sample(SCORED, SEED)
    (score,) = evaluate(drawn, "strict", **against, seed=SEED, value_range="-1..1")
    (floor,) = evaluate(train, "strict", **against)
    save_scores(run.path / "score.json", [score])

    samples, reconstructions, curves = (run.path / f"{n}.png" for n in ("samples", "reconstructions", "curves"))
    mse = reconstruct(model, test, reconstructions)
    save_grid(drawn[:64], samples, columns=8, title=str(score))
    save_curves(run.read_metrics(), curves, units=model.units)

    print(f"""
TCJA-FSVAE on {DATA}, T = {config.model.T}, {outcome.step} steps in {outcome.seconds:.0f} s, seed {SEED}

  reconstruction MSE      {mse:8.4f}   range [-1, 1], test split, n = {len(test)}
  FAD of drawn images     {score.value:8.2f}   protocol strict, n = {score.n}, against the test split
  FAD of real images      {floor.value:8.2f}   the same for the training split, n = {floor.n}: the floor

  64 drawn images         {samples}
  32 reconstructions      {reconstructions}
  curves                  {curves}
  checkpoint              {run.model}
  all in {time.monotonic() - began:.0f} s
""")


if __name__ == "__main__":
    main()
