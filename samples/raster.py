"""The latent as spikes: three drawn codes, and how often each bit is one in codes of digits and in drawn ones.

python samples/raster.py [OUT]
"""

import torch
from _pretrained import arguments
from matplotlib.figure import Figure

from fsvae_tcja import load_images
from fsvae_tcja.report.latent import latent_use
from fsvae_tcja.runtime.pictures import save_figure
from fsvae_tcja.vae.sample import draw_codes

CODES, SEED = 3, 0

model, out = arguments(__doc__, "raster.png", "mnist")
use = latent_use(model, load_images("mnist-5k", "test", size=model.config.image_size), SEED)
with torch.no_grad():
    z = draw_codes(model, CODES, SEED).cpu()  # [T, N, L] in {0, 1}
    images = model.decode(z).cpu()  # [N, C, H, W] in [-1, 1]
T, _, L = z.shape

figure = Figure((5.4, 7.5), dpi=160, layout="constrained")
grid = figure.subplots(CODES + 2, 2, width_ratios=(1, 6))
for i in range(CODES):
    left, right = grid[i]
    left.imshow((images[i, 0] + 1) / 2, cmap="gray", vmin=0, vmax=1)
    step, neuron = z[:, i].nonzero(as_tuple=True)
    right.scatter(neuron, step + 1, marker="|", s=60, color="black", linewidths=1)
    right.set_title(f"spikes of the code drawn as image {i}, seed {SEED}", loc="left", fontsize="medium")
rates = {"posterior": ("codes of digits", use.encoded), "prior": ("drawn codes", use.drawn)}
for (_, right), (name, (whose, rate)) in zip(grid[CODES:], rates.items(), strict=True):
    shown = right.imshow(rate, aspect="auto", cmap="viridis", vmin=0, vmax=1, extent=(-0.5, L - 0.5, T + 0.5, 0.5))
    right.set_title(f"{name}: rate of each bit over {use.n:,} {whose}", loc="left", fontsize="medium")
for left, right in grid:
    left.set_axis_off()
    right.set(xlim=(-0.5, L - 0.5), ylim=(T + 0.5, 0.5), ylabel="step t", yticks=range(1, T + 1))
grid[-1, 1].set_xlabel("latent neuron")
figure.colorbar(shown, ax=grid[:, 1].tolist(), location="bottom", shrink=0.7, aspect=30, label="rate of ones, 0 to 1")
save_figure(figure, out)
print(out)
