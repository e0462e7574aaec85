import math
from pathlib import Path

import numpy as np
import pytest
import torch

from classifiers.losses import LOSSES, cross_entropy, one_hot, smse, smse_paper, tet

DATA = Path(__file__).parent.parent / "golden"


def example(T=3, N=4, K=5):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(T, N, K, generator=generator, dtype=torch.float64)
    return outputs, torch.tensor([0, 4, 2, 2])


def loops(outputs, labels):
    """The losses as sums over plain numbers."""
    T, N, K = outputs.shape
    o, y = outputs.tolist(), [[float(k == label) for k in range(K)] for label in labels.tolist()]
    rate = [[sum(o[t][n][k] for t in range(T)) / T for k in range(K)] for n in range(N)]

    def entropy(logits, target):
        return math.log(sum(math.exp(x) for x in logits)) - sum(p * x for p, x in zip(target, logits, strict=True))

    every = [(t, n, k) for t in range(T) for n in range(N) for k in range(K)]
    mean_entropy = sum(entropy(o[t][n], y[n]) for t in range(T) for n in range(N)) / (T * N)
    return {
        "smse": sum((rate[n][k] - y[n][k]) ** 2 for n in range(N) for k in range(K)) / (N * K),
        "smse-paper": sum((o[t][n][k] - y[n][k]) ** 2 for t, n, k in every) / (T * N * K),
        "tet": 0.999 * mean_entropy + 0.001 * sum((o[t][n][k] - 1) ** 2 for t, n, k in every) / (T * N * K),
        "cross-entropy": sum(entropy(rate[n], y[n]) for n in range(N)) / N,
    }


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_their_formulas(name):
    outputs, labels = example()
    assert LOSSES[name](outputs, labels).item() == pytest.approx(loops(outputs, labels)[name], rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_formula(name):
    outputs, labels = example(T=2, N=2, K=3)
    labels = labels[[0, 2]]
    assert torch.autograd.gradcheck(
        lambda o: LOSSES[name](o, labels), outputs[:, :, :3].clone().requires_grad_(), eps=1e-6, atol=1e-7
    )


def test_golden_losses():
    golden = {name: torch.from_numpy(array) for name, array in np.load(DATA / "losses.npz").items()}
    outputs, labels = golden["logits"], golden["labels"]
    torch.testing.assert_close(tet(outputs, labels, 1e-3), golden["tet"])
    torch.testing.assert_close(tet(outputs, labels, 0), golden["tet0"])
    torch.testing.assert_close(smse((outputs > 0).float(), labels), golden["smse"])


@pytest.mark.parametrize("name", LOSSES)
def test_probabilities_that_are_certain_are_labels(name):
    outputs, labels = example()
    torch.testing.assert_close(LOSSES[name](outputs, one_hot(labels, 5).double()), LOSSES[name](outputs, labels))


def test_mixed_targets_mix_what_is_linear_in_them():
    outputs, labels = example()
    a, b = one_hot(labels, 5).double(), one_hot(labels.roll(1), 5).double()
    for loss in (tet, cross_entropy):
        mixed = loss(outputs, 0.3 * a + 0.7 * b)
        torch.testing.assert_close(mixed, 0.3 * loss(outputs, a) + 0.7 * loss(outputs, b))


def test_paper_and_program_differ_by_the_variance_over_time():
    outputs, labels = example()
    variance = outputs.var(0, correction=0).mean()
    torch.testing.assert_close(smse_paper(outputs, labels), smse(outputs, labels) + variance)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0, 5]), r"labels must lie in 0..4, found 0 to 5; the network has one output per class"),
        (torch.tensor([-1, 2]), r"labels must lie in 0..4, found -1 to 2"),
        (torch.zeros(2, 4), r"targets must be \[N\] class numbers or \[N, 5\], found \[2, 4\]"),
        (torch.zeros(2, 5, dtype=torch.int64), r"targets must be \[N\] class numbers or \[N, 5\], found \[2, 5\]"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        smse(torch.zeros(3, 2, 5), targets)


def test_a_gpu_is_not_waited_for_to_look_at_labels():
    """Another device than the CPU that every machine has is meta, whose numbers nobody can look at."""
    assert one_hot(torch.zeros(3, dtype=torch.int64, device="meta"), 5).shape == (3, 5)
