"""Who runs, and why: names never fall back, "auto" says once why it does."""

import pytest
import torch

from fsvae_tcja.core import LeakyReLU, Linear, SpikingLayer, TDBatchNorm, backend, lif
from fsvae_tcja.utils.once import warn_once

F32 = torch.float32


def test_auto_takes_the_kernel_of_the_device(monkeypatch):
    monkeypatch.delenv(backend.ENVIRONMENT, raising=False)
    assert backend.choose("cpu", F32) == "cpu"


def test_auto_falls_back_and_says_why_once(monkeypatch, caplog):
    monkeypatch.delenv(backend.ENVIRONMENT, raising=False)
    warn_once.cache_clear()
    assert [backend.choose("cpu", torch.float64) for _ in range(3)] == ["reference"] * 3
    assert len(caplog.messages) == 1
    assert "found float64" in caplog.text


@pytest.mark.parametrize("forced", ["", "cpu"])
def test_a_rectifier_asks_for_no_kernel(monkeypatch, caplog, forced):
    """The baseline of every energy estimate has them: neither a word about it, nor an error where a name is forced."""
    monkeypatch.setenv(backend.ENVIRONMENT, forced)
    warn_once.cache_clear()
    layer = SpikingLayer(Linear(3, 4), TDBatchNorm(4, 1.0), LeakyReLU().build(4))
    assert layer(torch.randn(2, 5, 3)).min() < 0
    assert not caplog.messages


def test_float64_runs_on_the_reference():
    spikes, v = lif(torch.randn(3, 4, dtype=torch.float64))
    assert spikes.dtype == v.dtype == torch.float64


@pytest.mark.parametrize(
    ("name", "device", "dtype", "message"),
    [
        ("cpu", "cpu", torch.float64, "'cpu' cannot run: it stores float32, bfloat16, float16, found float64; convert"),
        ("cpu", "cuda", F32, "'cpu' cannot run: it runs on cpu tensors, found one on cuda; move"),
        ("triton", "cpu", F32, "'triton' cannot run: it runs on cuda tensors, found one on cpu; move"),
        ("cupy", "cpu", F32, r"unknown backend 'cupy' \(argument or \$FSVAE_TCJA_BACKEND\): choose 'auto' or one of"),
    ],
)
def test_a_name_never_falls_back(name, device, dtype, message):
    with pytest.raises(ValueError, match=message):
        backend.choose(device, dtype, name)


@pytest.fixture
def fresh(monkeypatch):
    """What is known of the packages is found out anew, here and after the test."""
    monkeypatch.delenv(backend.ENVIRONMENT, raising=False)
    backend._problem.cache_clear()
    warn_once.cache_clear()
    yield
    backend._problem.cache_clear()


def test_a_missing_package_names_the_remedy(monkeypatch, fresh):
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs the package numba; pip install numba"):
        backend.choose("cpu", F32, "cpu")
    assert backend.choose("cpu", F32) == "reference"


def test_a_broken_package_falls_back_or_raises_with_the_reason(monkeypatch, fresh, caplog):
    def broken(name):
        raise SystemError("LLVM does not fit\nits bindings")

    monkeypatch.setattr(backend, "import_module", broken)
    reason = r"numba does not work \(SystemError: LLVM does not fit\); reinstall or upgrade it"
    with pytest.raises(ValueError, match=f"backend 'cpu' cannot run: the package {reason}, or choose 'auto'"):
        backend.choose("cpu", F32, "cpu")
    assert [backend.choose("cpu", F32) for _ in range(2)] == ["reference"] * 2
    assert len(caplog.messages) == 1 and "SystemError" in caplog.text
    assert "reference (cpu: the package numba does not work" in backend.report()["cpu"]
    assert set(lif(torch.full((3, 4), 0.3))[0].unique().tolist()) == {1.0}


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ("Failed to find C compiler. Please specify via CC environment variable", "install one, such as gcc"),
        ("Command '['/usr/bin/gcc', 'main.c']' returned non-zero exit status 1.", "install the headers of Python"),
        ("Found no NVIDIA driver on your system", "reinstall or upgrade it"),
    ],
)
def test_a_gpu_on_which_no_launch_goes_through_falls_back_with_reason_and_remedy(
    monkeypatch, fresh, caplog, fault, remedy
):
    pytest.importorskip("triton")

    def launch():
        raise RuntimeError(fault)

    monkeypatch.setattr("fsvae_tcja.core.kernels.common.probe.launch", launch)
    assert backend.choose("cuda", F32) == "reference"
    assert fault in caplog.text and remedy in caplog.text
    with pytest.raises(ValueError, match=f"backend 'triton' cannot run: .*{remedy}"):
        backend.choose("cuda", F32, "triton")


def test_the_environment_replaces_auto_only(monkeypatch):
    monkeypatch.setenv(backend.ENVIRONMENT, "reference")
    assert backend.choose("cpu", F32) == "reference"
    assert backend.choose("cpu", F32, "cpu") == "cpu"
    assert "forced by FSVAE_TCJA_BACKEND" in backend.report()["cpu"]
    monkeypatch.setenv(backend.ENVIRONMENT, "triton")
    with pytest.raises(ValueError, match="'triton' cannot run"):
        backend.choose("cpu", F32)


def test_report(monkeypatch):
    monkeypatch.delenv(backend.ENVIRONMENT, raising=False)
    assert backend.report()["cpu"] == "cpu (fused kernels)"
