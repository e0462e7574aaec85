"""The Triton kernels: in the interpreter against the reference, compiled for a GPU that need not be there, and on
a real one when there is one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fsvae_tcja.core import FSVAE_LIF, LIF, SURROGATES, lif
from fsvae_tcja.core.escape import escape_draw
from fsvae_tcja.core.kernels.escape.inputs import Inputs
from fsvae_tcja.core.params import Constants

from .conftest import FAMILIES, OWN_RULE, assert_alive, name
from .test_escape import network

pytest.importorskip("triton", reason="Triton is not installed (it comes with PyTorch for CUDA, on Linux)")


def test_agrees_in_the_interpreter():
    tests = Path(__file__).with_name("triton_in_interpreter.py")
    program = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(tests)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert program.returncode == 0, program.stdout


INTEGERS = {"steps", "y_step", "grad_step", "N", "M", "B", "H", "P", "C", "S", "G", "each"}
POINTERS = {"y", "spikes", "grad", "dy"}


def build(kernel, storage: str, constants: dict, stage: str = "ptx", arch: int = 90) -> str:
    """A kernel compiled for a GPU, Hopper by default: its PTX, or another stage of it."""
    import triton
    from triton.backends.compiler import GPUTarget

    def kind(argument: str):
        if argument in constants:
            return "constexpr"
        if argument == "neuron":
            return Constants(*["fp32"] * len(Constants._fields))
        if argument == "guidance":
            return "fp32"
        return "i32" if argument in INTEGERS else f"*{storage if argument in POINTERS else 'fp32'}"

    signature = {argument: kind(argument) for argument in kernel.arg_names}
    source = triton.compiler.ASTSource(kernel, signature, constants)
    target = GPUTarget("cuda", arch, 32)
    return triton.compile(source, target=target, options={"enable_fp_fusion": False}).asm[stage]


LIF_FLAGS = {"AFFINE": True, "CURRENT_GATED": True, "SPIKE_GATED": True, "BLOCK_P": 8, "BLOCK_C": 32}
FORWARD_FLAGS = LIF_FLAGS | {"REST": True, "FIRES": True, "SUMMED": True, "RATED": True}


def backward_flags(steps: int, surrogate: str = "rectangle") -> dict:
    from fsvae_tcja.core.kernels.lif import triton as kernels

    derivative = kernels._derivative(SURROGATES[surrogate])
    flags = {"DERIVATIVE": derivative, "STEPS": steps, "ONES": False, "STATIC": False, "ADD": True}
    return LIF_FLAGS | flags | {"REST": False, "FOLLOWED": True, "PRECEDED": True}


COMPILED = [*((surrogate, "fp32") for surrogate in (*SURROGATES, "own")), ("rectangle", "bf16")]


@pytest.mark.parametrize(("surrogate", "storage"), COMPILED)
def test_compiles_without_a_gpu_and_without_fused_multiply_add(surrogate, storage, tmp_path, monkeypatch):
    monkeypatch.setitem(SURROGATES, "own", OWN_RULE)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from fsvae_tcja.core.kernels.lif import triton as kernels

    forward = build(kernels._forward, storage, FORWARD_FLAGS)
    backward = build(kernels._backward, storage, backward_flags(4, surrogate))
    assert "mul.rn.f32" in forward and "mul.rn.f32" in backward
    assert "fma" not in forward + backward


def narrow_addresses(ttir: str) -> list[str]:
    """Lines of Triton's IR in which a pointer moves by 32 bits, or by a product that was taken in 32 bits."""
    products = set(re.findall(r"(%\S+) = arith\.muli [^\n]*: (?:tensor<\S*xi32>|i32)\b", ttir))
    wrong = []
    for line in ttir.splitlines():
        if "tt.addptr" in line and re.search(r", (tensor<\S*xi32>|i32)\b", line):
            wrong.append(line)
        if "arith.extsi" in line and re.search(r"arith\.extsi (%[^\s:]+)", line)[1] in products:
            wrong.append(line)
    return wrong


@pytest.mark.parametrize("name", ["forward", "backward, one step", "backward"])
def test_no_address_is_computed_in_32_bits(name, tmp_path, monkeypatch):
    """A layer of more than 2^31 values over its steps: the rest would wrap."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from fsvae_tcja.core.kernels.lif import triton as kernels

    kernel = kernels._forward if name == "forward" else kernels._backward
    flags = FORWARD_FLAGS if name == "forward" else backward_flags(1 if "one" in name else 3)
    assert not narrow_addresses(build(kernel, "fp32", flags, "ttir"))


@pytest.mark.parametrize("membranes", [1, 2])
def test_the_draw_compiles_without_a_gpu(membranes, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from fsvae_tcja.core.kernels.escape import triton as kernels

    ptx = build(kernels._draw, "fp32", {"K": membranes, "BLOCK_B": 16, "BLOCK_H": 256})
    assert "bar.sync" in ptx or "barrier.sync" in ptx
    assert "mul.rn.f32" in ptx
    assert "fma" not in ptx


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_draws_on_a_gpu_as_on_the_cpu(guidance):
    inputs, neuron = network(65, 8, 4, 300, K=2 if guidance else 1, exact=True), LIF(FSVAE_LIF)
    on_gpu = escape_draw(Inputs(*(x.cuda() for x in inputs)), neuron, guidance)
    for found, expected in zip(on_gpu, escape_draw(inputs, neuron, guidance), strict=True):
        assert torch.equal(found.cpu(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("params", [FSVAE_LIF, *FAMILIES], ids=name)
def test_on_a_gpu_as_on_the_cpu(params):
    x, upstream = torch.randn(16, 3, 5, 7, 9), torch.randn(16, 3, 5, 7, 9)
    results = []
    for device in ("cpu", "cuda"):
        leaf = x.to(device).requires_grad_()
        spikes, v = lif(leaf, params=params)
        spikes.backward(upstream.to(device))
        results.append([spikes.detach().cpu(), v.detach().cpu(), leaf.grad.cpu()])
    assert_alive(results[0][0])
    assert torch.equal(results[0][0], results[1][0])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)
