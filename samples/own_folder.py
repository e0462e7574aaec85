"""A folder of pictures, from training to a score. The folder is made of scikit-learn's digits; take one of your own.

python samples/own_folder.py [OUT]
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from fsvae_tcja import load_images
from fsvae_tcja.cli import main
from fsvae_tcja.runtime.pictures import save_png

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out", metavar="OUT", nargs="?", type=Path, default=Path("own-folder.png"))
out = parser.parse_args().out


def fill(folder: Path) -> None:
    """train/CLASS/i.png and test/CLASS/i.png, as any picture viewer would show them."""
    for split in ("train", "test"):
        images = load_images("digits", split)
        for i in range(len(images)):
            pixels, label = images[i]  # uint8 [1, 32, 32]
            save_png(pixels, folder / split / str(label) / f"{i}.png")


with TemporaryDirectory() as place:
    pictures, run, network = (Path(place) / name for name in ("pictures", "run", "fad.safetensors"))
    fill(pictures)
    for command in (
        ["train", "mnist-5k", "--data", pictures, "--steps", 300, "--out", run],
        ["eval", "train-fad", pictures, "--epochs", 20, "--out", network],
        [
            "score",
            run,
            "--scores",
            "FAD",
            "--networks.autoencoder",
            network,
            "--n-images",
            300,
            "--reference",
            pictures,
        ],
        ["sample", run, "--n", 64, "--out", out.absolute()],
    ):
        if status := main([str(part) for part in command]):
            raise SystemExit(status)
print(out)
