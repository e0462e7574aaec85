"""The halving and doubling convolutions between wide blocks, forward and backward, against PyTorch's on the CPU.

    python tests/benchmarks/bench_resampling.py [--images 128] [--rounds 15]

Parity comes first: values and gradients must agree with PyTorch's within rounding.
"""

import argparse
from collections.abc import Callable

import torch
from timing import machine, paired
from torch import Tensor, nn

from fsvae_tcja.core import Doubling, Halving
from fsvae_tcja.core.memory import keep_freed_memory

SHAPES = {  # inputs, outputs, pixels a side of the input
    Halving: [(128, 128, 4), (128, 256, 4), (256, 512, 4)],
    Doubling: [(512, 256, 2), (256, 128, 2), (128, 128, 2), (256, 64, 4), (256, 128, 4)],
}


def plain(kind: type[Halving] | type[Doubling], inputs: int, outputs: int) -> nn.Module:
    if kind is Halving:
        return nn.Conv2d(inputs, outputs, 3, 2, 1)
    return nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)


def step(layer: nn.Module, x: Tensor, upstream: Tensor) -> Callable[[], list[Tensor]]:
    def run() -> list[Tensor]:
        y = layer(x)
        return [y.detach(), *torch.autograd.grad(y, [x, layer.weight], upstream)]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128, help="T times the batch")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    keep_freed_memory()
    print(machine())
    for kind, shapes in SHAPES.items():
        for inputs, outputs, side in shapes:
            layers = {"ours": kind(inputs, outputs), "PyTorch": plain(kind, inputs, outputs)}
            layers["PyTorch"].load_state_dict(layers["ours"].state_dict())
            spikes = (torch.rand(arguments.images, inputs, side, side) < 0.2).float()
            x = spikes.to(memory_format=torch.channels_last).requires_grad_()
            with torch.no_grad():
                upstream = torch.randn_like(layers["PyTorch"](x))
            runs = {
                name: step(layer.to(memory_format=torch.channels_last), x, upstream) for name, layer in layers.items()
            }
            for ours, theirs in zip(runs["ours"](), runs["PyTorch"](), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))
            times = paired(runs, arguments.rounds)
            print(
                f"{kind.__name__} {inputs} to {outputs}, {side} x {side}: {1e3 * times['ours']:.1f} ms, PyTorch "
                f"{1e3 * times['PyTorch']:.1f}, {times['PyTorch'] / times['ours']:.2f} times"
            )


if __name__ == "__main__":
    main()
