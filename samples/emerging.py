"""An image emerging over the T steps: what the decoder makes of the first 1, 2, ..., T steps of a code. Animated.

    python samples/emerging.py [OUT]

Steps that are still to come are without spikes.
"""

import torch
from _pretrained import arguments
from PIL import Image

from fsvae_tcja.data.pixels import to_uint8
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
        pixels = to_uint8(model.decode(known).cpu())[:, 0]  # [N, H, W]
        picture = pixels.unflatten(0, (ROWS, COLUMNS)).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
        frames.append(Image.fromarray(picture.numpy()).resize((picture.shape[1] * SCALE, picture.shape[0] * SCALE), 0))
with replacing(out, ".gif") as temporary:
    frames[0].save(temporary, format="GIF", save_all=True, append_images=frames[1:], duration=600, loop=0)
print(out)
