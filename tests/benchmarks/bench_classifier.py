"""Training step of the dvs128 network on the CPU, against the published program.

    python tests/benchmarks/bench_classifier.py [--published FOLDER]

FOLDER: the folder src/ of a checkout of ridgerchu/TCJA; its neurons are switched from CuPy to the PyTorch backend that
it brings along, nothing else is changed. Without it only ours is measured. Parity comes first: with the same weights
both give the same outputs and gradients. Random event counts, T = 20, 128x128, SMSE, Adam.
"""

import argparse
import sys
from collections.abc import Callable
from functools import cache

import torch
from programs import Program, in_turns
from timing import machine, multiply_rate
from torch import Tensor, nn

from classifiers.layers import TimeDropout
from classifiers.losses import smse
from classifiers.model import SpikingClassifier
from classifiers.nets import NETS
from fsvae_tcja.core import LIF
from fsvae_tcja.core.memory import keep_freed_memory

CONFIG = NETS["dvs128"]


def published(folder: str) -> nn.Module:
    """The published network; takes [N, T, 2, H, W], gives the mean votes [N, 11]."""
    sys.path.insert(0, folder)
    from spikingjelly.clock_driven import neuron

    cupy = neuron.MultiStepLIFNode
    neuron.MultiStepLIFNode = lambda **settings: cupy(**settings | {"backend": "torch"})
    import dvs128

    return dvs128.CextNet(128)


def frames(batch: int) -> Tensor:
    """Event counts [T, N, 2, H, W]."""
    return torch.poisson(torch.full((CONFIG.T, batch, *CONFIG.shape), 0.3), generator=torch.Generator().manual_seed(0))


def wake(model: nn.Module) -> None:
    """Weights with which neurons of every layer fire."""
    for p in model.parameters():
        if p.dim() == 1:
            nn.init.constant_(p, 1.5)  # weight and bias of the norms
        elif p.dim() == 2:
            bound = 3 / p.shape[1] ** 0.5
            nn.init.uniform_(p, -bound, 1.05 * bound)


def parity(ours: SpikingClassifier, theirs: nn.Module) -> None:
    """Outputs and gradients of the same weights; assertion errors otherwise.

    In float64 they must be equal. In float32 the order of sums moves currents by an ulp and flips spikes, more at each
    layer: our kernels, which are what is timed, may stray from float64 as far as the plain PyTorch reference does.
    """
    torch.manual_seed(0)
    ours.double(), theirs.double(), wake(ours)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        b.data.copy_(a.data)
    for module in [*ours.modules(), *theirs.modules()]:
        if isinstance(module, TimeDropout) or type(module).__name__ == "MultiStepDropout":
            module.eval()
    x = frames(1).double()
    exact = outputs_and_gradient(ours, lambda: ours(x).mean(0))
    same = outputs_and_gradient(theirs, lambda: theirs(x.transpose(0, 1)))
    rate = exact[0].mean()
    assert 0.05 < rate < 0.95, f"no proof: mean rate {rate:.3f}"
    outputs, gradient = ((a - b).abs().max() / b.abs().max() for a, b in zip(exact, same, strict=True))
    print(f"parity in float64, mean rate {rate:.3f}: outputs to {outputs:.0e}, gradient to {gradient:.0e}")
    assert outputs < 1e-9 and gradient < 1e-9
    ours.float()
    fused = stray(outputs_and_gradient(ours, lambda: ours(x.float()).mean(0)), exact)
    for module in ours.modules():
        if isinstance(module, LIF):
            module.backend = "reference"
    plain = stray(outputs_and_gradient(ours, lambda: ours(x.float()).mean(0)), exact)
    print("float32 against float64, rates on average and 1 - cosine of the gradient:")
    print(f"  kernels {fused[0]:.4f}, {fused[1]:.3f}; reference {plain[0]:.4f}, {plain[1]:.3f}")
    assert all(a < 2 * b + 1e-3 for a, b in zip(fused, plain, strict=True))


def outputs_and_gradient(model: nn.Module, run: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """Rates [1, 11] and the gradient of all parameters as one vector, in float64."""
    rates = run()
    gradients = torch.autograd.grad(smse(rates[None], torch.tensor([3])), list(model.parameters()))
    return rates.detach().double(), torch.cat([g.flatten() for g in gradients]).double()


def stray(found: tuple[Tensor, Tensor], exact: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Mean difference of the rates; 1 - cosine of the gradients."""
    cosine = torch.cosine_similarity(found[1], exact[1], dim=0)
    return (found[0] - exact[0]).abs().mean().item(), 1 - cosine.item()


def trainer(model: nn.Module, run: Callable[[Tensor], Tensor], batch: int) -> dict[str, Callable[[], None]]:
    """A training step on a batch."""
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    x, labels = frames(batch), torch.arange(batch) % CONFIG.classes

    def train() -> None:
        optimiser.zero_grad()
        smse(run(x)[None], labels).backward()
        optimiser.step()

    return {"train": train}


def ours(batch: int) -> dict[str, Callable[[], None]]:
    model = SpikingClassifier(CONFIG)
    train, settle = trainer(model, lambda x: model(x).mean(0), batch)["train"], cache(keep_freed_memory)
    return {"train": lambda: (train(), settle())}  # once, after the first step, as fsvae-tcja classify train does


def theirs(batch: int, folder: str) -> dict[str, Callable[[], None]]:
    model = published(folder)
    from spikingjelly.clock_driven import functional

    def run(x: Tensor) -> Tensor:
        functional.reset_net(model)
        return model(x.transpose(0, 1))

    return trainer(model, run, batch)


def flop(batch: int) -> float:
    """Multiplications and additions of the convolutions, forward and backward; the first needs no input gradient."""
    total, pixels, inputs = 0.0, 128 * 128, 2
    for i in range(5):
        total += (2 if i == 0 else 3) * 2 * 9 * inputs * 128 * pixels * CONFIG.T * batch
        pixels, inputs = pixels // 4, 128
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", help="folder src/ of ridgerchu/TCJA")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    makers = {"ours": (ours, (options.batch,))}
    if options.published:
        parity(SpikingClassifier(CONFIG), published(options.published))
        makers["published"] = (theirs, (options.batch, options.published))
    else:
        print("published program: left out, no --published FOLDER")
    floor = flop(options.batch) / multiply_rate()
    programs = {name: Program(*maker) for name, maker in makers.items()}
    answers = in_turns(programs, "train", options.rounds, warm=2)
    for program in programs.values():
        program.close()
    print(f"training step, T = {CONFIG.T}, batch {options.batch}, 128x128; medians of {options.rounds} paired rounds")
    print("| | s | over ours | MB |\n|---|---|---|---|")
    for name, (seconds, memory) in answers.items():
        print(f"| {name} | {seconds:.2f} | {seconds / answers['ours'][0]:.2f} | {memory:.0f} |")
    print(f"| floor: {flop(options.batch) / 1e9:.0f} GFLOP of convolutions at their measured rate | {floor:.2f} | | |")


if __name__ == "__main__":
    main()
