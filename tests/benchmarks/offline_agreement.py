"""Do the scores of protocol offline rank degraded images as the FAD does? Spearman's rank correlation, three sets.

python tests/benchmarks/offline_agreement.py mnist mnist
python tests/benchmarks/offline_agreement.py fashion-mnist fashion-mnist
python tests/benchmarks/offline_agreement.py photographs photographs.safetensors --folder photographs

The second argument is the autoencoder of the FAD: a file, or the name of a pretrained one. `photographs` are squares of
the two that come with scikit-learn, brought to 32 x 32: `--folder` writes them where they are not there yet, and
`fsvae-tcja eval train-fad FOLDER` makes the autoencoder of them.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from eval import Autoencoder, Networks, evaluate, make_references
from eval.subset import SEED
from fsvae_tcja import load_images

SQUARES = {"train": (3000, 0.0, 0.6), "test": (900, 0.6, 1.0)}  # number, and between which parts of the width


def noisy(images: Tensor, deviation: float) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(SEED))
    return images + deviation * noise


def blurred(images: Tensor, sigma: float) -> Tensor:
    return gaussian_blur(images, 9, sigma)


def paler(images: Tensor, factor: float) -> Tensor:
    return 127.5 + factor * (images - 127.5)


CORRUPTIONS: dict[str, tuple[Callable[[Tensor, float], Tensor], tuple[float, ...]]] = {
    "noise": (noisy, (25, 50, 100)),
    "blur": (blurred, (0.5, 1, 2)),
    "contrast": (paler, (0.9, 0.6, 0.3)),
}
"""What is done to pixels 0..255, and how strongly, from little to much."""


def write_squares(folder: Path) -> None:
    """Squares of 64 to 160 pixels of the photographs, brought to 32; those of the two splits do not overlap."""
    from sklearn.datasets import load_sample_image

    random = np.random.RandomState(SEED)
    photographs = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    for split, (count, left, right) in SQUARES.items():
        (folder / split).mkdir(parents=True)
        for i in range(count):
            one, side = photographs[i % 2], random.randint(64, 161)
            x = random.randint(int(left * one.width), int(right * one.width) - side + 1)
            y = random.randint(one.height - side + 1)
            square = one.crop((x, y, x + side, y + side)).resize((32, 32), Image.Resampling.BICUBIC)
            square.save(folder / split / f"{i:05d}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="mnist, fashion-mnist or photographs")
    parser.add_argument("autoencoder")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--n", type=int, default=100, help="images of a set; the reference has twice as many others")
    options = parser.parse_args()
    if options.folder and not options.folder.exists():
        write_squares(options.folder)
    networks = Networks(autoencoder=Autoencoder.load(options.autoencoder))
    if options.folder:
        files = sorted((options.folder / "test").iterdir())
        images = torch.stack([torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) for file in files])
    else:
        images = load_images(options.data, "test").images
    images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))]
    real, reference = images[: options.n], images[options.n : 3 * options.n]
    sets = {"real": real}
    for name, (corrupt, strengths) in CORRUPTIONS.items():
        sets |= {f"{name} {s:g}": corrupt(real.float(), s).clamp(0, 255).round().to(torch.uint8) for s in strengths}
    values: dict[str, list[float]] = {}
    for protocol, scores in ("strict", ("FAD",)), ("offline", ("FD-EffLite0", "MIND-EffLite0")):
        compared = make_references(reference, protocol, scores, networks=networks)
        for name, spoiled in sets.items():
            for score in evaluate(spoiled, protocol, scores, reference=compared, networks=networks):
                values.setdefault(score.name, []).append(score.value)
            print(f"{options.data}, {name}: done", flush=True)
    print("| set |", " | ".join(values), "|")
    for i, name in enumerate(sets):
        print(f"| {name} |", " | ".join(f"{found[i]:.4g}" for found in values.values()), "|")
    for name in ("FD-EffLite0", "MIND-EffLite0"):
        correlation = [spearmanr(values["FAD"], values[name]).statistic]
        for corruption in CORRUPTIONS:  # each beginning with the real images
            some = [i for i, one in enumerate(sets) if one == "real" or one.startswith(corruption)]
            correlation.append(spearmanr(np.array(values["FAD"])[some], np.array(values[name])[some]).statistic)
        print(name, "of all,", ", ".join(CORRUPTIONS), *(f"{one:.3f}" for one in correlation))


if __name__ == "__main__":
    main()
