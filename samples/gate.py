"""The gates of the decoder's TCJA as heat maps: mean over a hundred drawn images, one scale for all.

    python samples/gate.py [OUT]
"""

import torch
from matplotlib.figure import Figure
from pretrained import arguments

from fsvae_tcja.core import TCJA
from fsvae_tcja.utils.atomic import replacing

N, SEED = 100, 0

model, out = arguments(__doc__, "gate.png")
gates: dict[str, torch.Tensor] = {}
for name, module in model.decoder.named_modules():
    if isinstance(module, TCJA):
        module.register_forward_hook(
            lambda module, inputs, output, name=name: gates.update({name: module.gate(inputs[0]).mean(1)})
        )  # [T, C]
with torch.no_grad():
    model.sample(N, SEED)
print(list(gates), [list(g.shape) for g in gates.values()])
