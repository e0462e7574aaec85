"""Training over several processes: images a second of 1 and 2, on this machine or as two hosts; what goes between them.

    python tests/benchmarks/bench_processes.py PRESET [--processes 1 2] [--steps 60] [--repeats 3] [-- OPTIONS OF TRAIN]
    sudo .venv/bin/python tests/benchmarks/bench_processes.py PRESET --hosts [--rate 1gbit]  # and as two hosts
    python tests/benchmarks/bench_processes.py PRESET --model      # bytes of a step, and a forecast; measures nothing

Measured: steps of the first stage, one thread a process; the median of the rows of metrics behind the first two, each
over 10 steps, and the best of the repeats, in which the sides take turns. Runs beside each other, each with a batch of
its own, exchange nothing: more the machine cannot give. Two hosts are two network namespaces, fsvae-a
and fsvae-b (older ones of these names are deleted), that a veth pair joins, at the speed of memory or (--rate) at that
of a network: no delay is added.

Modelled: a step sends, over R processes, each all-reduce of b bytes as a ring, 2 (R - 1) / R b bytes from each. With W
bytes a second and a latency of l, and the time s of a step alone, the forecast is s / R + 2 (R - 1) / R b / W
+ 2 (R - 1) l k for k all-reduces, none of them hidden behind the computation.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from timing import machine

from fsvae_tcja.core import TDBatchNorm
from fsvae_tcja.runtime.build import build
from fsvae_tcja.vae.model import FSVAE
from fsvae_tcja.vae.presets import PRESETS

RUN = [sys.executable, "-m", "torch.distributed.run"]
HOSTS = {"fsvae-a": "10.77.0.1", "fsvae-b": "10.77.0.2"}
NETWORKS = {"25 Gbit/s, 30 us": (25e9 / 8, 30e-6), "1 Gbit/s, 100 us": (1e9 / 8, 100e-6)}


def options(out: Path, args: argparse.Namespace) -> list[str]:
    """A first stage of one epoch, and as little as there can be behind it."""
    config = PRESETS[args.preset].config
    asked = ["--steps", args.steps, "--limit", max(4096, args.steps * config.batch_size), "--log-every", 10]
    asked += ["--recalibrate", 0, "--tuning.weight", 0, "--device", "cpu", "--out", out]
    asked += ["--model.latent.prior.steps", 1] if config.model.latent.stages() else []
    return ["-m", "fsvae_tcja", "train", args.preset, *map(str, asked), *args.train]


def speed(out: Path, steps: int) -> tuple[float, int]:
    """Images a second, of the rows of the first stage, and in a step."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    timed = [row["images_per_second"] for row in rows if row["step"] <= steps and "images_per_second" in row]
    return statistics.median(timed[2:]), json.loads((out / "config.json").read_text())["batch_size"]


def start(command: list[str], **environment: str) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL}
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment, **quiet)


def ended(running: list[subprocess.Popen]) -> None:
    """Wait for all. One that fails ends the others, which would wait for it."""
    while not any(codes := [process.poll() for process in running]) and None in codes:
        time.sleep(0.1)
    if any(codes):
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        sys.exit("a training failed")


def here(processes: int, args: argparse.Namespace) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        ended([start([*RUN, "--standalone", "--nproc-per-node", str(processes), *options(out, args)])])
        return speed(out, args.steps)


def ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True)


def beside(processes: int, args: argparse.Namespace) -> tuple[float, int]:
    """Runs of one process side by side, which exchange nothing; images a second of all: what the machine gives."""
    with tempfile.TemporaryDirectory() as folder:
        outs = [Path(folder) / str(number) for number in range(processes)]
        ended([start([*RUN, "--standalone", "--nproc-per-node", "1", *options(out, args)]) for out in outs])
        speeds, batches = zip(*(speed(out, args.steps) for out in outs), strict=True)
        return sum(speeds), sum(batches)


@contextmanager
def hosts(rate: str):
    """Two network namespaces, joined by a cable."""
    with ExitStack() as stack:
        for name in HOSTS:
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL)  # of one that was killed
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name)
        (first, second), ends = HOSTS, ("fsvae0", "fsvae1")
        ip("link", "add", ends[0], "netns", first, "type", "veth", "peer", "name", ends[1], "netns", second)
        for (name, address), end in zip(HOSTS.items(), ends, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            for device in ("lo", end):
                ip("-n", name, "link", "set", device, "up")
            if rate:
                shaped = ["tc", "-n", name, "qdisc", "add", "dev", end, "root", "tbf", "rate", rate]
                subprocess.run([*shaped, "burst", "128kb", "latency", "50ms"], check=True)
        yield dict(zip(HOSTS, ends, strict=True))


def as_two_hosts(args: argparse.Namespace) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as folder, hosts(args.rate) as ends:
        out, meeting = Path(folder) / "run", f"{next(iter(HOSTS.values()))}:29400"
        running = []
        for number, (name, address) in enumerate(HOSTS.items()):
            where = ["--rdzv-backend", "c10d", "--rdzv-endpoint", meeting, "--rdzv-id", "1", "--local-addr", address]
            where += ["--rdzv-conf", f"is_host={number == 0}"]  # their names do not tell: both have that of the machine
            command = ["ip", "netns", "exec", name, *RUN, "--nnodes", "2", "--nproc-per-node", "1", *where]
            running.append(start([*command, *options(out, args)], GLOO_SOCKET_IFNAME=ends[name]))
        ended(running)
        return speed(out, args.steps)


def measure(sides: dict[str, Callable[[], tuple[float, int]]], repeats: int) -> None:
    """The best of each side, and how many times as fast as the first one it is."""
    best = dict.fromkeys(sides, (0.0, 0))
    for repeat in range(repeats):
        for name in list(sides)[:: 1 if repeat % 2 == 0 else -1]:
            found = sides[name]()
            best[name] = max(best[name], found)
            print(f"  {name}: {found[0]:.1f} images a second", flush=True)
    first, _ = next(iter(best.values()))
    for name, (found, batch) in best.items():
        print(f"{name}: {found:.1f} images a second, {batch / found:.4f} s a step, {found / first:.2f} times the first")


def traffic(preset: str) -> tuple[int, int, int]:
    """Bytes of gradients and of statistics that a step of the first stage sums, and the number of sums.

    DistributedDataParallel sums the gradients of all weights, zeros for those that another stage trains, in one part of
    1 MiB and others of 25 MiB, and which of them there are.
    """
    config = PRESETS[preset].config
    model = build(lambda: FSVAE(config.model), config)
    prior = getattr(model.latent, "prior", None) if config.model.latent.stages() else None  # trained in the next
    idle = set(prior.modules()) if prior is not None else set()
    norms = [m for m in model.modules() if isinstance(m, TDBatchNorm) and m not in idle]
    gradients = 4 * sum(p.numel() for p in model.parameters())
    moments = sum(2 * 2 * 8 * m.weight.numel() for m in norms)  # in float64, forward and backward
    parts = 1 + max(0, -(-(gradients - 2**20) // (25 * 2**20)))
    return gradients, moments, 2 * len(norms) + parts + 3  # which gradients there are, losses, and who stops


def forecast(args: argparse.Namespace) -> None:
    gradients, moments, sums = traffic(args.preset)
    print(f"{args.preset}: {gradients:,} bytes of gradients, {moments:,} of statistics, {sums} sums a step")
    if not args.step:
        return
    for name, (rate, latency) in NETWORKS.items():
        for processes in (2, 4, 8, 16, 32):
            ring = 2 * (processes - 1)
            between = ring / processes * (gradients + moments) / rate + ring * latency * sums
            same, larger = (args.step / (args.step / part + between) for part in (processes, 1))
            times = f"{same:.2f} times the images a second, {processes * larger:.2f} times by as many times the batch"
            print(f"  {name}, {processes:2} processes: {times} (modelled)")


def main() -> None:
    own, train = sys.argv[1:], []
    if "--" in own:
        own, train = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=PRESETS, metavar="PRESET")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--steps", type=int, default=60, help="at least 40, of the first stage")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--hosts", action="store_true", help="as two hosts, besides; needs root")
    parser.add_argument("--rate", default="", help="of the cable between two hosts, such as 1gbit")
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--step", type=float, default=0.0, help="seconds of a step alone, for the forecast")
    args = parser.parse_args(own, argparse.Namespace(train=train))
    if args.steps < 40:
        parser.error(f"--steps must be at least 40, found {args.steps}")
    if args.model:
        return forecast(args)
    print(machine())
    sides = {f"{n} process{'es' * (n > 1)}": partial(here, n, args) for n in args.processes}
    if (most := max(args.processes)) > 1:
        sides[f"{most} runs beside each other"] = partial(beside, most, args)
    if args.hosts:
        sides[f"2 hosts, {args.rate or 'memory'}"] = partial(as_two_hosts, args)
    measure(sides, args.repeats)


if __name__ == "__main__":
    main()
