"""Whole programs beside each other: each in a process of its own, set up as it sets itself up; they take turns."""

import multiprocessing
import random
import statistics
import time
from collections.abc import Callable

import torch

Calls = dict[str, Callable[[], object]]


def resident(field: str) -> float:
    """MB of this process: VmRSS, now, or VmHWM, at most so far (Linux)."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


def _serve(connection, maker: Callable[..., Calls], arguments: tuple, threads: int, cpu_time: bool) -> None:
    """Run what is asked for; answer with the seconds and the MB that it took at most: process growth, or on the GPU."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    clock = time.process_time if cpu_time else time.perf_counter
    calls = maker(*arguments)
    before = resident("VmRSS")
    while (order := connection.recv()) is not None:
        began = clock()
        calls[order]()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        seconds = clock() - began
        on_gpu = torch.cuda.is_initialized() and torch.cuda.max_memory_allocated() / 2**20
        connection.send((seconds, on_gpu or resident("VmHWM") - before))


class Program:
    """What `maker(*arguments)` makes, in its own process; called by name of the order."""

    def __init__(self, maker: Callable[..., Calls], arguments: tuple, cpu_time: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        setting = other, maker, arguments, torch.get_num_threads(), cpu_time
        self.process = context.Process(target=_serve, args=setting, daemon=True)
        self.process.start()

    def __call__(self, order: str) -> tuple[float, float]:
        self.connection.send(order)
        return self.connection.recv()

    def close(self) -> None:
        self.connection.send(None)
        self.process.join()


def in_turns(programs: dict[str, Program], order: str, rounds: int, warm: int = 1) -> dict[str, tuple[float, float]]:
    """Median seconds and the memory of each program over some rounds in random order, after `warm` calls each."""
    answers, order_of = {name: [] for name in programs}, random.Random(0)
    for program in programs.values():
        for _ in range(warm):
            program(order)
    for _ in range(rounds):
        for name in order_of.sample(list(programs), len(programs)):
            answers[name].append(programs[name](order))
    return {name: (statistics.median(s for s, _ in a), a[-1][1]) for name, a in answers.items()}
