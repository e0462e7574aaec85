"""Training over several processes: images a second of 1 and 2, on this machine or as two hosts; what goes between them.

    python tests/benchmarks/bench_processes.py PRESET [--processes 1 2] [--steps 60] [-- OPTIONS OF TRAIN]
    sudo python tests/benchmarks/bench_processes.py PRESET --hosts   # two network namespaces, one process in each
    python tests/benchmarks/bench_processes.py PRESET --model        # bytes of a step, and a forecast; measures nothing

Measured: the median of the rows of metrics behind the first two, each over 10 steps, one thread a process.

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
from contextlib import ExitStack, contextmanager
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
    asked = ["--steps", str(args.steps), "--log-every", "10", "--device", "cpu", "--out", str(out)]
    return ["-m", "fsvae_tcja", "train", args.preset, *asked, *args.train]


def speed(out: Path) -> float:
    """Images a second."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return statistics.median([row["images_per_second"] for row in rows if "images_per_second" in row][2:])


def start(command: list[str], **environment: str) -> subprocess.Popen:
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment)


def here(processes: int, args: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        assert start([*RUN, "--standalone", "--nproc-per-node", str(processes), *options(out, args)]).wait() == 0
        return speed(out)


def ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True)


@contextmanager
def hosts():
    """Two network namespaces, joined by a cable."""
    with ExitStack() as stack:
        for name in HOSTS:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name)
        (first, second), ends = HOSTS, ("fsvae0", "fsvae1")
        ip("link", "add", ends[0], "netns", first, "type", "veth", "peer", "name", ends[1], "netns", second)
        for (name, address), end in zip(HOSTS.items(), ends, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            for device in ("lo", end):
                ip("-n", name, "link", "set", device, "up")
        yield dict(zip(HOSTS, ends, strict=True))


def as_two_hosts(args: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as folder, hosts() as ends:
        out, meeting = Path(folder) / "run", f"{next(iter(HOSTS.values()))}:29400"
        running = []
        for name, address in HOSTS.items():
            where = ["--rdzv-backend", "c10d", "--rdzv-endpoint", meeting, "--rdzv-id", "1", "--local-addr", address]
            command = ["ip", "netns", "exec", name, *RUN, "--nnodes", "2", "--nproc-per-node", "1", *where]
            running.append(start([*command, *options(out, args)], GLOO_SOCKET_IFNAME=ends[name]))
        assert [process.wait() for process in running] == [0, 0]
        return speed(out)


def traffic(preset: str) -> tuple[int, int, int]:
    """Bytes of gradients and of statistics that a step of the first stage sums, and the number of sums."""
    config = PRESETS[preset].config
    model = build(lambda: FSVAE(config.model), config)
    prior = getattr(model.latent, "prior", None) if config.model.latent.stages() else None  # trained in the next
    idle = set(prior.modules()) if prior is not None else set()
    weights = {p for m in model.modules() if m not in idle for p in m.parameters(recurse=False)}
    norms = [m for m in model.modules() if isinstance(m, TDBatchNorm) and m not in idle]
    gradients = 4 * sum(p.numel() for p in weights)
    moments = sum((2 * 8 + 2 * 4) * m.weight.numel() for m in norms)  # float64 forward, float32 backward
    return gradients, moments, 2 * len(norms) + -(-gradients // (25 * 2**20)) + 2  # losses, and who stops


def forecast(args: argparse.Namespace) -> None:
    gradients, moments, sums = traffic(args.preset)
    print(f"{args.preset}: {gradients:,} bytes of gradients, {moments:,} of statistics, {sums} sums a step")
    if not args.step:
        return
    for name, (rate, latency) in NETWORKS.items():
        for processes in (2, 4, 8, 16, 32):
            ring = 2 * (processes - 1)
            seconds = args.step / processes + ring / processes * (gradients + moments) / rate + ring * latency * sums
            print(f"  {name}, {processes:2} processes: {args.step / seconds:5.1f} times as fast (modelled)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--hosts", action="store_true")
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--step", type=float, default=0.0, help="seconds of a step alone, for the forecast")
    parser.add_argument("train", nargs="*", help="options of fsvae-tcja train, behind --")
    args = parser.parse_args()
    if args.model:
        return forecast(args)
    print(machine())
    if args.hosts:
        print(f"two network namespaces, one process each: {as_two_hosts(args):.1f} images a second")
    for processes in [] if args.hosts else args.processes:
        print(f"{processes} process(es): {here(processes, args):.1f} images a second")


if __name__ == "__main__":
    main()
