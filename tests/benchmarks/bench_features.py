"""Time of features and statistics of images in the autoencoder, against a plain loop over torch-fidelity's extractor.

    python tests/benchmarks/bench_features.py [--n 10000]

Both are float64 on the same random 32 x 32 images, in batches of 256 and of torch-fidelity's 64. Parity comes first:
nothing is timed unless means and covariances agree.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from timing import machine, paired
from torch_fidelity.utils import create_feature_extractor

from eval import Autoencoder, Networks, make_references
from eval.fidelity import NAME, register

FIDELITY_BATCH = 64  # its default


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    images = torch.randint(0, 256, (options.n, 1, 32, 32), dtype=torch.uint8)
    autoencoder = Autoencoder().eval()
    networks = Networks(autoencoder=autoencoder)
    register()
    with TemporaryDirectory() as folder:
        weights = Path(folder, "fad.safetensors")
        autoencoder.save(weights)
        extractor = create_feature_extractor(
            NAME, ["latent"], feature_extractor_weights_path=str(weights), cuda=False, verbose=False
        )

    def ours() -> tuple[np.ndarray, np.ndarray]:
        statistics = make_references(images, "strict", ("FAD",), networks=networks)["FAD"].statistics
        return statistics.mean.numpy(), statistics.covariance.numpy()

    def plain(batch: int) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            features = torch.cat([extractor(some)[0] for some in images.split(batch)]).numpy()
        return features.mean(0), np.cov(features, rowvar=False)

    for one, other in zip(ours(), plain(FIDELITY_BATCH), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12 * np.abs(other).max())
    candidates = {
        "evaluate": ours,
        "plain loop, 64": lambda: plain(FIDELITY_BATCH),
        "plain loop, 256": lambda: plain(256),
    }
    found = paired(candidates, options.rounds)
    print(f"{options.n:,} images of 32 x 32, features and statistics; {machine()}")
    for name, seconds in found.items():
        print(f"{name}: {seconds:.2f} s, {seconds / found['evaluate']:.2f} of evaluate")


if __name__ == "__main__":
    main()
