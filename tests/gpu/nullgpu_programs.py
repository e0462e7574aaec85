"""Run beside a stand-in for a GPU that computes nothing (test_beside_nullgpu.py): python nullgpu_programs.py WHAT.

The last line that it prints is JSON. Counts are exact; no value that comes out means anything.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nullgpu  # first: it replaces what a GPU that computes nothing cannot do
import torch

from eval.checkpoints import drawn_from
from fsvae_tcja.cli import main
from fsvae_tcja.core.kernels.lif.inputs import Inputs
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.runtime.callbacks import Callback
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.train import FSVAETask

OPERATIONS = "launches", "triton", "gemm", "memset", "d2d", "h2d", "graph_launches"
WARM = 5  # calls until everything that is recorded is


def counted(run: Callable[[], Any]) -> dict[str, int]:
    """What a call gives the GPU to do; `operations` are those outside of graphs, and launches of graphs."""
    before = nullgpu.counts()
    run()
    return summed(nullgpu.diff(before, nullgpu.counts()))


def summed(found: dict[str, int]) -> dict[str, int]:
    kept = ("sync", "h2d", "h2d_bytes", "graph_nodes_launched", "badgrid", "triton_bad", "capture_violations")
    return {"operations": sum(found.get(name, 0) for name in OPERATIONS)} | {name: found.get(name, 0) for name in kept}


def fake_images(n: int, channels: int = 1) -> MemoryImages:
    return MemoryImages(
        "fake", "train", torch.zeros(n, channels, 32, 32, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64), 10
    )


class Steps(Callback):
    """The counts of each step, from the end of the one before: the loader, the losses, the optimiser, the callbacks."""

    def __init__(self) -> None:
        self.found: list[dict[str, int]] = []
        self.before: dict[str, int] | None = None

    def step(self, trainer: Trainer, losses: Any) -> None:
        now = nullgpu.counts()
        if self.before:
            self.found.append(summed(nullgpu.diff(self.before, now)))
        if trainer.step == WARM + 4:
            trainer.interrupt()
        self.before = nullgpu.counts()


def train(preset: str, **changes: Any) -> tuple[FSVAETask, list[dict[str, int]]]:
    """Some steps of a preset on images that are not there; no checkpoint is written."""
    config = replace(PRESETS[preset].config, steps=WARM + 6, log_every=1000, recalibrate=0, **changes)
    data = fake_images(config.batch_size * (WARM + 6))
    task, steps = FSVAETask(config, data, data), Steps()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(task, config, RunFolder(Path(folder) / "run"), device="cuda", callbacks=[steps])
        trainer.save = lambda: None
        trainer.fit()
    return task, steps.found[WARM:]


def budgets(preset: str) -> dict[str, Any]:
    """A step, a draw, the drawing of a scored batch, and a step that is one graph."""
    task, steps = train(preset)
    for _ in range(WARM):
        task.model.sample(48, batch_size=48)
    draw = counted(lambda: task.model.sample(48, batch_size=48))
    source = drawn_from(task.model, 0, "model")
    for _ in range(WARM):
        source.draw(0, 256)
    scored = counted(lambda: source.draw(0, 256))
    _, recorded = train(preset, graph=True)
    worst = {name: max(step[name] for step in steps) for name in steps[0]}
    return {"step": worst, "draw": draw, "scored": scored, "graph": recorded[-1]}


def long_step(batch_size: int = 250, T: int = 16) -> dict[str, int]:
    """A step of mnist with the batch and the steps of the published recipe."""
    model = replace(PRESETS["mnist"].config.model, T=T)
    _, steps = train("mnist", batch_size=batch_size, model=model)
    return {name: max(step[name] for step in steps) for name in steps[0]}


def stochastic() -> dict[str, int]:
    """A step of mnist with a code that is drawn, as one graph."""
    model = PRESETS["mnist"].config.model
    _, steps = train("mnist", graph=True, model=replace(model, latent=replace(model.latent, stochastic=0.1)))
    return steps[-1]


def shapes() -> dict[str, Any]:
    """Layers that are larger than the second and third axis of a grid, and what they take of memory."""
    from fsvae_tcja.core import FSVAE_LIF
    from fsvae_tcja.core.kernels.lif import triton as kernels

    constants = FSVAE_LIF.fused_constants.constants
    plain = Inputs(torch.empty(4, 256, 64, 32, 32, device="cuda"))
    large = torch.empty(2, 1, 256, 400, 400, device="cuda").to(memory_format=torch.channels_last_3d)
    table = torch.empty(256, device="cuda")
    wide = Inputs(large.permute(0, 1, 2, 3, 4), table, table)
    found = {
        "plain": counted(lambda: kernels.fire(plain, 4, constants)),
        "wide": counted(lambda: kernels.fire(wide, 2, constants)),
    }
    y = torch.empty(10, 128, 32, 32, 128, device="cuda").permute(0, 1, 4, 2, 3)  # 671 MB
    gate = torch.empty(10, 128, 128, device="cuda")
    table = torch.empty(128, device="cuda")
    inputs = Inputs(y, table, table, gate, gate)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kernels.backward(y, None, inputs, 10, constants, "rectangle")
    taken = torch.cuda.max_memory_allocated() - before
    found["partial sums"] = taken / (y.numel() * y.element_size()) - 1  # besides the gradient of y
    return found


COMMANDS = [
    ["doctor"],
    ["train", "digits", "--steps", "5", "--batch-size", "16", "--limit", "64", "--out", "bernoulli"],
    ["train", "digits", "--steps", "5", "--batch-size", "16", "--limit", "64", "--tf32", "--graph", "--out", "graph"],
    ["train", "digits", "--steps", "2", "--batch-size", "16", "--limit", "64", "--precision", "bf16", "--save-memory",
     "--model.readout", "tcja", "--model.latent.sampling", "prefix", "--model.latent.distance", "kld", "--flip",
     "--accumulate", "2", "--clip", "1", "--ema", "0.9", "--out", "others"],
    ["sample", "bernoulli", "--n", "40", "--batch-size", "16", "--out", "samples.npz"],
    ["reconstruct", "bernoulli", "--n", "20", "--batch-size", "16", "--out", "pairs.png"],
    ["eval", "train-classifier", "digits", "--epochs", "1", "--out", "classifier.safetensors"],
    ["eval", "train-fad", "digits", "--epochs", "1", "--out", "fad.safetensors"],
    ["classify", "train", "digits", "--steps", "3", "--batch-size", "16", "--limit", "64", "--out", "classifier"],
]  # fmt: skip
ON_THE_CPU = ("doctor",)


def commands() -> dict[str, Any]:
    """Every command at a tiny size: what it returns, or how it failed."""
    torch.backends.cudnn.enabled = False  # there is none: batch norms of PyTorch's own
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        import os

        os.chdir(folder)
        for command in COMMANDS:
            name = " ".join(command[:2])
            device = [] if command[0] in ON_THE_CPU else ["--device", "cuda"]
            try:
                found[" ".join(command)] = main([*command, *device])
            except (Exception, SystemExit) as problem:
                found[" ".join(command)] = f"{name}: {type(problem).__name__}: {problem}"
    return found


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    programs = {
        "budgets": budgets,
        "long step": long_step,
        "stochastic": stochastic,
        "shapes": shapes,
        "commands": commands,
    }
    print(json.dumps(programs[what](*arguments)))
