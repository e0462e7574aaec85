"""Draw images from a pretrained model: the first 64 of seed 0.

python samples/grid.py [OUT]
"""

from _pretrained import arguments

from fsvae_tcja.runtime.pictures import save_grid

model, out = arguments(__doc__, "grid.png")
save_grid(model.sample(64, seed=0), out, columns=8, title="drawn, seed 0")
print(out)
