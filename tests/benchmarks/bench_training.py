"""Training step, drawing and peak memory of the FSVAE, against the authors' program, on the CPU or a GPU.

    python tests/benchmarks/bench_training.py [--authors FOLDER] [--device cuda]

FOLDER: a checkout of kamata1729/FullySpikingVAE, whose model runs on either as it is; without it only ours is
measured. Ours is the preset fsvae2022-mnist, drawn by `stream` and with TCJA in the last two decoder blocks
(--no-tcja: without); theirs has none. On a GPU our step is that of `Trainer.fit`, with all that it does on the host.
Parity comes first: their model, imported into ours without TCJA, gives the same
images and loss in eval mode (that training computes the same, tests/vae/test_golden.py shows).

Each program runs in a process of its own, set up as it sets itself up, and they take turns.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Semaphore, Thread

import torch
from programs import Calls, Program, in_turns
from timing import copy_bandwidth, machine, multiply_rate

from fsvae_tcja import FSVAE, Bernoulli, FSVAEConfig
from fsvae_tcja.core.memory import keep_freed_memory
from fsvae_tcja.data.image_dataset import MemoryImages
from fsvae_tcja.runtime.callbacks import Callback
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.vae.config import TCJAConfig
from fsvae_tcja.vae.interop import import_fsvae2022
from fsvae_tcja.vae.presets import PRESETS
from fsvae_tcja.vae.train import FSVAETask, TrainConfig

BATCH = {"cpu": 64, "cuda": 250}
DRAWN = {"cpu": (64, 64), "cuda": (8192, 1024)}  # images in all, and of one pass
TARGETS = {
    "cpu": ("at least 10", "at least 6", "at least 3"),
    "cuda": ("at least 20, ours at most .012 s", f"ours at most {8192 / 20_000:.2f} s", ""),
}


def images(batch: int, device: str = "cpu") -> torch.Tensor:
    return (torch.rand(batch, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1).to(device)


def config(steps: int, tcja: bool) -> FSVAEConfig:
    attention = TCJAConfig(decoder=(2, 3)) if tcja else TCJAConfig()
    return replace(
        PRESETS["fsvae2022-mnist"].config.model, T=steps, latent=Bernoulli(sampling="stream"), tcja=attention
    )


def fitted(
    device: str, steps: int, batch: int, tcja: bool, precision: str = "fp32", tf32: bool = False, graph: bool = False
) -> Calls:
    """The same on a GPU: a step of `Trainer.fit`, with loader, copies, random numbers, scheduled sampling, metrics."""
    settings = TrainConfig(
        steps=10**6, batch_size=batch, model=config(steps, tcja), precision=precision, tf32=tf32, graph=graph,
        evaluate_every=10**6,
    )  # fmt: skip
    n = 60 * batch
    pixels = torch.randint(0, 256, (n, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = MemoryImages("noise", "train", pixels, torch.zeros(n, dtype=torch.int64), 10)
    task, folder = FSVAETask(settings, data, data), tempfile.mkdtemp()
    step = Turns()
    trainer = Trainer(task, settings, RunFolder(Path(folder) / "run"), device=device, callbacks=[step])
    Thread(target=step.run, args=(trainer,), daemon=True).start()
    drawn, at_once = DRAWN[device]
    return {"train": step, "draw": lambda: task.model.sample(drawn, batch_size=at_once)}


class Turns(Callback):
    """A training in another thread, which does a step for each call."""

    def __init__(self) -> None:
        self.asked, self.done = Semaphore(0), Semaphore(0)
        self.failure: BaseException | None = None

    def __call__(self) -> None:
        self.asked.release()
        self.done.acquire()
        if self.failure:
            raise self.failure

    def run(self, trainer: Trainer) -> None:
        try:
            trainer.fit()
        except BaseException as failure:
            self.failure = failure
        self.done.release()

    def start(self, trainer: Trainer) -> None:
        self.asked.acquire()

    def step(self, trainer: Trainer, losses: object) -> None:
        self.done.release()
        self.asked.acquire()


def ours(device: str, steps: int, batch: int, tcja: bool, precision: str = "fp32") -> Calls:
    """A training step and the drawing of a batch."""
    settle = cache(keep_freed_memory)
    model = FSVAE(config(steps, tcja)).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    x = images(batch, device)
    n, at_once = DRAWN[device]

    def train() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = model.train().losses(x, model(x))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        settle()  # once, after the first step, as fsvae-tcja train does

    return {"train": train, "draw": lambda: model.sample(n, batch_size=at_once)}


def authors_model(folder: str, steps: int, batch: int) -> torch.nn.Module:
    sys.path.insert(0, folder)
    import global_v

    settings = {"batch_size": batch, "lr": 1e-3, "n_steps": steps, "in_channels": 1, "latent_dim": 128, "k": 20}
    global_v.init(settings, [0])
    from fsvae_models.fsvae import FSVAE as AuthorsFSVAE

    return AuthorsFSVAE()


def parity(folder: str, device: str, steps: int) -> None:
    """Their weights in both programs, in eval mode, with the same random picks: one loss, one image.

    Rounding may move a membrane over its threshold, and with it some pixels.

    Raises:
        SystemExit: they compute something else.
    """
    torch.manual_seed(0)
    batch = 16
    theirs, x = authors_model(folder, steps, batch).to(device), images(batch, device)
    sequence = x.unsqueeze(-1).repeat(1, 1, 1, 1, steps)
    with torch.no_grad(), torch.backends.cudnn.flags(allow_tf32=False):
        for module in theirs.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0  # the running statistics become those of one batch
        theirs.train()(sequence)
        torch.manual_seed(1)
        recon, q, p, z = theirs.eval()(sequence)
        torch.manual_seed(1)
        choice = torch.stack([torch.randint(20, (batch * 128,)).view(batch, 128) for _ in range(steps)])
        with tempfile.TemporaryDirectory() as path:
            torch.save(theirs.state_dict(), f"{path}/theirs.pth")
            imported = import_fsvae2022(f"{path}/theirs.pth").to(device)
            out = imported(x, noise=choice)
        loss = theirs.loss_function_mmd(x, recon, q, p)["loss"].item()
        mine = imported.losses(x, out)["loss"].item()
    rate, moved = z.mean().item(), ((out.recon - recon).abs() > 1e-4).float().mean().item()
    print(f"parity: loss {mine:.6f}, theirs {loss:.6f}; {moved:.0e} of the pixels differ; spike rate {rate:.2f}")
    if not (0.01 < rate < 0.99 and abs(mine - loss) < 1e-4 * loss and moved < 0.01):
        raise SystemExit("nothing is timed: the two programs do not compute the same")


def authors(device: str, folder: str, steps: int, batch: int) -> Calls:
    """The same of the authors' program."""
    model = authors_model(folder, steps, batch).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    x = images(batch, device)
    n, at_once = DRAWN[device]

    def train() -> None:
        model.train()
        optimiser.zero_grad()
        recon, q, p, _ = model(x.unsqueeze(-1).repeat(1, 1, 1, 1, steps))
        model.loss_function_mmd(x, recon, q, p)["loss"].backward()
        optimiser.step()

    def draw() -> None:
        model.eval()
        with torch.no_grad():
            for _ in range(n // at_once):
                model.sample(at_once)

    return {"train": train, "draw": draw}


def operations(steps: int, batch: int) -> float:
    """Floating-point operations of the convolutions and linear layers of one training step (forward, two backward)."""
    total = 0

    def count(module: torch.nn.Module, args: tuple, out: torch.Tensor) -> None:
        nonlocal total
        transposed = isinstance(module, torch.nn.ConvTranspose2d)
        values = args[0].numel() // args[0].shape[1] if transposed else out.numel() // out.shape[1]
        total += 2 * values * module.weight.numel()

    model = FSVAE(config(steps, False))
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        model.encoder(images(batch))
        model.decoder(torch.zeros(steps, batch, 128))
        for network, features in ((model.latent.posterior, 256), (model.latent.prior, 128)):
            network(torch.zeros(steps, batch, features))
        drawn = total
        total = 0
        model.latent.posterior(torch.zeros(steps - 1, batch, 256))  # the sampling pass has no gradient
    return 3 * drawn + total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--authors", help="folder of the authors' program")
    parser.add_argument("--device", choices=BATCH, default="cpu")
    parser.add_argument("--batch", type=int, help="64 on the CPU, 250 on a GPU")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-tcja", dest="tcja", action="store_false")
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds, for a machine that others use too")
    arguments = parser.parse_args()
    if arguments.cpu_time and arguments.device != "cpu":
        parser.error("--cpu-time is for --device cpu")
    if arguments.authors and not os.path.isdir(arguments.authors):
        raise SystemExit(
            f"no folder {arguments.authors}: clone kamata1729/FullySpikingVAE there, or leave --authors out"
        )
    device, steps, tcja = arguments.device, arguments.steps, arguments.tcja
    batch = arguments.batch or BATCH[device]
    longer = f"ours, T {2 * steps}"
    maker = ours if device == "cpu" else fitted
    makers = {
        "ours": (maker, (device, steps, batch, tcja)),
        "ours, bf16": (maker, (device, steps, batch, tcja, "bf16")),
        longer: (maker, (device, 2 * steps, batch, tcja)),
    }
    if device != "cpu":
        makers |= {
            "ours, tf32": (fitted, (device, steps, batch, tcja, "fp32", True)),
            "ours, one graph": (fitted, (device, steps, batch, tcja, "fp32", False, True)),
            "ours, tf32, one graph": (fitted, (device, steps, batch, tcja, "fp32", True, True)),
        }
    if arguments.authors:
        parity(arguments.authors, device, steps)
        makers["authors"] = (authors, (device, arguments.authors, steps, batch))
    else:
        print("authors' program: left out, no --authors FOLDER")
    rate, bandwidth, floor = multiply_rate(device), copy_bandwidth(device), operations(steps, batch)
    programs = {name: Program(*maker, arguments.cpu_time) for name, maker in makers.items()}
    training = in_turns(programs, "train", arguments.rounds, warm=5)  # by then the heap has its shape, a GPU its graphs
    drawing = in_turns(
        {name: p for name, p in programs.items() if name in ("ours", "authors")}, "draw", arguments.rounds
    )
    for program in programs.values():
        program.close()
    unit = ", CPU seconds" if arguments.cpu_time else ""
    print(f"\n{machine()}; copy {bandwidth / 1e9:.0f} GB/s, convolution {rate / 1e9:.0f} GFLOP/s")
    print(f"{device}, 1x32x32, batch {batch}, T {steps}, TCJA {'on' if tcja else 'off'}{unit}")
    print("| | ours | authors | ratio | target |\n|---|---|---|---|---|")
    print(f"| floor of the step: operations over rate, s | {floor / rate:.3g} | | | |")
    for what, values, column, target in (
        ("training step, s", training, 0, TARGETS[device][0]),
        (f"drawing {DRAWN[device][0]} images, s", drawing, 0, TARGETS[device][1]),
        ("peak memory of a step, MB", training, 1, TARGETS[device][2]),
    ):
        mine, theirs = values["ours"][column], values["authors"][column] if arguments.authors else float("nan")
        print(f"| {what} | {mine:.3g} | {theirs:.3g} | {theirs / mine:.1f} | {target} |")
    for name in makers:
        if name.startswith("ours, ") and name != longer:
            print(f"| training step, {name.removeprefix('ours, ')}, s | {training[name][0]:.3g} | | | |")
    print(f"| T {2 * steps} over T {steps} | {training[longer][0] / training['ours'][0]:.2f} | | | at most 2.1 |")


if __name__ == "__main__":
    main()
