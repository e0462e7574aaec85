"""fsvae-tcja reconstruct."""

import numpy as np
import pytest
from PIL import Image

from fsvae_tcja import Bernoulli, FSVAEConfig, save
from fsvae_tcja.cli import main
from fsvae_tcja.data.load import load_images
from fsvae_tcja.vae.model import FSVAE


def test_reconstruct_prints_the_error_and_draws_pairs(run, tmp_path, capsys):
    assert main(["reconstruct", str(run), "--n", "4", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "(range [-1, 1], n = 4, digits test, the first 4 of 297): reconstructions.png" in out
    assert 0 < float(out.split()[2]) < 4
    picture = np.asarray(Image.open("reconstructions.png"))
    first = load_images("digits", "test").images[0, 0].numpy()
    top = len(picture) - 2 * (96 + 2 + 96 + 8 + 4) - 4  # below the title: two rows of pairs
    left = picture.shape[1] - 3 * (96 + 4)  # beside the labels of the rows: three columns
    np.testing.assert_array_equal(picture[top + 4 : top + 4 + 96 : 3, left : left + 96 : 3], first)


def test_reconstruct_takes_any_folder_of_images(run, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    for i in range(3):
        Image.fromarray(np.full((32, 32), 80 * i, np.uint8)).save(tmp_path / "mine" / f"{i}.png")
    mine = ["reconstruct", str(run), "--data", "./mine", "--split", "all", "--out", "r.png"]
    assert main([*mine, "--n", "3"]) == 0 and "n = 3, ./mine all): r.png" in capsys.readouterr().out
    assert main([*mine, "--n", "2"]) == 0 and "n = 2, ./mine all, 2 of 3): r.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--n", "298"], "n must be in 1..297, the images of digits test; found 298"),
        (["--n", "0"], "n must be in 1..297"),
        (["--seed", "-1"], "seed must be in 0..2^63 - 1, found -1"),
        (["--split", "valid"], "unknown split 'valid': digits has the splits train, test"),
        (["--out", "r.jpg"], "must end in .png"),
        (["--data", "nope"], "unknown data set 'nope'"),
    ],
)
def test_wrong_settings_of_reconstruct(run, fails, args, message, tmp_path):
    assert message in fails("reconstruct", run, *args)
    assert not list(tmp_path.iterdir())


def test_reconstruct_of_a_bare_model_needs_data(fails, tmp_path):
    save(FSVAE(FSVAEConfig(T=4, L=8, latent=Bernoulli(k=3), channels=(2, 3, 4, 5))), tmp_path / "m.safetensors")
    message = fails("reconstruct", "m.safetensors")
    assert "m.safetensors does not say what it was trained on; name a data set with --data" in message
