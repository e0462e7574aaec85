"""The membrane and the spikes of one neuron under one current, for the constants of FSVAE and of TCJA-SNN.

python samples/neuron.py [OUT]
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fsvae_tcja.core import FSVAE_LIF, TCJA_LIF, LIFParams, lif_step
from fsvae_tcja.runtime.pictures import save_figure

STEPS, SEED = 60, 0
NEURONS = {"FSVAE 2022": FSVAE_LIF, "TCJA-SNN 2024": TCJA_LIF}


def history(current: torch.Tensor, neuron: LIFParams) -> tuple[torch.Tensor, torch.Tensor]:
    """Current [T] -> the membrane u [T] before the reset, and the spikes s [T]."""
    membrane, spikes, v = [], [], torch.zeros(1)
    for x in current.split(1):
        membrane.append(neuron.decay * v + neuron.gain * x)  # u_t
        s, v = lif_step(x, v, params=neuron)
        spikes.append(s)
    return torch.cat(membrane), torch.cat(spikes)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out", metavar="OUT", nargs="?", type=Path, default=Path("neuron.png"))
out = parser.parse_args().out

generator = torch.Generator().manual_seed(SEED)
wave = 1 + torch.sin(torch.arange(STEPS) / 8)  # the same shape for both, in units of the threshold
current = (wave + 0.3 * torch.randn(STEPS, generator=generator)).clamp(min=0)
time = range(1, STEPS + 1)
figure = Figure((5.4, 6.2), dpi=160, layout="constrained")
top, *rows = figure.subplots(1 + len(NEURONS), sharex=True)
top.step(time, current, where="mid", color="black")
top.set(ylabel="current / threshold")
top.set_title(f"the current of every neuron, seed {SEED}", loc="left", fontsize="medium")
for row, (name, neuron) in zip(rows, NEURONS.items(), strict=True):
    u, s = history(current * neuron.v_th, neuron)
    row.plot(time, u / neuron.v_th, ".-", color="black", label="membrane u before the reset")
    row.axhline(1, color="0.6", linestyle="--", label="threshold")
    row.vlines(s.nonzero().flatten() + 1, 2.55, 2.85, color="black", linewidth=2, label=f"{int(s.sum())} spikes")
    row.set(ylabel="u / threshold", ylim=(0, 3.8))
    row.set_title(f"{name}: u = {neuron.decay:g} v + {neuron.gain:g} x", loc="left", fontsize="medium")
    row.legend(loc="upper right", ncols=3, fontsize="small")
rows[-1].set(xlabel="step t")
save_figure(figure, out)
print(out)
