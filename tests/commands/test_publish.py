"""fsvae-tcja publish."""

import shutil
from pathlib import Path

from eval import Score, save_scores
from eval.opening import open_images
from fsvae_tcja import FSVAE, load, save
from fsvae_tcja.cli import main
from fsvae_tcja.runtime.checkpoint import read_metadata
from fsvae_tcja.runtime.pictures import save_grid


def test_a_run_becomes_a_folder_with_a_card(run, tmp_path, capsys):
    assert main(["publish", str(run), "--out", "mine", "--half", "--command", "fsvae-tcja train digits"]) == 0
    assert capsys.readouterr().out.startswith("mine: 0.")
    FSVAE.from_pretrained("mine").sample(1)
    save_scores(tmp_path / "score.json", [score_of(open_images("mine").name)])
    assert main(["publish", str(run), "--out", "mine", "--half", "--scores", "score.json"]) == 0
    card = (tmp_path / "mine" / "README.md").read_text()
    made_by = "- made by: `fsvae-tcja train digits`\n"  # said when it was published first
    picture = "![the first 64 images of seed 0](samples.png)\n"
    data = "- trained on: digits\n"
    for text in ("# mine\n", picture, data, made_by, "- seed: 0\n", "- FAD 12.5 (strict, n = 321, seed 0"):
        assert text in card


def test_a_card_in_the_working_directory_is_called_after_it(run, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert main(["publish", str(run), "--out", "."]) == 0
    card = Path("README.md").read_text()
    assert card.startswith("# mine\n") and 'from_pretrained("mine")' in card


def test_the_picture_of_the_card_shows_what_the_published_model_draws(run, tmp_path):
    assert main(["publish", str(run), "--out", "mine", "--half"]) == 0
    save_grid(FSVAE.from_pretrained("mine").sample(64, seed=0), tmp_path / "wanted.png", columns=8)
    assert Path("mine/samples.png").read_bytes() == Path("wanted.png").read_bytes()


def test_a_picture_of_something_else_stays(run, tmp_path, fails):
    Path("mine").mkdir()
    Path("mine/samples.png").write_bytes(b"mine")
    assert "mine/samples.png is no picture of a card; choose another --out" in fails("publish", run, "--out", "mine")
    assert [path.name for path in Path("mine").iterdir()] == ["samples.png"]
    assert Path("mine/samples.png").read_bytes() == b"mine"


def score_of(images):
    words = dict.fromkeys(("pixels", "extractor", "extractor_description", "reference_description"), "x")
    rest = {"std": None, "seed": 0, "value_range": None, "reference": None, "reference_pixels": None, "recipe": {}}
    return Score("FAD", 12.5, protocol="strict", n=321, images=images, **words, **rest)


def test_scores_of_another_model_are_refused(run, tmp_path, fails):
    assert main(["publish", str(run), "--out", "mine", "--half"]) == 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    save_scores("run.json", [score_of(open_images(run).name)])
    message = "FAD 12.5 is of fsvae on digits, step "
    for half in (["--half"], []):  # of the run in full precision; of the half one
        assert message in fails("publish", run, "--out", "mine", "--scores", "run.json" if half else "mine.json", *half)
        assert {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()} == written
        save_scores("mine.json", [score_of(open_images("mine").name)])
    assert main(["publish", str(run), "--out", "whole", "--scores", "run.json"]) == 0


def test_what_somebody_wrote_into_the_card_stays(run, tmp_path):
    assert main(["publish", str(run), "--out", "mine"]) == 0
    card = tmp_path / "mine" / "README.md"
    own = "## Networks of scores\n\n| file | accuracy |\n|---|---|\n| c.safetensors | 0.98 |\n\n### More\n\nOf it.\n"
    written = card.read_text().replace("## Settings\n", f"{own}\n## Settings\n")
    card.write_text(written)
    for _ in range(2):
        assert main(["publish", str(run), "--out", "mine"]) == 0
        assert card.read_text() == written


def test_a_card_that_is_no_utf_8_is_named(run, fails):
    assert main(["publish", str(run), "--out", "mine"]) == 0
    Path("mine/README.md").write_bytes("# für".encode("latin-1"))
    written = Path("mine/model.safetensors").read_bytes()
    assert "mine/README.md is no card that can be read" in fails("publish", run, "--out", "mine", "--half")
    assert Path("mine/model.safetensors").read_bytes() == written


def test_a_readme_of_something_else_stays(run, fails):
    Path("project").mkdir()
    Path("project/README.md").write_text("# Mine\n")
    assert "project/README.md is no card of this model; choose another" in fails("publish", run, "--out", "project")
    assert Path("project/README.md").read_text() == "# Mine\n" and len(list(Path("project").iterdir())) == 1


def test_a_model_that_was_deleted_is_published_again_beside_its_card(run, tmp_path):
    assert main(["publish", str(run), "--out", "mine"]) == 0
    card = tmp_path / "mine" / "README.md"
    card.write_text(card.read_text() + "\n## Of mine\n\nKept.\n")
    (tmp_path / "mine" / "model.safetensors").unlink()
    assert main(["publish", str(run), "--out", "mine"]) == 0
    assert (tmp_path / "mine" / "model.safetensors").exists() and "## Of mine\n\nKept.\n" in card.read_text()


def test_the_card_of_another_model_stays(run, tmp_path, fails):
    """Its sections and its command would be told of this one."""
    assert main(["publish", str(run), "--out", "mine", "--command", "fsvae-tcja train digits"]) == 0
    (tmp_path / "mine" / "model.safetensors").unlink()
    other = shutil.copytree(run, tmp_path / "other")
    model = load(other)
    for parameter in model.parameters():
        parameter.data.add_(1)
    save(
        model, other / "model.safetensors", data="digits", training=read_metadata(run / "model.safetensors")["training"]
    )
    assert "mine/README.md is no card of this model" in fails("publish", other, "--out", "mine")
    assert not (tmp_path / "mine" / "model.safetensors").exists()


def test_nothing_is_written_where_something_is_wrong(run, fails):
    assert "there is no file of scores none.json" in fails("publish", run, "--out", "mine", "--scores", "none.json")
    Path("file").touch()
    assert "file is no folder that may be written to" in fails("publish", run, "--out", "file")
    Path("cards/README.md").mkdir(parents=True)
    assert "cannot write cards/README.md: it is a folder" in fails("publish", run, "--out", "cards")
    assert "expected a run folder; file is a file" in fails("publish", "file", "--out", "mine")
    assert not Path("mine").exists() and not Path("cards/model.safetensors").exists()


def test_another_model_is_not_overwritten(run, tmp_path, fails):
    assert main(["publish", str(run), "--out", "mine"]) == 0
    model = FSVAE.from_pretrained("mine")
    for parameter in model.parameters():
        parameter.data.add_(1)
    model.save_pretrained("mine")
    assert "is another model; choose another --out" in fails("publish", run, "--out", "mine")
