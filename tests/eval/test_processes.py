"""Two processes (gloo) score what one scores."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from eval.cli import main
from eval.networks.autoencoder import Autoencoder
from eval.networks.classifier import Classifier
from eval.result import load_scores
from tests.eval.scored_by_several import hash_of_training_images, values
from tests.several import together

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Autoencoder().save(folder / "autoencoder.safetensors")
        Classifier().save(folder / "classifier.safetensors")
    return folder


def torchrun(*arguments: str) -> str:
    """What two processes print. Neither they nor the launcher outlive the test."""
    process = subprocess.Popen(
        [*TORCHRUN, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)  # the launcher ends its workers
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("two processes did not end within 90 s")
    assert process.returncode == 0, output
    return output


def test_the_command_line_of_torchrun(networks, tmp_path):
    """torchrun --nproc-per-node 2 -m eval score ... gives the numbers of one process."""
    arguments = ["score", "digits:train", "--reference", "digits", "--scores"]
    arguments += ["FAD", "Domain-IS", "Domain-Frechet", "Domain-sure"]
    arguments += ["--networks.autoencoder", str(networks / "autoencoder.safetensors")]
    arguments += ["--networks.classifier", str(networks / "classifier.safetensors")]
    arguments += ["--n-images", "300", "--batch", "64", "--device", "cpu", "--out"]
    output = torchrun("-m", "eval", *arguments, str(tmp_path / "two.json"))
    assert output.count("written to") == output.count("│ Domain-IS ") == 1  # by the first process
    assert main([*arguments, str(tmp_path / "one.json")]) == 0
    one, two = (load_scores(tmp_path / f"{name}.json") for name in ("one", "two"))
    assert [s.name for s in two] == ["FAD", "Domain-IS", "Domain-Frechet", "Domain-sure"]
    for a, b in zip(one, two, strict=True):
        assert b.value == pytest.approx(a.value, rel=1e-9)
        assert (b.n, b.extractor, b.reference) == (a.n, a.extractor, a.reference)
        assert abs(b - a) <= 1e-9 * a.value  # comparable


def test_two_processes_share_features_and_draws():
    """KID, which needs every feature; a generator that uses the global random state; one batch for both."""
    first, second = together(2, values)
    for found in (first, second):
        assert not isinstance(found, BaseException), found
    for (value, reference), (expected, same) in zip(first, values(), strict=True):
        assert value == pytest.approx(expected, rel=1e-9)
        assert reference == same  # the same images in the same order


def test_the_hash_of_training_images_does_not_depend_on_the_number_of_processes():
    """Each of two has read all of them."""
    assert together(2, hash_of_training_images) == [hash_of_training_images()] * 2
