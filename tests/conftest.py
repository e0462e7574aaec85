import os
from pathlib import Path

import pytest
import torch

# Small tensors: threads of one process only wait for one another, and the suite runs in several processes.
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processes-steps", type=int, default=5, help="steps that several processes follow one")


LONG = bool(os.environ.get("FSVAE_TCJA_LONG"))
long = pytest.mark.skipif(not LONG, reason="part of `make test-long`")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with MNIST/, FashionMNIST/ and fad-2022/."""
    folder = os.environ.get("FSVAE_TCJA_DATA")
    if not folder:
        pytest.skip("set FSVAE_TCJA_DATA to the folder that holds MNIST/, FashionMNIST/ and fad-2022/")
    return Path(folder)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder with fsvae.npz and fsvae_authors_state_dict.pt, too large for the repository."""
    folder = os.environ.get("FSVAE_TCJA_GOLDEN")
    if not folder:
        pytest.skip("set FSVAE_TCJA_GOLDEN to the folder that holds fsvae.npz and fsvae_authors_state_dict.pt")
    return Path(folder)
