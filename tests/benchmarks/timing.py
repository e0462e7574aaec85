"""Paired timing: each candidate once a round, in a new order each round, so that what else runs here hits all alike."""

import platform
import random
import statistics
import time
from collections.abc import Callable

import torch


def machine() -> str:
    """One line on what the figures were measured on."""
    try:
        with open("/proc/cpuinfo") as info:
            cpu = next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
        with open("/proc/loadavg") as load:
            load = f", load {load.read().split()[0]}"
    except (OSError, StopIteration):
        cpu, load = platform.processor(), ""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cpu}, {torch.get_num_threads()} threads{gpu}, torch {torch.__version__}{load}"


def paired(
    candidates: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each candidate over the rounds, after one call each to warm up."""
    times = {name: [] for name in candidates}
    for call in candidates.values():
        call()
    for _ in range(rounds):
        for name in random.sample(list(candidates), len(candidates)):
            began = clock()
            candidates[name]()
            times[name].append(clock() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def copy_bandwidth() -> float:
    """Bytes per second, read and written, of copying a tensor that no cache holds."""
    source = torch.ones(1 << 25)
    target = torch.empty_like(source)
    seconds = paired({"copy": lambda: target.copy_(source)}, 7)["copy"]
    return 2 * source.numel() * source.element_size() / seconds


def multiply_rate() -> float:
    """Floating-point operations per second of a large convolution, the fastest that PyTorch does here."""
    x = torch.rand(64, 256, 16, 16).to(memory_format=torch.channels_last)
    weight = torch.rand(256, 256, 3, 3).to(memory_format=torch.channels_last)
    seconds = paired({"conv": lambda: torch.nn.functional.conv2d(x, weight, padding=1)}, 7)["conv"]
    return 2 * x.numel() * 256 * 9 / seconds
