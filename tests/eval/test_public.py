"""What `import eval` gives and costs, and what version 0.1.0 wrote."""

import subprocess
import sys
from pathlib import Path

import torch
from one_score import score

from eval import Extractor, load_reference, load_scores
from eval.protocols import PROTOCOLS, STRICT
from eval.provenance import json_sha256

FILES = Path(__file__).parent / "files"
HEAVY = ("torch_fidelity", "torchvision", "matplotlib", "tensorboard", "sklearn", "triton", "numba")
RECIPES = {  # the first digits of the hash of each recipe of version 0.1.0
    "standard IS": "9c62a25508e6",
    "standard FID": "faf7fbd37fd7",
    "standard KID": "6fc2104d4c1d",
    "standard PRC": "69c69678549e",
    "fsvae2022 IS": "88466c784b7d",
    "fsvae2022 FID": "184144f52b04",
    "fsvae2022 FAD": "0ee72f828241",
    "strict FAD": "498e6435e756",
    "strict Domain-Frechet": "2e8fe3589615",
    "strict Domain-IS": "40ddaf534c7a",
}
LATER = {  # and of what came after it
    "strict Domain-sure": "301799eff02f",
    "offline FD-EffLite0": "a609599cacd5",
    "offline MIND-EffLite0": "9ec699dfa911",
}


def loaded(program: str) -> list[str]:
    program = f"import sys\n{program}\nprint(*[name for name in {('torch', 'tyro', *HEAVY)} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_scoring_loads_neither_torch_fidelity_nor_torchvision():
    program = """
import torch, eval
from eval import *
images = torch.randint(0, 256, (100, 1, 32, 32), dtype=torch.uint8)
networks = Networks(autoencoder=eval.Autoencoder().eval(), classifier=eval.Classifier().eval())
assert len(evaluate(images, reference=images.flip(0), networks=networks)) == 4
"""
    assert loaded(program) == ["torch"]
    assert loaded("import eval.cli") == []
    assert loaded("import eval.commands.score") == ["torch", "tyro"]


def test_recipes_are_those_of_version_0_1_0():
    """Their hash is part of statistics and their text of scores: a changed word is another score."""
    found = {f"{p.name} {r.score}": json_sha256(r.as_dict())[:12] for p in PROTOCOLS.values() for r in p.recipes}
    assert found == RECIPES | LATER


def test_files_of_version_0_1_0():
    """Statistics and scores of 40 small images: they load, belong to today's, compare with them and agree."""

    def features(images):
        return {"latent": images.double().flatten(1)[:, :4] / 255}

    extractor, recipe = (
        Extractor("pixels", "0" * 64, {"latent": 4}, torch.device("cpu"), features),
        STRICT.recipe("FAD"),
    )
    generator = torch.Generator().manual_seed(3)
    x, y = (torch.randint(0, 256, (40, 1, 8, 8), generator=generator, dtype=torch.uint8) for _ in range(2))
    (old,), (single,) = (load_scores(FILES / f"{name}-0.1.0.json") for name in ("scores", "score"))
    assert single == old
    stored = load_reference(FILES / "statistics-0.1.0.safetensors")
    for reference in (stored, y):
        now = score(x, extractor, recipe, reference, seed=7)
        assert now.reference == stored.sha256 and abs(now - old) <= 1e-12 * old.value
