"""What the FSVAE authors published for their FAD, known by its hash."""

from dataclasses import dataclass

MNIST = "4a2a42bbebaee78a05f891641b98eff07a605693e3a1d31cc93ebd970be8227e"
FASHION_MNIST = "cde88397bca6f2597422df5ffe574d5ed1dd9e3ef879abc628b5369eb707f27b"

AUTOENCODERS = {MNIST: "mnist", FASHION_MNIST: "fashion-mnist"}
"""Hash of the weights (`tensors_sha256`): what they were trained on. mnist_64.pth, fashion_64.pth."""


@dataclass(frozen=True)
class PublishedStatistics:
    """What an .npz with `mu` and `sigma` does not say of itself."""

    data: str
    """The data set."""
    split: str
    """Its split."""
    n: int
    """Images that went into it."""
    autoencoder: str
    """Hash of the weights that made it."""


STATISTICS = {
    "5d4dd72f345b4337af8ca3432dcf53e4b4b6e8f218aace6abd26dd0181473f20": PublishedStatistics(
        "mnist", "test", 10_000, MNIST
    ),
    "c3a0b1ff9340f947d8316d33d0f27cd5a565c007bc63ebdd88de0ff91f558645": PublishedStatistics(
        "fashion-mnist", "test", 10_000, FASHION_MNIST
    ),
}
"""SHA-256 of the file: its metadata. mnist_test_64.npz, fashion_test_64.npz."""
