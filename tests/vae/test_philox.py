import numpy as np
import pytest
import torch

from fsvae_tcja.core.kernels.philox.reference import MASK, philox
from fsvae_tcja.vae.noise import Generated, Streams
from fsvae_tcja.vae.philox import integers, uniform, words

INTEGERS = [[11, 2, 3, 11, 11, 9], [13, 13, 4, 18, 6, 3]]  # k 20, seed 7, streams 3 and 4
KNOWN = [  # of the authors of Random123: counter, key, words
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def numbers(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    found = philox(tuple(torch.tensor([word]) for word in numbers(counter)), tuple(numbers(key)))
    assert [int(word) for word in found] == numbers(expected)


def test_a_stream_depends_on_seed_and_number_alone():
    def drawn(seed, first, n, length, block=0):
        return integers(20, words(seed, first, n, length, block))

    all_of = drawn(7, 0, 6, 50)
    assert torch.equal(drawn(7, 4, 2, 50), all_of[4:])
    assert torch.equal(drawn(7, 0, 6, 13), all_of[:, :13])
    for other in (drawn(8, 0, 6, 50), drawn(7 + 2**32, 0, 6, 50), drawn(7, 2**32, 6, 50), drawn(7, 0, 6, 50, 1)):
        assert (other != all_of).float().mean() > 0.8


def test_integers_are_those_of_version_0_1_0():
    assert integers(20, words(7, 3, 2, 6)).tolist() == INTEGERS


@pytest.mark.parametrize("k", [1, 4, 20])
def test_numbers_are_uniform_and_independent(k):
    drawn = integers(k, words(0, 0, 100, 4096))
    assert drawn.dtype == torch.int64 and drawn.min() == 0 and drawn.max() == k - 1
    counts = drawn.flatten().bincount(minlength=k).double()
    expected = drawn.numel() / k
    assert ((counts - expected) ** 2 / expected).sum() < k + 6 * (2 * k) ** 0.5  # chi squared, k - 1 degrees
    if k > 1:
        x = drawn.double()
        for a, b in ((x[:, :-1], x[:, 1:]), (x[:-1], x[1:]), (x[:, :-4], x[:, 4:])):
            r = np.corrcoef(a.flatten(), b.flatten())[0, 1]
            assert abs(r) < 5 / drawn.numel() ** 0.5


def test_uniform_numbers():
    assert uniform(torch.tensor([0, 2**31, MASK])).tolist() == [0, 0.5, 1 - 2**-24]
    drawn = uniform(words(0, 0, 100, 1000))
    assert drawn.dtype == torch.float32 and drawn.min() >= 0 and drawn.max() < 1
    assert drawn.mean().item() == pytest.approx(0.5, abs=5 * (1 / 12 / drawn.numel()) ** 0.5)
    assert drawn.var().item() == pytest.approx(1 / 12, rel=0.02)


def test_a_source_gives_each_image_its_own_numbers_and_each_call_others():
    def drawn(first, n):
        source = Streams(5, first, n)
        return source.integers(20, 7, 3), source.uniform(7, 3), source.uniform(7, 3)

    whole, part = drawn(0, 6), drawn(2, 3)
    for a, b in zip(whole, part, strict=True):
        assert a.shape == (7, 6, 3)
        assert torch.equal(a[:, 2:5], b)
    assert not torch.equal(whole[1], whole[2])


def test_a_generator_as_a_source():
    generator, again = (torch.Generator().manual_seed(3) for _ in range(2))
    source = Generated(6, generator)
    assert torch.equal(source.integers(20, 7, 3), torch.randint(20, (7, 6, 3), generator=again))
    assert torch.equal(source.uniform(7, 3), torch.rand(7, 6, 3, generator=again))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_draws_the_same():
    assert torch.equal(words(7, 3, 5, 99, device="cuda").cpu(), words(7, 3, 5, 99))
