"""Which score sees what: sets of degraded MNIST digits and of digits that models drew, all scores, a table, a picture.

python tests/benchmarks/which_score.py --model ours=mnist --model FSVAE=runs/fsvae2022-mnist --picture out.png

A model is one that comes with the package, by its name, a run folder or a checkpoint. The networks are those of MNIST
that come with the package unless others are given.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from eval import Autoencoder, Classifier, Networks, Score, evaluate, make_references
from eval.images import as_uint8
from eval.subset import SEED
from fsvae_tcja import FSVAE, load_images
from fsvae_tcja.utils.atomic import write_json

SHOWN = 8
"""Images of each set that the picture shows, and whose hash says whether a set was measured."""

SCORES = (
    *("FAD", "FD-inf-AE", "MIND-AE", "PRC-AE", "DC-AE", "AuthPct-AE"),
    *("Domain-Frechet", "MIND-Domain", "PRC-Domain", "DC-Domain", "AuthPct-Domain", "Domain-IS", "Domain-sure"),
)


def permuted(split: str) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, 1, 32, 32] and labels of MNIST in a fixed random order."""
    data = load_images("mnist", split)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(SEED))
    return data.images[order], data.labels[order]


def degraded(n: int) -> dict[str, Tensor]:
    """Sets of n images. All but the copies come of the test split, whose other images are the reference."""
    images, labels = permuted("test")
    real, (training, _) = images[:n], permuted("train")
    grey = 127.5 + 0.7 * (real.float() - 127.5)
    copies = real.clone()
    copies[: n // 100] = training[: n // 100]
    return {
        "real": real,
        "contrast .7": grey.round().to(torch.uint8),
        "blur, sigma 1": gaussian_blur(real, 7, 1.0),
        "each twice": torch.cat([real[: n // 2]] * 2),
        "no sevens": images[labels != 7][:n],
        "1% copied": copies,
        "all copied": training[:n],
    }


def drawn(model: str, n: int) -> Tensor:
    """Images 0 .. n - 1 of a model's seed 0, uint8 [n, 1, 32, 32]."""
    return as_uint8(FSVAE.from_pretrained(model).sample(n, seed=SEED))


def scorer(networks: Networks) -> Callable[[Tensor, int], list[Score]]:
    """A function (images, halves of a bootstrap) -> all scores; what they are compared with is made once."""
    training, reference = permuted("train")[0], permuted("test")[0][-5000:]
    copies = [name for name in SCORES if name.startswith("AuthPct")]
    others = [name for name in SCORES if name not in copies]
    references = make_references(reference, "strict", others, networks=networks)
    # a fifth of the training images, the copied ones among them, keeps it short
    references |= make_references(training[: len(training) // 5], "strict", copies, networks=networks)
    return lambda images, halves: evaluate(
        images, "strict", SCORES, reference=references, networks=networks, bootstrap=halves
    )


def table(values: dict[str, dict[str, float]]) -> str:
    names = list(next(iter(values.values())))
    lines = [["score", *values], ["---"] * (len(values) + 1)]
    lines += [[name, *(f"{found[name]:.3g}" for found in values.values())] for name in names]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def picture(path: str, sets: dict[str, Tensor], values: dict[str, dict[str, float]], spread: dict[str, float]) -> None:
    """SHOWN images of each set above how many spreads of the real images' score each score is away from it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    names, others = list(spread), [name for name in sets if name != "real"]
    away = np.array([[abs(values[s][k] - values["real"][k]) / max(spread[k], 1e-9) for s in others] for k in names])
    size = 2.4 + 1.1 * len(others), 7.3
    figure, (above, below) = plt.subplots(2, 1, figsize=size, height_ratios=(1, 9), layout="constrained")
    rows = [torch.cat(list(sets[name][:SHOWN, 0]), 1) for name in others]
    above.imshow(torch.cat([torch.cat(list(row.split(128, 1))) for row in rows], 1), cmap="gray", aspect="auto")
    above.set_xticks([])
    above.set_yticks([])
    for i in range(1, len(rows)):
        above.axvline(128 * i - 0.5, color="white", linewidth=4)
    shown = below.imshow(np.log10(1 + away), aspect="auto", cmap="viridis")
    below.set_xticks(range(len(others)), others)
    below.set_yticks(range(len(names)), names)
    for (y, x), value in np.ndenumerate(away):
        text, colour = f"{value:.1f}" if value < 100 else f"{value:.0f}", "black" if value > 100 else "white"
        below.text(x, y, text, ha="center", va="center", color=colour)
    below.set_title("distance from the score of real images, in standard deviations of that")
    figure.colorbar(shown, ax=below, label="log10(1 + distance)")
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=CHECKPOINT", help="several, if you like")
    parser.add_argument("--autoencoder", default="mnist")
    parser.add_argument("--classifier", default="mnist")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--bootstrap", type=int, default=10)
    parser.add_argument("--values", type=Path, help="a .json that keeps what is measured, once for each set")
    parser.add_argument("--picture")
    options = parser.parse_args()
    autoencoder, classifier = Autoencoder.load(options.autoencoder), Classifier.load(options.classifier)
    setting = {"n": options.n, "bootstrap": options.bootstrap}
    setting |= {network.kind: network.sha256 for network in (autoencoder, classifier)}
    kept = options.values and options.values.exists() and json.loads(options.values.read_text())
    if kept and kept["setting"] != setting:
        parser.error(f"{options.values} was measured with {kept['setting']}, not with {setting}: take another file")
    kept = kept or {"setting": setting, "spread": {}, "sets": {}}
    sets, models = degraded(options.n), dict(model.split("=", 1) for model in options.model)
    first = {name: images[:SHOWN] for name, images in sets.items()}
    first |= {name: drawn(model, SHOWN) for name, model in models.items()}
    hashes = {name: hashlib.sha256(images.numpy().tobytes()).hexdigest() for name, images in first.items()}
    measure = None
    for name, of in hashes.items():
        if kept["sets"].get(name, {}).get("first images") == of:
            continue
        measure = measure or scorer(Networks(autoencoder=autoencoder, classifier=classifier))
        images = sets[name] if name in sets else drawn(models[name], options.n)
        scores = measure(images, options.bootstrap if name == "real" else 0)
        kept["sets"][name] = {"first images": of, "values": {score.name: score.value for score in scores}}
        kept["spread"] |= {score.name: score.doubt.spread for score in scores if score.doubt}
        if options.values:
            write_json(options.values, kept)
        print(f"{name}: done", flush=True)
    values = {name: kept["sets"][name]["values"] for name in hashes}
    print(table({"real, spread": kept["spread"]} | values))
    if options.picture:
        picture(options.picture, first, values, kept["spread"])


if __name__ == "__main__":
    main()
