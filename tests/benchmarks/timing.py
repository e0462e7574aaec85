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


def repeated(call: Callable[[], object], device: str, times: int = 20) -> Callable[[], object]:
    """On a GPU, `call` so many times in a row and waited for: a launch alone would say nothing. On the CPU once."""
    if device == "cpu":
        return call

    def run() -> None:
        for _ in range(times):
            call()
        torch.cuda.synchronize()

    return run


def medians(
    candidates: dict[str, Callable[[], object]], rounds: int, device: str = "cpu", times: int = 20
) -> dict[str, float]:
    """Median seconds of one call of each candidate, in paired rounds."""
    calls = {name: repeated(call, device, times) for name, call in candidates.items()}
    share = 1 if device == "cpu" else times
    return {name: seconds / share for name, seconds in paired(calls, rounds).items()}


def copy_bandwidth(device: str = "cpu") -> float:
    """Bytes per second, read and written, of copying a tensor that no cache holds."""
    source = torch.ones(1 << (25 if device == "cpu" else 28), device=device)
    target = torch.empty_like(source)
    seconds = medians({"copy": lambda: target.copy_(source)}, 7, device)["copy"]
    return 2 * source.numel() * source.element_size() / seconds


def multiply_rate(device: str = "cpu") -> float:
    """Floating-point operations per second of a large convolution, the fastest that PyTorch does here."""
    batch = 64 if device == "cpu" else 1024
    x = torch.rand(batch, 256, 16, 16, device=device).to(memory_format=torch.channels_last)
    weight = torch.rand(256, 256, 3, 3, device=device).to(memory_format=torch.channels_last)
    seconds = medians({"conv": lambda: torch.nn.functional.conv2d(x, weight, padding=1)}, 7, device)["conv"]
    return 2 * x.numel() * 256 * 9 / seconds
