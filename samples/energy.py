"""What an image costs: the spiking VAE beside an ANN VAE with the same layers, by an estimate of its arithmetic.

python samples/energy.py [OUT]
"""

import torch
from _pretrained import arguments
from matplotlib.figure import Figure

from fsvae_tcja import load_images
from fsvae_tcja.data import batches, to_float
from fsvae_tcja.runtime.pictures import save_figure
from fsvae_tcja.vae.energy import energy

N, SEED = 64, 0

model, out = arguments(__doc__, "energy.png", "mnist")
order = torch.Generator().manual_seed(SEED)
images = load_images("mnist-5k", "test", size=model.config.image_size)
x = torch.cat(
    [to_float(pixels) for pixels, _ in batches(images, N, order=torch.randperm(len(images), generator=order)[:N])]
)  # [N, C, H, W] in [-1, 1]
report = energy(model, x, seed=SEED)

figure = Figure((5.4, 6.5), dpi=160, layout="constrained")
totals, firing = figure.subplots(2, height_ratios=(2, 3))
for i, (_, spiking, ann, _) in enumerate(report.ways()):
    for side, found, shade in ((-0.2, spiking, "black"), (0.2, ann, "0.7")):
        bars = totals.bar(i + side, found.pj / 1e6, 0.4, color=shade)
        totals.bar_label(bars, fmt="%.1f")
totals.margins(y=0.5)
totals.set(xticks=(0, 1), xticklabels=[f"an image {verb}" for verb, *_ in report.ways()], ylabel="uJ")
totals.legend(["spiking VAE", "ANN VAE, the same layers"])
totals.set_title(f"energy of an image, mean of {N}, seed {SEED}", loc="left", fontsize="medium")
layers = report.reconstructing.layers
firing.barh([layer.name for layer in layers], [layer.rate for layer in layers], color="black")
firing.invert_yaxis()
firing.set(xlim=(0, 1), xlabel="spikes per neuron and step")
firing.set_title("firing of each layer, reconstructing", loc="left", fontsize="medium")
figure.text(
    0.01, -0.03, "4.6 pJ a MAC, 0.9 pJ an AC (45 nm, Horowitz 2014): arithmetic only, no memory", fontsize="small"
)
save_figure(figure, out)
print(out)
