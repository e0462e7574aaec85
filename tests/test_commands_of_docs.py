"""Every command of the pages runs, at a tiny size: `FSVAE_TCJA_LONG=1 pytest -n 0 tests/test_commands_of_docs.py`.

Each page has a folder of its own, which holds what its commands take for granted. The lines of its shell blocks run in
their order, changed as the tables say; a line that is not run stands in NOT_RUN with the reason.
"""

import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eval import Autoencoder, Classifier, load_scores
from fsvae_tcja import FSVAE, Bernoulli, FSVAEConfig
from fsvae_tcja.cli import main
from fsvae_tcja.vae.export import export_fsvae2022

from .conftest import long
from .test_readme import PAGES, ROOT

NOT_RUN = {  # what a line or a whole block contains: why
    "--networks.download": "fetches weights",
    "fidelity --fid": "fetches weights; tests/eval/test_fidelity_cli.py",
    "ablate docs/studies/systems.toml": "ten minutes a run; the study of docs/ABLATE.md is run",
    "#!/bin/bash": "a script for a cluster",
    "import my_parts": "tests/test_extending.py",
    "--data shards": "tests/data/test_shards.py",
    "shards:test": "tests/data/test_shards.py",
    "tar --sort": "packs a folder of one's own",
    "make ": "part of .ci/run, or by hand",
    "pytest ": "the tests themselves",
    "tests/benchmarks/": "takes minutes and a machine at rest, by hand",
}
DATA = {r"^(fashion-)?mnist(:\w+)?$": r"digits\2"}  # a set that needs no download
KEPT = ("train", "sample", "--networks.autoencoder", "--networks.classifier")  # behind these such a name is another's
INSTEAD = {  # words of a command that become others: no downloads, no GPU, fewer images
    r"^dvs128$": "synthetic-events",
    r"^runs/classify/dvs128$": "runs/classify/synthetic-events",
    r"^cuda$": "cpu",
    r"^SEED$": "0",
    r"^(1000|5000|10000)$": "60",
    r"^100$": "3",
    r"^(--download|&)$": "",
}
ADDED = {  # to a command that begins so
    "train": "--limit 300 --batch-size 16 --steps 3 --model.channels 2 3 4 5 --model.L 8 --data digits",
    "train mnist": "--model.latent.hidden 8 --model.latent.joint-hidden 8 --tuning.weight 0",
    "classify train": "--limit 64 --batch-size 16 --epochs 1",
    "classify train fashion-mnist": "--data digits",
    "eval train-fad": "--epochs 1",
    "eval train-classifier": "--epochs 1",
}
QUICK = ("--dry-run", "doctor")  # run by the ordinary tests too


def lines(page: Path) -> list[str]:
    """The commands that are run: of the shell blocks of a page, and of other blocks those of the program."""
    found: list[str] = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        if not block.startswith("#!"):
            commands = block.replace("\\\n", " ").splitlines()
            found += [line for line in commands if line and (language == "sh" or line.startswith("fsvae-tcja "))]
    return [line for line in found if is_run(line)]


def is_run(line: str) -> bool:
    return not any(part in line for part in NOT_RUN)


def small(line: str) -> list[str]:
    """The words of a command as it is run here."""
    words = shlex.split(line, comments=True)
    start = words.index("fsvae_tcja" if words[0] == "torchrun" else "fsvae-tcja") + 1
    changed = []
    for before, word in zip(words[start - 1 :], words[start:], strict=False):
        patterns = INSTEAD if before in KEPT else DATA | INSTEAD
        changed.append(next((re.sub(p, new, word) for p, new in patterns.items() if re.match(p, word)), word))
    command = " ".join(changed)
    for beginning, more in ADDED.items():
        new = f"{command} ".startswith(f"{beginning} ") and not re.search(r" --(resume|config) ", command)
        changed += _without(more, changed) if new else []
    return [*words[:start], *filter(None, changed)]


def _without(more: str, words: list[str]) -> list[str]:
    """The options of `more` that a command does not give itself."""
    groups = re.findall(r"(--\S+)((?: [^-]\S*)*)", more)
    return [word for option, values in groups if option not in words for word in [option, *values.split()]]


def make_room(words: list[str]) -> None:
    """Remove what the command would write and finds written."""
    named = [words[i + 1] for i, word in enumerate(words) if word == "--out"]
    if "train" in words and not {"--resume", "--dry-run", *(["--out"] if named else [])} & set(words):
        folder = "runs/classify" if "classify" in words else "runs"
        named.append(f"{folder}/{words[words.index('train') + 1]}")
    for path in map(Path, named):
        for there in (path, path.with_name(f"{path.stem}-training")):
            shutil.rmtree(there) if there.is_dir() else there.unlink(missing_ok=True)


def status(words: list[str]) -> int:
    """The exit status of a command."""
    make_room(words)
    if words[0] == "torchrun":
        program = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
        return subprocess.run(program, timeout=600).returncode
    with suppress(SystemExit):
        return main(words[1:])
    return 0


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("FSVAE_TCJA_DATA", raising=False)
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def save_files() -> None:
    """The files that pages name, and of which they say where they come from, in the working folder."""
    noise = np.random.default_rng(0).integers(0, 256, (320, 32, 32), dtype=np.uint8)
    for folder, n in {"FOLDER/one": 160, "FOLDER/two": 160, "OTHERS": 60, "samples": 60}.items():
        Path(folder).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(noise[i + 160 * (folder in ("FOLDER/two", "OTHERS"))]).save(f"{folder}/{i}.png")
    Path("photographs").mkdir()
    for i, rgb in enumerate(np.stack([noise, noise[::-1], np.roll(noise, 1, 0)], axis=3)):
        Image.fromarray(rgb).save(f"photographs/{i}.png")
    for name in ("some.png", "other.png"):
        Image.fromarray(noise[0]).save(name)
    autoencoder = Autoencoder()
    autoencoder.save("fad.safetensors")
    Classifier().save("classifier.safetensors")
    (d,) = set(autoencoder.dims.values())
    for weights, statistics in (("FAD.pth", "STATISTICS.npz"), ("mnist_64.pth", "mnist_test_64.npz")):
        torch.save(autoencoder.state_dict(), weights)
        np.savez(statistics, mu=np.zeros(d), sigma=np.eye(d))
    export_fsvae2022(FSVAE(FSVAEConfig(T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5))), "THEIRS.pth")
    (study,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "ABLATE.md").read_text(), re.DOTALL)
    Path("study.toml").write_text(study)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working folder, with these files."""
    monkeypatch.chdir(tmp_path)
    save_files()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What takes longer to make: a run, and scores of three generators, a.json, b.json and c.json."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FSVAE_TCJA_BACKEND", "reference")
        save_files()
        networks = "--networks.autoencoder fad.safetensors --networks.classifier classifier.safetensors"
        generators = {"a.json": "samples/", "b.json": "OTHERS", "c.json": "FOLDER/one --n-images 60"}
        scored = (f"score {images} --reference digits {networks} --out {out}" for out, images in generators.items())
        for command in ("train mnist", *scored):
            assert status(small(f"fsvae-tcja {command}")) == 0
        assert len({load_scores(file)[0].value for file in generators}) == 3
    return folder


WITH_COMMANDS = [page for page in PAGES if lines(page)]


@long
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_runs(page, place, made):
    shutil.copytree(made / "runs", "runs")
    for name in ("a", "b", "c"):
        shutil.copy(made / f"{name}.json", ".")
    failed = []
    for line in lines(page):
        print(f"\n$ {line}\n  {shlex.join(small(line))}", flush=True)
        if "others.json" in line:  # scored as the page scores, through the networks that it has trained by now
            (score,) = (other for other in lines(page) if "--out scores.json" in other)
            assert status(small(score.replace("samples/", "OTHERS").replace("scores.json", "others.json"))) == 0
        if status(small(line)):
            failed.append(line)
    assert not failed


@pytest.mark.parametrize("line", dict.fromkeys(x for page in PAGES for x in lines(page) if any(q in x for q in QUICK)))
def test_commands_that_take_no_time(line, place):
    assert status(small(line)) == 0


def test_what_is_not_run_is_there():
    """No reason is left over."""
    text = "\n".join(page.read_text() for page in PAGES)
    assert not [part for part in NOT_RUN if part not in text]
