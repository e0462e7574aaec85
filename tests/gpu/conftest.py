import os

import pytest
import torch

long = pytest.mark.skipif(os.environ.get("FSVAE_TCJA_GPU_TESTS") != "long", reason="part of `make test-gpu`")


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """A real GPU."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    return torch.device("cuda")
