import pytest
import torch

from fsvae_tcja.runtime.device import resolve


@pytest.fixture
def machine(monkeypatch):
    """A machine with that many CUDA devices, and with MPS or not; returns the devices that become the current one."""

    current = []

    def build(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        return current

    return build


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(1, True, "cuda"), (1, False, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_takes_the_fastest(machine, cuda, mps, expected):
    machine(cuda, mps)
    assert resolve() == resolve("auto") == torch.device(expected)


def test_a_device_by_name(machine):
    current = machine(cuda=2, mps=True)
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert resolve(name) == torch.device(name)
    assert current == [torch.device("cuda:1")]  # the number that was asked for


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_an_absent_device_never_falls_back(machine, name):
    machine()
    with pytest.raises(ValueError, match=rf"'{name}' was asked for and is not there \(here: cpu\); use --device auto"):
        resolve(name)


def test_an_absent_cuda_index(machine):
    machine(cuda=2)
    with pytest.raises(ValueError, match="'cuda:2' was asked for; here are 2 CUDA devices"):
        resolve("cuda:2")


@pytest.mark.parametrize("name", ["tpu", "", "cpu:x", "CPU"])
def test_an_unknown_device(machine, name):
    machine()
    with pytest.raises(ValueError, match=f"unknown device '{name}': choose auto, cpu, cuda or mps"):
        resolve(name)
