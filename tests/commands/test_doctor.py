"""fsvae-tcja doctor."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from fsvae_tcja.cli import main


def facts(text):
    """{first word of a line: the line}"""
    return {line.split()[0]: line for line in text.splitlines()}


def test_doctor_without_data(capsys):
    assert main(["doctor"]) == 0
    told = facts(capsys.readouterr().out)
    assert {"versions", "devices", "backends", "data"} <= told.keys()
    assert told["torch"].split()[1] == torch.__version__.partition("+")[0]
    assert "reference (forced by FSVAE_TCJA_BACKEND)" in told["cpu"]
    assert "found" in told["digits"]
    assert "pretrained" in told
    assert "4 of 4 files missing" in told["mnist"] and "2 of 2 files missing" in told["celeba"]


@pytest.mark.parametrize(
    ("cuda", "rocm", "expected"),
    [("13.0", None, "CUDA 13.0"), (None, "7.1", "ROCm 7.1"), (None, None, "the CPU alone: pytorch.org has")],
)
def test_doctor_tells_for_which_gpus_pytorch_was_built(monkeypatch, capsys, cuda, rocm, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", rocm)
    assert main(["doctor"]) == 0
    assert f"no (PyTorch is built for {expected}" in facts(capsys.readouterr().out)["cuda"]


def test_doctor_lists_every_gpu(monkeypatch, capsys):
    gpu = SimpleNamespace(name="NVIDIA A", total_memory=12_500_000_000, major=8, minor=6)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: gpu)
    assert main(["doctor"]) == 0
    told = facts(capsys.readouterr().out)
    assert all(told[f"cuda:{i}"].endswith("NVIDIA A, 12.5 GB, compute capability 8.6") for i in (0, 1))


@pytest.mark.parametrize(
    ("has", "said"),
    [
        ({"architecture": "x86_64", "avx2": True}, "slow with --precision bf16 and fp16: it lacks the instructions"),
        ({"architecture": "x86_64", "avx512_bf16": True}, "slow with --precision fp16: it lacks the instructions"),
        ({"architecture": "x86_64", "avx_ne_convert": True}, ""),
        ({"architecture": "aarch64"}, ""),
    ],
)
def test_doctor_tells_what_precisions_the_cpu_lacks(monkeypatch, capsys, has, said):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert said in told and (said != "") == ("slow with" in told)


@pytest.mark.parametrize("way", ["option", "environment"])
def test_doctor_finds_data(capsys, tmp_path, monkeypatch, way):
    raw = tmp_path / "here" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, kind in itertools.product(("train", "t10k"), ("images-idx3", "labels-idx1")):
        (raw / f"{part}-{kind}-ubyte.gz").touch()
    if way == "environment":
        monkeypatch.setenv("FSVAE_TCJA_DATA", str(tmp_path / "here"))
    assert main(["doctor", *(["--data-root", "here"] if way == "option" else [])]) == 0
    told = facts(capsys.readouterr().out)
    assert "  found, but " in told["mnist"]  # the files are empty
    assert "missing" in told["fashion-mnist"]
