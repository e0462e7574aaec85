"""Run beside a stand-in for a GPU that computes nothing (test_beside_nullgpu.py): python nullgpu_programs.py WHAT.

The last line that it prints is JSON. Counts are exact; no value that comes out means anything.
"""

import io
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

import nullgpu  # first: it replaces what a GPU that computes nothing cannot do
import torch

from classifiers.config import ClassifierConfig
from classifiers.train import ClassifierTask, TrainConfig
from eval.checkpoints import drawn_from
from fsvae_tcja.cli import main
from fsvae_tcja.core import FSVAE_LIF
from fsvae_tcja.core.kernels.lif.inputs import Inputs
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.runtime.callbacks import Callback
from fsvae_tcja.runtime.config import TrainerConfig
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.vae import FSVAE
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.train import FSVAETask

OPERATIONS = "launches", "triton", "gemm", "memset", "d2d", "h2d", "graph_launches"
WARM = 5  # calls until everything that is recorded is


def counted(run: Callable[[], Any]) -> dict[str, int]:
    """What a call gives the GPU to do; `operations` are those outside of graphs, and launches of graphs."""
    before = counts()
    run()
    return since(before)


def counts() -> dict[str, int]:
    return nullgpu.counts() | {"pageable": len(pageable)}


def since(before: dict[str, int]) -> dict[str, int]:
    found = {name: value - before[name] for name, value in counts().items()}
    kept = "sync", "h2d", "h2d_bytes", "pageable", "graph_nodes_launched", "badgrid", "triton_bad", "capture_violations"
    return {"operations": sum(found[name] for name in OPERATIONS)} | {name: found[name] for name in kept}


pageable: list[torch.Size] = []  # tensors that went to the GPU from memory that is not pinned
pin, to = torch.Tensor.pin_memory, torch.Tensor.to


def pin_and_remember(x: torch.Tensor) -> torch.Tensor:
    found = pin(x)
    found.pinned = True
    return found


def to_and_remember(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    found = to(x, *args, **kwargs)
    if found.is_cuda and not x.is_cuda and not getattr(x, "pinned", False):
        pageable.append(x.shape)
    return found


torch.Tensor.pin_memory, torch.Tensor.to = pin_and_remember, to_and_remember


def fake_images(n: int, channels: int = 1) -> MemoryImages:
    return MemoryImages(
        "fake", "train", torch.zeros(n, channels, 32, 32, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64), 10
    )


class Steps(Callback):
    """The counts of each step of a stage, from the end of the one before: the loader, the losses, the optimiser, the
    callbacks."""

    def __init__(self, stage: int) -> None:
        self.stage = stage
        self.found: list[dict[str, int]] = []
        self.before: dict[str, int] | None = None

    def step(self, trainer: Trainer, losses: Any) -> None:
        if trainer.span.number != self.stage:
            return
        if self.before:
            self.found.append(since(self.before))
        if len(self.found) == WARM + 3:
            trainer.interrupt()
        self.before = counts()


def train(preset: str, stage: int = 0, **changes: Any) -> tuple[FSVAETask, list[dict[str, int]]]:
    """Some steps of a stage on images that are not there, after one of each before it; none is evaluated or saved."""
    config = replace(PRESETS[preset].config, log_every=1000, recalibrate=0, **changes)
    first, latent, last = (WARM + 6 if stage == number else 1 for number in range(3))
    tuning = replace(config.tuning, stage=config.tuning.stage.lasting(last))
    if config.model.latent.stages():
        config = replace(config, model=replace(config.model, latent=config.model.latent.lasting([latent])))
    config = replace(config.lasting(first), tuning=tuning)
    data = fake_images(max(each.batch_size for each in config.stages()) * (WARM + 6))
    task = FSVAETask(config, data, data)
    task.model.latent.start_stage = lambda codes, labels: None  # which counts numbers that nobody computed
    return task, follow(task, config, stage)


def follow(task: Any, config: TrainerConfig, stage: int = 0) -> list[dict[str, int]]:
    """The counts of the steps of a stage when everything that is recorded is; nothing is evaluated or saved."""
    task.end_of_epoch, steps = lambda epoch, run: {}, Steps(stage)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(task, config, RunFolder(Path(folder) / "run"), device="cuda", callbacks=[steps])
        trainer.save = lambda: None
        trainer.fit()
    return steps.found[WARM:]


def classified() -> dict[str, int]:
    """A step of a classifier with attention, residual block and dropout."""
    torch.backends.cudnn.enabled = False  # there is none: the shortcuts' batch norms are PyTorch's own
    model = ClassifierConfig("8C TCJA(2,2) MP2 16R MP2 DP.1 FC40 LIF Vote4", T=3, shape=(1, 32, 32))
    config = TrainConfig(steps=WARM + 6, batch_size=16, log_every=1000, validation=0, model=model)
    data = fake_images(config.batch_size * config.steps)
    return worst(follow(ClassifierTask(config, data, data), config))


def halves() -> dict[str, int]:
    """A step of the first stage of `mnist` in half precision."""
    return worst(train("mnist", precision="bf16")[1])


def worst(steps: list[dict[str, int]]) -> dict[str, int]:
    return {name: max(step[name] for step in steps) for name in steps[0]}


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
    return {"step": worst(steps), "draw": draw, "scored": scored, "graph": recorded[-1]}


def later_stages(preset: str) -> dict[str, dict[str, int]]:
    """A step of the prior's stage and of the decoder's with the discriminator, each launched and as one graph."""
    found = {}
    for stage, name in (1, "prior"), (2, "discriminator"):
        found[name] = worst(train(preset, stage)[1])
        found[f"{name}, graph"] = train(preset, stage, graph=True)[1][-1]
    return found


def draws(preset: str, most: int = 256) -> dict[str, dict[str, int]]:
    """The first passes of sizes that no draw had before, and a draw of any number of images when they are recorded."""
    model = FSVAE(PRESETS[preset].config.model).to("cuda")
    draw = lambda n: counted(lambda: model.sample(n, batch_size=most))  # noqa: E731
    sizes = [size for size in (16, 32, 64, 128, 256) if size <= most]
    first, second = [draw(size) for size in sizes], [draw(size) for size in sizes]
    any_number = [draw(n) for n in range(1, most, 13)]
    return {"first": worst(first[1:]), "second": worst(second), "any": worst(any_number), "two": draw(most + 1)}


def benchmark() -> dict[str, dict[str, int]]:
    """A step as bench_training times it on a GPU, and as `Trainer.fit` runs it."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    from bench_training import config, fitted

    timed = fitted("cuda", 4, 32, True)["train"]
    for _ in range(WARM):
        timed()
    _, steps = train("fsvae2022-mnist", model=config(4, True), batch_size=32)
    return {"timed": worst([counted(timed) for _ in range(3)]), "run": worst(steps)}  # before a row is logged


def long_step(batch_size: int = 250, T: int = 16) -> dict[str, int]:
    """A step of mnist with the batch and the steps of the published recipe."""
    model = replace(PRESETS["mnist"].config.model, T=T)
    _, steps = train("mnist", batch_size=batch_size, model=model)
    return worst(steps)


def stochastic() -> dict[str, int]:
    """A step of mnist with a code that is drawn, as one graph."""
    model = PRESETS["mnist"].config.model
    _, steps = train("mnist", graph=True, model=replace(model, latent=replace(model.latent, stochastic=0.1)))
    return steps[-1]


def shapes() -> dict[str, Any]:
    """Layers that are larger than the second and third axis of a grid, and what they take of memory."""
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
    found["kernels"] = kernels_of_batches(250, 64, 7)
    return found


def kernels_of_batches(*batches: int) -> list[str]:
    """Those that a layer is compiled to, forward and backward, for batches of different sizes."""
    import triton

    from fsvae_tcja.core.kernels.lif import register

    compiled: list[str] = []
    triton.knobs.runtime.jit_post_compile_hook = lambda **about: compiled.append(about["fn"].name)
    table = torch.ones(8, device="cuda", requires_grad=True)
    for n in batches:
        y = torch.empty(3, n, 8, 4, 4, device="cuda", requires_grad=True)
        register.fire(*Inputs(y, table, table), 3, *FSVAE_LIF.fused_constants)[0].sum().backward()
    triton.knobs.runtime.jit_post_compile_hook = None
    return compiled


COMMANDS = [
    ["doctor"],
    ["train", "digits", "--steps", "5", "--batch-size", "16", "--limit", "64", "--out", "bernoulli"],
    ["train", "digits", "--steps", "5", "--batch-size", "16", "--limit", "64", "--tf32", "--graph", "--out", "graph"],
    ["train", "digits", "--steps", "2", "--batch-size", "16", "--limit", "64", "--precision", "bf16", "--save-memory",
     "--model.readout", "tcja", "--model.latent.sampling", "prefix", "--model.latent.distance", "kld", "--flip",
     "--accumulate", "2", "--clip", "1", "--ema", "0.9", "--out", "others"],
    ["train", "--resume", "graph", "--steps", "10"],
    ["train", "digits", "--steps", "5", "--batch-size", "16", "--limit", "64", "--graph", "--precision", "bf16",
     "--accumulate", "2", "--clip", "1", "--ema", "0.9", "--out", "halves"],
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
        os.chdir(folder)
        for command in COMMANDS:
            name = " ".join(command[:2])
            device = [] if command[0] in ON_THE_CPU else ["--device", "cuda"]
            try:
                found[" ".join(command)] = main([*command, *device])
            except (Exception, SystemExit) as problem:
                found[" ".join(command)] = f"{name}: {type(problem).__name__}: {problem}"
    return found


def resumed() -> list[int]:
    """The exit status of a training, and of one that goes on with it."""
    with tempfile.TemporaryDirectory() as folder:
        new = ["train", "digits", "--batch-size", "16", "--limit", "64", "--out", f"{folder}/run"]
        again = ["train", "--resume", f"{folder}/run"]
        return [main([*new, "--steps", "2", "--device", "cuda"]), main([*again, "--steps", "4", "--device", "cuda"])]


def second() -> dict[str, Any]:
    """Training, launched and as one graph, and drawing on the second of two GPUs, and what they take of the first."""
    found: dict[str, Any] = {"commands": {}}
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS[1], COMMANDS[2], ["sample", f"{folder}/bernoulli", "--n", "40"]:
            command = [*command[:-1], f"{folder}/{command[-1]}"] if command[0] == "train" else command
            out = [] if command[0] == "train" else ["--out", f"{folder}/samples.npz"]
            found["commands"][command[0]] = main([*command, *out, "--device", "cuda:1"])
    return found | {"current": torch.cuda.current_device(), "of the first": torch.cuda.max_memory_reserved(0)}


def deterministic() -> list[float]:
    """A step of each stage of `mnist` and of the published recipe where PyTorch refuses what is not deterministic."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    cases = ("mnist", 0), ("mnist", 1), ("mnist", 2), ("fsvae2022-mnist", 0)
    return [train(preset, stage)[1][-1]["operations"] for preset, stage in cases]


def recordings() -> dict[str, int]:
    """What four recordings of a product take of memory, and how far a replay moves a generator that it draws from."""
    from fsvae_tcja.vae.replay import record

    x, device, kept = torch.ones(64, 64, device="cuda"), torch.device("cuda", 0), []
    _ = x @ x
    for _ in range(4):
        before = torch.cuda.memory_allocated()
        kept.append(record(lambda: x @ x, device))
        taken = torch.cuda.memory_allocated() - before
    generator = torch.Generator("cuda")
    replay, _ = record(lambda: torch.rand(4, generator=generator, device="cuda"), device)
    generator.manual_seed(5)
    replay()
    return {"bytes": taken, "moved": generator.get_offset()}


def lack_of_memory() -> list[Any]:
    """The exit status of a draw for which a GPU has too little memory, and what it says."""
    said = io.StringIO()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2**24 / torch.cuda.get_device_properties(0).total_memory)
    held, size = [], 2**30  # what others have left could be enough, until they are collected
    while size >= 512:
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            size //= 2
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(said):
        status = main(["sample", "mnist", "--n", "256", "--device", "cuda", "--out", f"{folder}/samples.npz"])
    return [status, said.getvalue()]


def lack_of_memory_in_a_graph() -> str:
    """What a training says whose step has too little memory where it is recorded."""
    losses = FSVAETask.losses

    def scarce(task: FSVAETask, *batch: Any) -> dict[str, torch.Tensor]:
        if torch.cuda.is_current_stream_capturing():
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return losses(task, *batch)

    FSVAETask.losses = scarce
    try:
        train("mnist", graph=True)
    except OSError as problem:
        return str(problem)
    return "nothing"


def several(*programs: str) -> dict[str, Any]:
    """What each of these prints, "NAME" or "NAME ARGUMENT", or how it failed, all in one process."""
    found: dict[str, Any] = {}
    for program in programs:
        name, *arguments = program.split()
        try:
            found[program] = globals()[name](*arguments)
        except Exception:
            found[program] = traceback.format_exc()
    return found


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    print(json.dumps(globals()[what](*arguments)))
