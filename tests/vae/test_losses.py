import math
from pathlib import Path

import numpy as np
import pytest
import torch

from fsvae_tcja.vae.losses import kld, mmd, psp

DATA = Path(__file__).parents[1] / "golden"


def test_psp_golden():
    arrays = np.load(DATA / "psp.npz")
    y = psp(torch.from_numpy(arrays["x"]), float(arrays["tau_s"]))
    torch.testing.assert_close(y, torch.from_numpy(arrays["y"]), atol=1e-6, rtol=1e-5)


def test_psp_is_its_recurrence():
    x = torch.randn(17, 3, 5, dtype=torch.float64)
    s, expected = torch.zeros(3, 5, dtype=torch.float64), []
    for x_t in x:
        s = s + (x_t - s) / 3.0
        expected.append(s)
    torch.testing.assert_close(psp(x, 3.0), torch.stack(expected))


def test_psp_of_a_constant_approaches_it():
    y = psp(torch.ones(30, 1))
    torch.testing.assert_close(y[:, 0], 1 - 0.5 ** torch.arange(1.0, 31.0))


def test_mmd_closed_form():
    # One step, one neuron: PSP(q) - PSP(p) = (1 - 1/4) / 2.
    q = torch.ones(1, 1, 1, 4)
    p = torch.tensor([1.0, 0, 0, 0]).view(1, 1, 1, 4)
    assert mmd(q, p).item() == pytest.approx((0.75 / 2) ** 2)
    assert mmd(q, q).item() == 0


def test_kld_closed_form_is_summed_over_time_and_latents():
    q = torch.tensor([1.0, 1, 1, 0]).expand(3, 2, 5, 4)  # 3/4
    p = torch.tensor([1.0, 0, 0, 0]).expand(3, 2, 5, 4)  # 1/4
    eps = 1e-2
    one = 0.75 * math.log((0.75 + eps) / (0.25 + eps)) + 0.25 * math.log((0.25 + eps) / (0.75 + eps))
    assert kld(q, p).item() == pytest.approx(3 * 5 * one, rel=1e-6)
    assert kld(q, q).item() == 0
