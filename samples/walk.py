"""Walk from one drawn code to another: a row for each pair.

python samples/walk.py [OUT]
"""

from _pretrained import arguments

from fsvae_tcja.runtime.pictures import save_grid
from fsvae_tcja.vae.interpolate import interpolate
from fsvae_tcja.vae.sample import draw_codes

STEPS, PAIRS, SEED = 9, 6, 0

model, out = arguments(__doc__, "walk.png")
z = draw_codes(model, 2 * PAIRS, SEED)  # [T, N, L]
rows = interpolate(model, z[:, :PAIRS], z[:, PAIRS:], STEPS)  # [pairs, steps, C, H, W]
save_grid(rows.flatten(0, 1), out, columns=STEPS, title=f"{STEPS} steps between drawn codes, seed {SEED}")
print(out)
