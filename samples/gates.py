"""What TCJA lets through: the gate of every step and channel, for one drawn image and over all of them.

python samples/gates.py [OUT]
"""

from collections.abc import Callable

from _pretrained import arguments
from matplotlib.figure import Figure
from torch import Tensor

from fsvae_tcja.core import TCJA
from fsvae_tcja.utils.atomic import replacing

N, SEED = 64, 0
model, out = arguments(__doc__, "gates.png")
gates: dict[str, Tensor] = {}  # [T, N, C] in (0, 1) of each layer


def watched(name: str, compute: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same gate, kept under the name of its layer."""

    def gate(x: Tensor) -> Tensor:
        gates[name] = compute(x)
        return gates[name]

    return gate


for name, layer in model.named_modules():
    if isinstance(layer, TCJA):
        layer.gate = watched(name.removesuffix(".attention"), layer.gate)

model.sample(N, seed=SEED)
figure = Figure((10, 2.6 * len(gates) + 0.6), dpi=110, layout="constrained")
figure.suptitle(f"gates of TCJA, seed {SEED}; one scale, 0 to 1")
for i, (name, gate) in enumerate(gates.items()):
    for j, (whose, shown) in enumerate((("image 0", gate[:, 0]), (f"mean over {N} images", gate.mean(1)))):
        axes = figure.add_subplot(len(gates), 2, 2 * i + j + 1)
        heat = axes.imshow(shown, aspect="auto", cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xlabel="channel", ylabel="step t", yticks=range(len(gate)), yticklabels=range(1, len(gate) + 1))
        axes.set_title(f"{name}, {whose}", loc="left", fontsize="medium")
figure.colorbar(heat, ax=figure.axes, label="gate: share of a spike that passes")
with replacing(out, ".png") as temporary:
    figure.savefig(temporary, format="png")
print(out)
