"""The latent as spikes: three drawn codes as rasters, and how often each bit is one over a thousand codes.

python samples/raster.py [OUT]
"""

import torch
from _pretrained import arguments
from matplotlib.figure import Figure

from fsvae_tcja.utils.atomic import replacing
from fsvae_tcja.vae.sample import draw_codes

CODES, SEED = 3, 0

model, out = arguments(__doc__, "raster.png")
with torch.no_grad():
    z = draw_codes(model, 1000, SEED).cpu()  # [T, N, L] in {0, 1}
    images = model.decode(z[:, :CODES]).cpu()  # [N, C, H, W] in [-1, 1]

figure = Figure((10, 6), dpi=110, layout="constrained")
grid = figure.subplots(CODES + 1, 2, width_ratios=(1, 5))
for i in range(CODES):
    left, right = grid[i]
    left.imshow((images[i, 0] + 1) / 2, cmap="gray", vmin=0, vmax=1)
    left.set_axis_off()
    step, neuron = z[:, i].nonzero(as_tuple=True)
    right.scatter(neuron, step + 1, marker="|", s=60, color="black", linewidths=1)
    right.set(ylim=(z.shape[0] + 0.5, 0.5), xlim=(-1, z.shape[2]), ylabel="step t", yticks=range(1, z.shape[0] + 1))
    right.set_title(f"spikes of the code drawn as image {i}, seed {SEED}", loc="left", fontsize="medium")
left, right = grid[CODES]
left.set_axis_off()
shown = right.imshow(z.mean(1), aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
right.set(xlabel="latent neuron", ylabel="step t", yticks=range(z.shape[0]), yticklabels=range(1, z.shape[0] + 1))
right.set_title(f"rate of each bit over {z.shape[1]:,} drawn codes", loc="left", fontsize="medium")
figure.colorbar(shown, ax=right, label="rate, 0 to 1")
with replacing(out, ".png") as temporary:
    figure.savefig(temporary, format="png")
print(out)
