"""The networks of the TCJA paper, a line each, in the language of description.py."""

from fsvae_tcja.core import NEURONS

from .config import ClassifierConfig

_CIFAR = (
    "64S 64R TCJA(4,4) 64R TCJA(4,4) 128R/2 TCJA(4,4) 128R TCJA(4,4) "
    "256R/2 TCJA(4,4) 256R TCJA(4,4) 512R/2 TCJA(4,4) 512R TCJA(4,4) LIF GAP"
)

NETS: dict[str, ClassifierConfig] = {
    "digits": ClassifierConfig(),
    "fashion-mnist": ClassifierConfig(
        "128C TCJA(4,4) MP2 128C TCJA(4,4) MP2 DP.5 FC2048 LIF DP.5 FC100 LIF Vote10", T=8, shape=(1, 28, 28)
    ),
    "cifar10": ClassifierConfig(f"{_CIFAR} FC10", T=4, shape=(3, 32, 32), neuron=NEURONS["tet"]),
    "cifar100": ClassifierConfig(f"{_CIFAR} FC100", T=4, shape=(3, 32, 32), classes=100, neuron=NEURONS["tet"]),
    "dvs128": ClassifierConfig(
        "128C MP2 128C MP2 128C MP2 128C TCJA(4,4) MP2 128C TCJA(4,4) MP2 DP.5 FC512 LIF DP.5 FC110 LIF Vote10",
        T=20,
        shape=(2, 128, 128),
        classes=11,
    ),
    "cifar10dvs": ClassifierConfig(
        "AP->48 64C 128C AP2 256C 256C AP2 512C 512C TCJA(4,4) AP2 512C 512C TCJA(4,4) AP2 FC10",
        T=10,
        shape=(2, 128, 128),
        neuron=NEURONS["triangle"],
        bias=True,
    ),
    "cifar10dvs-tet": ClassifierConfig(
        "AP->48 64C 128C TCJA(2,2) AP2 256C 256C AP2 512C 512C AP2 512C 512C AP2 FC10",
        T=10,
        shape=(2, 128, 128),
        neuron=NEURONS["tet"],
        bias=True,
    ),
    "ncaltech101": ClassifierConfig(
        "64C MP2 128C MP2 256C MP2 256C TCJA(4,4) MP2 512C TCJA(2,4) MP2 DP.5 FC1024 LIF DP.5 FC101 LIF",
        T=14,
        shape=(2, 180, 240),
        classes=101,
    ),
    "nmnist": ClassifierConfig(
        "32C MP2 64C TCJA(4,4) MP2 64C TCJA(4,4) MP2 DP.5 FC100 LIF Vote10", T=10, shape=(2, 34, 34)
    ),
    "synthetic-events": ClassifierConfig(
        "16C MP2 32C TCJA(4,4) MP2 32C TCJA(4,4) MP2 FC40 LIF Vote10", T=8, shape=(2, 34, 34), classes=4
    ),
}
