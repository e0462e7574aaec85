"""Two processes (torchrun, gloo) score what one scores."""

import json
import os
import subprocess
import sys

import pytest
import torch

from eval.cli import main
from eval.domain import Classifier
from eval.fad import Autoencoder
from eval.result import load_scores

KID_SCRIPT = """
import sys, torch
from eval.cli import main
from eval.features import Extractor
from eval.processes import launched_by_torchrun, rank
from eval.protocols import STANDARD
from eval.scores import score
from eval.stats import make_reference

def kid():
    recipe = STANDARD.recipe("KID")
    features = lambda images: {"2048": images.double().flatten(1)[:, 400:416]}
    extractor = Extractor("pixels", "0", {"2048": 16}, 1, 32, torch.device("cpu"), features)
    reference = make_reference("digits:train", extractor, recipe)
    result = score("digits:test", extractor, recipe, reference, n=290, batch=64)
    return [result.value, result.reference]

if __name__ == "__main__":
    with launched_by_torchrun(torch.device("cpu")):
        value = kid()
        if rank() == 0:
            print(value)
        main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Autoencoder().save(folder / "autoencoder.safetensors")
        Classifier().save(folder / "classifier.safetensors")
    return folder


def test_two_processes_give_the_number_of_one(networks, tmp_path):
    (tmp_path / "both.py").write_text(KID_SCRIPT)
    arguments = ["score", "digits:train", "--reference", "digits", "--scores", "FAD", "Domain-IS", "Domain-Frechet"]
    arguments += ["--networks.autoencoder", str(networks / "autoencoder.safetensors")]
    arguments += ["--networks.classifier", str(networks / "classifier.safetensors")]
    arguments += ["--n-images", "300", "--batch", "64", "--device", "cpu", "--out"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [*launch, str(tmp_path / "both.py"), *arguments, str(tmp_path / "two.json")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    main([*arguments, str(tmp_path / "one.json")])
    one, two = (load_scores(tmp_path / f"{name}.json") for name in ("one", "two"))
    assert [s.name for s in two] == ["FAD", "Domain-IS", "Domain-Frechet"]
    for a, b in zip(one, two, strict=True):
        assert b.value == pytest.approx(a.value, rel=1e-9)
        assert (b.n, b.extractor, b.reference) == (a.n, a.extractor, a.reference)
        assert abs(b - a) <= 1e-9 * a.value  # comparable
    namespace: dict = {"__name__": "one process"}
    exec(KID_SCRIPT, namespace)
    kid = json.loads(next(line for line in result.stdout.splitlines() if line.startswith("[")).replace("'", '"'))
    expected = namespace["kid"]()
    assert kid[0] == pytest.approx(expected[0], rel=1e-12)
    assert kid[1] == expected[1]  # the same images in the same order
