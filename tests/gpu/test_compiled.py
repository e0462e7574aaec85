"""What Triton's compiler makes of the kernels for an A100 and an H100, without one: registers, spills, barriers."""

import re
import subprocess
from pathlib import Path

import pytest
import torch

from fsvae_tcja.core import FSVAE_LIF
from fsvae_tcja.core.kernels.lif.inputs import Inputs

from ..core.test_triton import FORWARD_FLAGS, INTEGERS, backward_flags
from .conftest import long

triton = pytest.importorskip("triton")
PLAIN = {"CURRENT_GATED": False, "SPIKE_GATED": False}
FIRST = {"ADD": False, "REST": True, "FOLLOWED": False, "PRECEDED": False}
LIMITS = {  # registers of a thread, barriers; nothing may spill. Arguments as in training: multiples of 16.
    "forward": (40, 8),
    "backward, one step": (64, 15),
    "backward": (132, 7),
    "backward, gated": (192, 135),
}


def compiled(name: str, arch: int) -> tuple[int, int, int]:
    """Registers, bytes that spill, barriers."""
    from triton.backends.compiler import GPUTarget

    from fsvae_tcja.core.kernels.lif import triton as kernels
    from fsvae_tcja.core.params import Constants

    forward = name == "forward"
    kernel = kernels._forward if forward else kernels._backward
    flags = FORWARD_FLAGS if forward else backward_flags(1 if "one" in name else 16)
    flags |= tile(128) | (PLAIN | FIRST if name == "backward" else {})
    signature, attributes = {}, {}
    for i, argument in enumerate(kernel.arg_names):
        kind = "i32" if argument in INTEGERS else "*fp32"
        signature[argument] = "constexpr" if argument in flags else kind
        if argument == "neuron":
            signature[argument] = Constants(*["fp32"] * len(Constants._fields))
        elif argument not in flags and argument not in ("N", "steps"):
            attributes[(i,)] = [["tt.divisibility", 16]]
    source = triton.compiler.ASTSource(kernel, signature, flags, attributes)
    target = GPUTarget("cuda", arch, 32)
    ptx = triton.compile(source, target=target, options={"enable_fp_fusion": False}).asm["ptx"]
    ptxas = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    gpu = re.search(r"\.target (\w+)", ptx)[1]
    command = [ptxas, "-v", f"--gpu-name={gpu}", "-", "-o", "/dev/null"]
    command[3] = "/dev/stdin"
    report = subprocess.run(command, input=ptx, capture_output=True, text=True, check=True).stderr
    spilled = sum(map(int, re.findall(r"(\d+) bytes spill", report)))
    return int(re.search(r"Used (\d+) registers", report)[1]), spilled, ptx.count("bar.sync")


def tile(channels: int) -> dict[str, int]:
    """Positions and channels that a program takes of a layer of so many."""
    from fsvae_tcja.core.kernels.lif import triton as kernels

    table = torch.empty(channels)
    call = kernels._Call(Inputs(torch.empty(1, 1, channels, 16, 16), table, table), FSVAE_LIF.fused_constants.constants)
    return {"BLOCK_P": call.block_p, "BLOCK_C": call.block_c}


CASES = [
    pytest.param(name, arch, marks=() if (name, arch) == ("backward, one step", 90) else long)
    for name in LIMITS
    for arch in (80, 90)
]


@pytest.mark.parametrize(("name", "arch"), CASES)
def test_no_kernel_spills_or_takes_more_registers_and_barriers(name, arch, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    registers, spilled, barriers = compiled(name, arch)
    most, waits = LIMITS[name]
    assert spilled == 0
    assert registers <= most and barriers <= waits, (registers, barriers)
