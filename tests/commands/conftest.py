"""A tiny run that all tests of the commands look at, and the ways in which a command ends."""

import pytest
import torch

from eval.networks.autoencoder import Autoencoder
from eval.networks.classifier import Classifier
from fsvae_tcja.cli import main
from tests.curves import undrawn

from .program import SHORT, train


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSVAE_TCJA_BACKEND", "reference")
        assert train(folder, *SHORT) == 0
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Defaults write below the working directory and read ./data; processes use the reference kernels too.

    Curves are drawn of `run` alone.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FSVAE_TCJA_DATA", raising=False)
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with undrawn():
        yield


@pytest.fixture
def fails(capsys):
    """Run the program; it must end with status 2 and one line on stderr, which is returned."""

    def run(*args):
        capsys.readouterr()
        assert main([str(arg) for arg in args]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return run


@pytest.fixture(scope="session")
def autoencoder(tmp_path_factory):
    """An untrained autoencoder of the FAD."""
    path = tmp_path_factory.mktemp("fad") / "fad.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Autoencoder().save(path)
    return path


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    """An untrained classifier of the domain scores."""
    path = tmp_path_factory.mktemp("domain") / "classifier.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Classifier().save(path)
    return path
