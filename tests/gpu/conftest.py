import os

import pytest
import torch

CHOSEN = os.environ.get("FSVAE_TCJA_GPU_TESTS")
DEVICE = "cuda" if torch.cuda.is_available() and CHOSEN != "cpu" else "cpu"  # which shows that the tests can pass

long = pytest.mark.skipif(CHOSEN != "long", reason="part of `make test-gpu`")
conformance = pytest.mark.skipif(DEVICE == "cpu" and CHOSEN == "long", reason="no GPU")
slow_without_gpu = pytest.mark.skipif(
    DEVICE == "cpu" and CHOSEN != "cpu", reason="no GPU; FSVAE_TCJA_GPU_TESTS=cpu runs it with the CPU in its place"
)
