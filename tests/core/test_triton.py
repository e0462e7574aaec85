"""The Triton kernels: in the interpreter against the CPU kernels, compiled for a GPU that need not be there, and on
a real one when there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fsvae_tcja.core.kernels.neuron import Constants

from fsvae_tcja.core import FSVAE_LIF, SURROGATES, lif

from .conftest import FAMILIES, assert_alive, name

pytest.importorskip("triton", reason="Triton is not installed (it comes with PyTorch for CUDA, on Linux)")


def test_agrees_in_the_interpreter():
    program = subprocess.run(
        [sys.executable, "-m", f"{__package__}.triton_in_interpreter"],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[__package__.count(".") + 1],  # the folder of the outermost package
        capture_output=True,
        text=True,
    )
    assert program.returncode == 0, program.stderr
    assert program.stdout.endswith("every Triton kernel agrees\n")


POINTERS = {"y", "spikes", "grad", "dy"}
INTEGERS = {"steps", "y_step", "grad_step", "N", "P", "C"}


def build(kernel, storage: str, constants: dict) -> str:
    """The PTX of a kernel for a Hopper GPU."""
    import triton
    from triton.backends.compiler import GPUTarget

    def kind(argument: str):
        if argument in constants:
            return "constexpr"
        if argument == "k":
            return Constants(*["fp32"] * len(Constants._fields))
        return "i32" if argument in INTEGERS else f"*{storage if argument in POINTERS else 'fp32'}"

    signature = {argument: kind(argument) for argument in kernel.arg_names}
    source = triton.compiler.ASTSource(kernel, signature, constants)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False}).asm["ptx"]


@pytest.mark.parametrize(("surrogate", "storage"), [*((s, "fp32") for s in SURROGATES), ("rectangle", "bf16")])
def test_compiles_without_a_gpu_and_without_fused_multiply_add(surrogate, storage, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from fsvae_tcja.core.kernels.lif import triton as kernels

    flags = {"AFFINE": True, "GATED": True, "WEIGHTED": True, "BLOCK_P": 8, "BLOCK_C": 32}
    outputs = {"REST": True, "SILENT": False, "SUMMED": True, "RATED": True}
    forward = build(kernels._forward, storage, flags | outputs)
    more = {"DERIVATIVE": kernels._derivative(surrogate), "STEPS": 4, "ONES": False, "STATIC": False, "ADD": True}
    backward = build(kernels._backward, storage, flags | more)
    assert "mul.rn.f32" in forward and "mul.rn.f32" in backward
    assert "fma" not in forward + backward


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
