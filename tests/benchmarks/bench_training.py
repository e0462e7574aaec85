"""Training step, drawing and peak memory of the FSVAE on the CPU, against the authors' program.

    python tests/benchmarks/bench_training.py [--authors FOLDER]

FOLDER: a checkout of kamata1729/FullySpikingVAE, whose model runs on the CPU as it is; without it only ours is
measured. Ours is the mnist preset, with TCJA (--no-tcja: without); theirs has none. Parity comes first: without TCJA
both have the same number of parameters (that they compute the same, tests/vae/test_golden.py shows).

Each program runs in a process of its own, set up as it sets itself up, and they take turns.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections.abc import Callable

import torch
from timing import copy_bandwidth, machine, multiply_rate

from fsvae_tcja import FSVAE, FSVAEConfig
from fsvae_tcja.core.memory import keep_freed_memory
from fsvae_tcja.vae.config import TCJAConfig
from fsvae_tcja.vae.losses import losses
from fsvae_tcja.vae.presets import preset


def images(batch: int) -> torch.Tensor:
    return torch.rand(batch, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def config(steps: int, tcja: bool) -> FSVAEConfig:
    return FSVAEConfig(T=steps, tcja=preset("mnist").config.model.tcja if tcja else TCJAConfig())


def ours(steps: int, batch: int, tcja: bool, precision: str = "fp32") -> tuple[Callable, Callable]:
    """A training step and the drawing of a batch."""
    keep_freed_memory()  # as fsvae-tcja train does
    model = FSVAE(config(steps, tcja))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    x = images(batch)

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            out = model.train()(x)
        optimiser.zero_grad()
        losses(x, out.recon.float(), out.q.float(), out.p.float())["loss"].backward()
        optimiser.step()

    return train, lambda: model.sample(64)


def authors(folder: str, steps: int, batch: int) -> tuple[Callable, Callable]:
    """The same of the authors' program."""
    sys.path.insert(0, folder)
    import global_v

    settings = {"batch_size": batch, "lr": 1e-3, "n_steps": steps, "in_channels": 1, "latent_dim": 128, "k": 20}
    global_v.init(settings, [0])
    from fsvae_models.fsvae import FSVAE as AuthorsFSVAE

    model = AuthorsFSVAE()
    count = sum(p.numel() for p in model.parameters())
    same = sum(p.numel() for p in FSVAE(config(steps, False)).parameters())
    assert count == same, f"not the same model: {count} parameters, ours {same}"
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    x = images(batch)

    def train() -> None:
        model.train()
        optimiser.zero_grad()
        recon, q, p, _ = model(x.unsqueeze(-1).repeat(1, 1, 1, 1, steps))
        model.loss_function_mmd(x, recon, q, p)["loss"].backward()
        optimiser.step()

    def draw() -> None:
        model.eval()
        with torch.no_grad():
            model.sample(64)

    return train, draw


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
        for network, features in ((model.posterior, 256), (model.prior, 128)):
            network(torch.zeros(steps, batch, features))
        drawn = total
        total = 0
        model.posterior(torch.zeros(steps - 1, batch, 256))  # the sampling pass has no gradient
    return 3 * drawn + total


def resident(field: str) -> float:
    """MB of this process: VmRSS, now, or VmHWM, at most so far (Linux)."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


def serve(connection, maker: Callable, arguments: tuple, threads: int, cpu_time: bool) -> None:
    """Run "train" or "draw" when asked; answer with the seconds and the MB that the process grew by at most."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    clock = time.process_time if cpu_time else time.perf_counter
    train, draw = maker(*arguments)
    before = resident("VmRSS")
    while (order := connection.recv()) is not None:
        began = clock()
        (train if order == "train" else draw)()
        connection.send((clock() - began, resident("VmHWM") - before))


class Program:
    """A training program in its own process."""

    def __init__(self, maker: Callable, arguments: tuple, cpu_time: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        setting = other, maker, arguments, torch.get_num_threads(), cpu_time
        self.process = context.Process(target=serve, args=setting, daemon=True)
        self.process.start()

    def __call__(self, order: str) -> tuple[float, float]:
        self.connection.send(order)
        return self.connection.recv()

    def close(self) -> None:
        self.connection.send(None)
        self.process.join()


def paired(programs: dict[str, Program], order: str, rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds and the memory of each program after some rounds in random order; the first does not count."""
    answers = {name: [program(order)] for name, program in programs.items()}
    for _ in range(rounds):
        for name in random.sample(list(programs), len(programs)):
            answers[name].append(programs[name](order))
    return {name: (statistics.median(s for s, _ in a[1:]), a[-1][1]) for name, a in answers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--authors", help="folder of the authors' program")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-tcja", dest="tcja", action="store_false")
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds, for a machine that others use too")
    arguments = parser.parse_args()
    if arguments.authors and not os.path.isdir(arguments.authors):
        raise SystemExit(
            f"no folder {arguments.authors}: clone kamata1729/FullySpikingVAE there, or leave --authors out"
        )
    steps, batch, tcja = arguments.steps, arguments.batch, arguments.tcja
    longer = f"ours, T {2 * steps}"
    makers = {
        "ours": (ours, (steps, batch, tcja)),
        "ours, bf16": (ours, (steps, batch, tcja, "bf16")),
        longer: (ours, (2 * steps, batch, tcja)),
    }
    if arguments.authors:
        makers["authors"] = (authors, (arguments.authors, steps, batch))
    else:
        print("authors' program: left out, no --authors FOLDER")
    rate, bandwidth, floor = multiply_rate(), copy_bandwidth(), operations(steps, batch)
    programs = {name: Program(*maker, arguments.cpu_time) for name, maker in makers.items()}
    training = paired(programs, "train", arguments.rounds)
    drawing = paired({name: p for name, p in programs.items() if name in ("ours", "authors")}, "draw", arguments.rounds)
    for program in programs.values():
        program.close()
    unit = ", CPU seconds" if arguments.cpu_time else ""
    print(f"\n{machine()}; copy {bandwidth / 1e9:.0f} GB/s, convolution {rate / 1e9:.0f} GFLOP/s")
    print(f"1x32x32, batch {batch}, T {steps}, TCJA {'on' if tcja else 'off'}{unit}")
    print("| | ours | authors | ratio | target |\n|---|---|---|---|---|")
    print(f"| floor of the step: operations over rate, s | {floor / rate:.2f} | | | |")
    for what, values, column, target in (
        ("training step, s", training, 0, "10"),
        ("drawing 64 images, s", drawing, 0, "6"),
        ("peak memory of a step, MB", training, 1, "3"),
    ):
        mine, theirs = values["ours"][column], values["authors"][column] if arguments.authors else float("nan")
        print(f"| {what} | {mine:.3g} | {theirs:.3g} | {theirs / mine:.1f} | at least {target} |")
    print(f"| training step, bf16, s | {training['ours, bf16'][0]:.3g} | | | |")
    print(f"| T {2 * steps} over T {steps} | {training[longer][0] / training['ours'][0]:.2f} | | | at most 2.1 |")


if __name__ == "__main__":
    main()
