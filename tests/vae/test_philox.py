import numpy as np
import pytest
import torch

from fsvae_tcja.vae.philox import MASK, _multiply, integers, philox

KNOWN = [  # of the authors of Random123: counter, key, words
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    found = philox(tuple(torch.tensor([word]) for word in words(counter)), tuple(words(key)))
    assert [int(word) for word in found] == words(expected)


def test_products_do_not_overflow():
    values = [0, 1, 0xFFFF, 0x10000, 0x80000000, 0xCD9E8D57, MASK]
    for a in values:
        high, low = _multiply(a, torch.tensor(values))
        assert [(int(h) << 32) + int(x) for h, x in zip(high, low, strict=True)] == [a * b for b in values]


def test_a_stream_depends_on_seed_and_number_alone():
    all_of = integers(20, 7, 0, 6, 50)
    assert torch.equal(integers(20, 7, 4, 2, 50), all_of[4:])
    assert torch.equal(integers(20, 7, 0, 6, 13), all_of[:, :13])
    for other in (integers(20, 8, 0, 6, 50), integers(20, 7 + 2**32, 0, 6, 50), integers(20, 7, 2**32, 6, 50)):
        assert (other != all_of).float().mean() > 0.8


@pytest.mark.parametrize("k", [1, 4, 20])
def test_numbers_are_uniform_and_independent(k):
    drawn = integers(k, 0, 0, 100, 4096)
    assert drawn.dtype == torch.int64 and drawn.min() == 0 and drawn.max() == k - 1
    counts = drawn.flatten().bincount(minlength=k).double()
    expected = drawn.numel() / k
    assert ((counts - expected) ** 2 / expected).sum() < k + 6 * (2 * k) ** 0.5  # chi squared, k - 1 degrees
    if k > 1:
        x = drawn.double()
        for a, b in ((x[:, :-1], x[:, 1:]), (x[:-1], x[1:]), (x[:, :-4], x[:, 4:])):
            r = np.corrcoef(a.flatten(), b.flatten())[0, 1]
            assert abs(r) < 5 / drawn.numel() ** 0.5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_draws_the_same():
    assert torch.equal(integers(20, 7, 3, 5, 99, "cuda").cpu(), integers(20, 7, 3, 5, 99))
