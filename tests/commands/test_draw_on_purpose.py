"""fsvae-tcja interpolate, complete, sample --temperature, train --conditional."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fsvae_tcja import FSVAE, Escape, FSVAEConfig, load, save
from fsvae_tcja.cli import main
from fsvae_tcja.vae.latent.label_counts import LabelCounts

from ..vae.conftest import awake

LATENT = Escape(groups=2, hidden=8, joint_hidden=4, classes=10)
SMALL = shlex.split(
    "--model.T 2 --model.L 8 --model.channels 2 3 4 5 --model.latent escape --model.latent.groups 2 "
    "--model.latent.hidden 8 --model.latent.joint-hidden 4 --model.latent.prior.steps 4 --device cpu"
)


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A run whose prior knows the ten digits."""
    folder = tmp_path_factory.mktemp("runs") / "conditional"
    options = ["--conditional", "--steps", "6", "--batch-size", "50", "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSVAE_TCJA_BACKEND", "reference")
        assert main(["train", "digits", *SMALL, *options]) == 0
    return folder


def cells(path):
    """Columns and rows of a grid of 96-pixel cells."""
    width, height = Image.open(path).size
    return (width - 4) // 100, (height - 4) // 100


def test_conditional_asks_the_data_for_its_classes(conditional):
    model = load(conditional)
    assert model.latent.classes == 10
    assert model.class_names == tuple("0123456789")


def test_a_class_and_a_temperature(tmp_path):
    model = awake(FSVAEConfig(T=2, L=8, latent=LATENT, neuron="centred", channels=(2, 3, 4, 5)))
    model.latent.start_stage(torch.zeros(4, 2, 8, dtype=torch.uint8), torch.arange(4))
    torch.nn.init.normal_(model.latent.prior.Yd)
    save(model, "m.safetensors")

    def drawn(*options):
        Path("s.npz").unlink(missing_ok=True)
        assert main(["sample", "m.safetensors", "--n", "8", "--out", "s.npz", "--device", "cpu", *options]) == 0
        with np.load("s.npz") as file:
            return file["images"]

    assert not np.array_equal(drawn("--label", "3"), drawn("--label", "4"))
    assert np.array_equal(drawn("--temperature", "1"), drawn())
    assert not np.array_equal(drawn("--temperature", "0.2"), drawn())


def test_a_class_by_its_name(tmp_path, capsys, fails):
    model = awake(FSVAEConfig(T=2, L=8, latent=replace(LATENT, classes=3), neuron="centred", channels=(2, 3, 4, 5)))
    model.latent.start_stage(torch.zeros(4, 2, 8, dtype=torch.uint8), torch.arange(4) % 3)
    torch.nn.init.normal_(model.latent.prior.Yd)
    model.class_names = ("boxes", "discs", "0")
    save(model, "m.safetensors", half=True)
    sample = ["sample", "m.safetensors", "--n", "8", "--device", "cpu"]
    images = {}
    for label in ("boxes", "discs", "1", "0", "2"):
        assert main([*sample, "--label", label, "--out", f"{label}.npz"]) == 0
        with np.load(f"{label}.npz") as file:
            images[label] = file["images"]
    assert np.array_equal(images["discs"], images["1"])
    assert np.array_equal(images["0"], images["2"])  # a class that is called so comes before a number
    assert not np.array_equal(images["discs"], images["boxes"])
    assert (
        "--label must be one of the model's classes, boxes, discs, 0, or its number, 0 to 2; found disc (did you mean "
        "'discs'?)"
    ) in fails(*sample, "--label", "disc", "--out", "x.npz")
    assert main(["info", "m.safetensors"]) == 0
    assert ["classes", "boxes;", "discs;", "0"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_card_of_a_model_with_classes_says_how_one_is_drawn(conditional):
    assert main(["publish", str(conditional), "--half", "--out", "mine"]) == 0
    card = Path("mine/README.md").read_text()
    line = "- classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; the first alone: `model.sample(64, labels=torch.full((64,), 0))`\n"
    assert line in card
    assert FSVAE.from_pretrained("mine").class_names == tuple("0123456789")


def test_a_model_of_clusters_says_how_many_images_may_be_others(tmp_path, capsys, fails):
    latent = replace(LATENT, classes=0, clusters=2)
    model = awake(FSVAEConfig(T=2, L=8, latent=latent, neuron="centred", channels=(2, 3, 4, 5)))
    model.latent.label_counts = LabelCounts(torch.tensor([[9, 1], [4, 4]]))
    save(model, "m.safetensors")
    sample = ["sample", "m.safetensors", "--n", "8", "--device", "cpu"]
    assert main([*sample, "--label", "0"]) == 0
    _, note = capsys.readouterr().out.splitlines()
    assert note == (
        "note: this model knows clusters, not labels: on average 82% of the training images in the clusters drawn from "
        "have label 0"
    )
    assert main([*sample, "--label", "1"]) == 0
    assert (
        "48% of the training images in the clusters drawn from have label 1; expect others" in capsys.readouterr().out
    )
    assert main(sample) == 0
    assert "note" not in capsys.readouterr().out
    assert "--label must be one of the model's classes, 0 to 1; found 2" in fails(
        *sample, "--label", "2", "--out", "2.png"
    )


@pytest.mark.parametrize(
    "command", [["interpolate", "--between", "images"], ["complete"], ["reconstruct"], ["energy"], ["report"]]
)
def test_images_are_not_shown_to_a_model_of_frames(command, fails, tmp_path):
    latent = Escape(groups=2, hidden=8, joint_groups=2, joint_hidden=8)
    model = FSVAE(FSVAEConfig(T=2, L=4, channels=(2, 3, 2, 3), input="frames", latent=latent))
    save(model, tmp_path / "frames" / "model.safetensors", data="digits")
    message = "the model takes frames, digits gives images; run it from Python: model(frames)"
    if command == ["report"]:
        assert main(["report", "frames", "--device", "cpu"]) == 0
        assert f"Codes of images are not shown: {message}" in (tmp_path / "frames" / "report.html").read_text()
    else:
        assert message in fails(command[0], "frames", *command[1:], "--device", "cpu")


def test_interpolate(conditional, capsys):
    run = str(conditional)
    assert main(["interpolate", run, "--n", "2", "--steps", "5", "--device", "cpu"]) == 0
    assert "5 steps between drawn codes, seed 0: interpolation.png" in capsys.readouterr().out
    assert cells("interpolation.png") == (5, 2)
    images = ["--between", "images", "--n", "3", "--steps", "4", "--out", "i.png", "--device", "cpu"]
    assert main(["interpolate", run, *images]) == 0
    assert (
        "left and right an image of digits test, 4 steps between their codes, seed 0: i.png" in capsys.readouterr().out
    )
    assert cells("i.png") == (6, 3)
    assert (
        main(["complete", run, "--out", "c.png", "--device", "cpu"]) == 0
    )  # six images of the same seed, each on the left
    shown = [np.asarray(Image.open(path)) for path in ("i.png", "c.png")]
    pairs, originals = (picture[-100 * rows :] for picture, rows in zip(shown, (3, 6), strict=True))
    for row in range(3):
        for column, image in ((0, 2 * row), (5, 2 * row + 1)):
            end = pairs[100 * row : 100 * row + 96, 4 + 100 * column :][:, :96]
            np.testing.assert_array_equal(end, originals[100 * image : 100 * image + 96, 4:100])


def test_complete(conditional, capsys):
    assert main(["complete", str(conditional), "--n", "2", "--draws", "3", "--device", "cpu"]) == 0
    assert (
        "left an image of digits test, then 3 draws that keep 2 of 4 micro-steps of its code, seed 0: completions.png"
        in capsys.readouterr().out
    )
    assert cells("completions.png") == (4, 2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["interpolate", "RUN", "--steps", "1"], "steps must be >= 2"),
        (["interpolate", "RUN", "--n", "0"], "n must be >= 1, found 0"),
        (
            ["interpolate", "RUN", "--data", "digits"],
            "--data names images, and the ends are drawn codes: give --between",
        ),
        (["interpolate", "RUN", "--between", "images", "--n", "200"], "n must be in 1..297, the images of digits test"),
        (["interpolate", "RUN", "--out", "a.jpg"], "cannot write a.jpg: its name must end in .png"),
        (["complete", "RUN", "--given", "5"], "given must be in 0..4"),
        (["complete", "RUN", "--out", f"{__file__}/a.png"], "test_draw_on_purpose.py is no folder that may be written"),
        (["sample", "RUN", "--temperature", "0"], "temperature must be > 0, found 0.0"),
    ],
)
def test_wrong_settings(conditional, fails, args, message, tmp_path):
    assert message in fails(*(str(conditional) if arg == "RUN" else arg for arg in args), "--device", "cpu")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("args", [["interpolate", "--between", "images"], ["complete"], ["energy"], ["reconstruct"]])
def test_images_of_other_colours(conditional, fails, args, tmp_path):
    (tmp_path / "mine").mkdir()
    for i in range(12):
        Image.fromarray(np.full((32, 32, 3), (20 * i, 0, 9), np.uint8)).save(tmp_path / "mine" / f"{i}.png")
    main(["reconstruct", str(conditional), "--data", "mine"])  # the first look at a folder is told
    assert "takes 1 channel(s), mine gives 3" in fails(args[0], conditional, *args[1:], "--data", "mine")


def test_conditional_needs_labels_and_a_latent_that_takes_them(fails, tmp_path, capsys):
    assert "--conditional needs the latent Escape, found Bernoulli" in fails(
        "train", "digits", "--conditional", "--out", "a", "--device", "cpu"
    )
    (tmp_path / "mine").mkdir()
    for i in range(12):
        Image.fromarray(np.full((32, 32), 20 * i, np.uint8)).save(tmp_path / "mine" / f"{i}.png")
    train = ("train", "mnist", "--data", "./mine", "--conditional", "--dry-run", "--device", "cpu")
    assert main(list(train)) == 2
    assert "--conditional needs labels, mine has none" in capsys.readouterr().err
