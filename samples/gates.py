"""What TCJA lets through: the gate of every step and channel, for one drawn image and over all of them.

python samples/gates.py [OUT]
"""

from _pretrained import arguments

from classifiers.report.figures import save_gates
from fsvae_tcja.core import record_gates

N, SEED = 64, 0

model, out = arguments(__doc__, "gates.png")
with record_gates(model) as gates:  # [T, N, C] of each layer
    model.sample(N, seed=SEED)
shown = {}
for name, gate in gates.items():
    shown |= {f"{name}, image 0": gate[:, 0], f"{name}, mean over {N}": gate.mean(1)}
save_gates(shown, out, f"gates of TCJA in the decoder, {N} images drawn with seed {SEED}")
print(out)
