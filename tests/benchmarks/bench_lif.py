"""LIF forward and backward against other libraries and a compiled reference, on the CPU or a GPU.

    python tests/benchmarks/bench_lif.py [--peers FOLDER] [--device cuda]

FOLDER: where spikingjelly, snntorch and norse were installed (pip install --no-deps --target FOLDER ...), if not in
this environment. What cannot be found is named and left out. Parity comes first: a candidate whose spikes differ from
the reference at more than one site in 10^5 is not timed, nor one whose gradient does, but for snnTorch and norse,
whose backward rules are others. All run the TCJA neuron (tau 2, hard reset, detached, ATan).
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial

import torch
from timing import copy_bandwidth, machine, medians
from torch import Tensor

from fsvae_tcja.core import TCJA_LIF, lif
from fsvae_tcja.core.memory import keep_freed_memory

OTHER_GRADIENT = ("snntorch", "norse")
KERNELS = {"cpu": "cpu", "cuda": "triton"}
SPIKINGJELLY = {"cpu": ["torch"], "cuda": ["torch", "triton", "cupy"]}  # its backends
COMPILED = "torch.compile of the reference"
TARGETS = {
    "cpu": {"spikingjelly, torch": 0.4, "snntorch": 0.25, "norse": 0.25, COMPILED: 0.75},
    "cuda": {"spikingjelly, triton": 1, "spikingjelly, cupy": 1},
}
OF_COPY = {"cpu": "", "cuda": "at least 0.8"}  # share of a copy's bandwidth


def spikingjelly(backend: str) -> Callable[[Tensor], Tensor]:
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan(2.0), detach_reset=True, step_mode="m")
    node.backend = backend

    def run(x: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(x)

    return run


def snntorch() -> Callable[[Tensor], Tensor]:
    import snntorch

    # beta v + x, reset at the next step: the input is halved outside, the reset moved with reset_delay
    node = snntorch.Leaky(
        0.5, reset_mechanism="zero", reset_delay=False, spike_grad=snntorch.surrogate.atan(2.0), learn_threshold=False
    )

    def run(x: Tensor) -> Tensor:
        membrane, spikes = torch.zeros_like(x[0]), []
        for current in 0.5 * x:
            spike, membrane = node(current, membrane)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def norse(device: torch.device) -> Callable[[Tensor], Tensor]:
    import norse.torch as norse

    rate, threshold = torch.tensor(500.0, device=device), torch.tensor(1.0, device=device)
    cell = norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=rate, v_th=threshold))

    def run(x: Tensor) -> Tensor:
        state, spikes = None, []
        for current in x:
            spike, state = cell(current, state)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def compiled() -> Callable[[Tensor], Tensor]:
    return torch.compile(lambda x: lif(x, params=TCJA_LIF, backend="reference")[0])


def step(run: Callable[[Tensor], Tensor], x: Tensor, upstream: Tensor) -> Callable[[], None]:
    def forward_backward() -> None:
        x.grad = None
        run(x).backward(upstream)

    return forward_backward


def differing(a: Tensor, b: Tensor) -> float:
    """The share of values that differ by more than 1e-5 of the largest."""
    return ((a - b).abs() > 1e-5 * b.abs().max()).float().mean().item()


def candidates(x: Tensor, upstream: Tensor) -> dict[str, Callable[[], None]]:
    ours = KERNELS[x.device.type]
    reference = lif(x, params=TCJA_LIF, backend="reference")[0]
    (gradient,) = torch.autograd.grad(reference, x, upstream)
    reference = reference.detach()
    found = {}
    makers = {
        "ours": lambda: lambda x: lif(x, params=TCJA_LIF, backend=ours)[0],
        "reference": lambda: lambda x: lif(x, params=TCJA_LIF, backend="reference")[0],
        COMPILED: compiled,
        **{f"spikingjelly, {name}": partial(spikingjelly, name) for name in SPIKINGJELLY[x.device.type]},
        "snntorch": snntorch,
        "norse": lambda: norse(x.device),
    }
    for name, make in makers.items():
        try:
            run = make()
            spikes = run(x)
            (found_gradient,) = torch.autograd.grad(spikes, x, upstream)
        except Exception as problem:
            print(f"{name}: left out, {type(problem).__name__}: {str(problem).splitlines()[0]}")
            continue
        flips, wrong = (spikes.detach() != reference).float().mean().item(), differing(found_gradient, gradient)
        print(f"{name}: {flips:.0e} of the spikes and {wrong:.0e} of the gradient differ from the reference")
        allowed = 0 if name == "ours" else 1e-5
        if flips <= allowed and (wrong <= allowed or name in OTHER_GRADIENT):
            found[name] = step(run, x, upstream)
        else:
            print(f"{name}: left out, it computes something else")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="folder of the other libraries")
    parser.add_argument("--shape", type=int, nargs="+", default=[16, 64, 32, 32, 32], help="[T, ...]")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", choices=KERNELS, default="cpu")
    arguments = parser.parse_args()
    device = arguments.device
    if arguments.peers:
        sys.path.append(arguments.peers)
    keep_freed_memory()
    torch.manual_seed(0)
    x = (2 * torch.randn(arguments.shape, device=device)).requires_grad_()
    upstream = torch.randn(arguments.shape, device=device)
    found = candidates(x, upstream)
    if "ours" not in found:
        raise SystemExit("nothing is timed: ours does not compute what the reference does")
    times = medians(found, arguments.rounds, device)
    # x twice, spikes, upstream gradient, gradient of x
    floor = 5 * x.numel() * x.element_size() / copy_bandwidth(device)
    print(f"\n{machine()}")
    print(f"LIF forward + backward, {arguments.shape} float32, medians of {arguments.rounds} paired rounds")
    print("| | ms | ours / theirs | target |\n|---|---|---|---|")
    share = floor / times["ours"]
    print(
        f"| floor: bytes over copy bandwidth | {floor * 1e3:.3g} | its share of ours: {share:.2f} | {OF_COPY[device]} |"
    )
    for name, seconds in sorted(times.items(), key=lambda item: item[1]):
        ratio = "" if name == "ours" else f"{times['ours'] / seconds:.2f}"
        print(f"| {name} | {seconds * 1e3:.3g} | {ratio} | {TARGETS[device].get(name, '')} |")


if __name__ == "__main__":
    main()
