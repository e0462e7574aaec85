"""An image emerging over the T steps: what the decoder makes of the first 1, 2, ..., T steps of a code. Animated.

    python samples/emerging.py [OUT]

Steps that are still to come are without spikes.
"""

import torch
from _pretrained import arguments

from fsvae_tcja.runtime.pictures import grid
from fsvae_tcja.utils.atomic import replacing
from fsvae_tcja.vae.sample import draw_codes

ROWS, COLUMNS, SEED, SCALE = 4, 8, 0, 2

model, out = arguments(__doc__, "emerging.gif")
frames = []
with torch.no_grad():
    z = draw_codes(model, ROWS * COLUMNS, SEED)  # [T, N, L]
    for steps in range(1, len(z) + 1):
        known = z.clone()
        known[steps:] = 0
        title = f"decoded from {steps} of {len(z)} steps, seed {SEED}"
        frames.append(grid(model.decode(known), COLUMNS, SCALE, title))
with replacing(out, ".gif") as temporary:
    frames[0].save(temporary, format="GIF", save_all=True, append_images=frames[1:], duration=600, loop=0)
print(out)
