"""A folder of pictures, from training to a score. The folder is made of scikit-learn's digits; take one of your own.

python samples/own_folder.py [OUT]
"""

import argparse
import shutil
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from fsvae_tcja import load_images
from fsvae_tcja.cli import main
from fsvae_tcja.runtime.pictures import save_png

COMMANDS = """
train mnist-5k --data pictures --steps 300 --model.latent.prior.steps 100 --out run
eval train-fad pictures --epochs 20 --out fad.safetensors
score run --scores FAD --networks.autoencoder fad.safetensors --n-images 300 --reference pictures
sample run --n 64 --out samples.png
"""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out", metavar="OUT", nargs="?", type=Path, default=Path("own-folder.png"))
out = parser.parse_args().out.absolute()


def fill(folder: Path) -> None:
    """train/CLASS/i.png and test/CLASS/i.png, as any picture viewer would show them."""
    for split in ("train", "test"):
        images = load_images("digits", split)
        for i in range(len(images)):
            pixels, label = images[i]  # uint8 [1, 32, 32]
            save_png(pixels, folder / split / str(label) / f"{i}.png")


with TemporaryDirectory() as place, chdir(place):
    fill(Path("pictures"))
    for command in COMMANDS.strip().splitlines():
        print(f"$ fsvae-tcja {command}")
        if status := main(command.split()):
            raise SystemExit(status)
    shutil.copyfile("samples.png", out)
print(out)
