"""Training runs by name: the networks of the paper with the recipes of its programs, and small ones."""

from dataclasses import replace

from fsvae_tcja.utils.presets import Preset

from .augment import Augment
from .nets import NETS
from .train import TrainConfig

_PUBLISHED = TrainConfig(epochs=1024, batch_size=16, lr=1e-3)
_SHIFTED = Augment(flip=True, roll=5)
_STATIC = Augment(flip=True, roll=4)

PRESETS: dict[str, Preset[TrainConfig]] = {
    "digits": Preset(
        TrainConfig(data="digits", epochs=10, batch_size=32, lr=3e-3, model=NETS["digits"]),
        "The 1,797 digits of scikit-learn, T = 4; under two minutes on two CPU cores.",
    ),
    "fashion-mnist": Preset(
        replace(
            _PUBLISHED, data="fashion-mnist", batch_size=64, model=NETS["fashion-mnist"], augment=Augment(flip=True)
        ),
        "Fashion-MNIST, two blocks of 128 channels, T = 8.",
    ),
    "cifar10": Preset(
        replace(_PUBLISHED, data="cifar10", batch_size=64, loss="tet", augment=_STATIC, model=NETS["cifar10"]),
        "CIFAR10, MS-ResNet-18 with TCJA in every block, T = 4, TET, flips and rolls.",
    ),
    "cifar100": Preset(
        replace(_PUBLISHED, data="cifar100", batch_size=64, loss="tet", augment=_STATIC, model=NETS["cifar100"]),
        "CIFAR100, the same network.",
    ),
    "dvs128": Preset(
        replace(_PUBLISHED, data="dvs128", model=NETS["dvs128"]),
        "DVS128 Gesture by the published recipe: T = 20, SMSE; with --precision fp16 as the authors had it.",
    ),
    "cifar10dvs": Preset(
        replace(_PUBLISHED, data="cifar10dvs", augment=_SHIFTED, model=NETS["cifar10dvs"]),
        "CIFAR10-DVS by the published recipe: T = 10, SMSE, flips and rolls.",
    ),
    "cifar10dvs-tet": Preset(
        replace(
            _PUBLISHED,
            data="cifar10dvs",
            batch_size=64,
            loss="tet",
            augment=_SHIFTED,
            model=NETS["cifar10dvs-tet"],
        ),
        "CIFAR10-DVS by the published TET recipe: T = 10, batch 64.",
    ),
    "ncaltech101": Preset(
        replace(_PUBLISHED, data="ncaltech101", model=NETS["ncaltech101"]),
        "N-Caltech101 by the published recipe: T = 14, SMSE; with --precision fp16 as the authors had it.",
    ),
    "nmnist": Preset(
        TrainConfig(data="nmnist", epochs=50, batch_size=64, model=NETS["nmnist"]),
        "N-MNIST, a small network, T = 10.",
    ),
    "synthetic-events": Preset(
        TrainConfig(data="synthetic-events", epochs=20, batch_size=32, lr=3e-3, model=NETS["synthetic-events"]),
        "Direction of motion of drawn shapes, T = 8; needs no download.",
    ),
}
