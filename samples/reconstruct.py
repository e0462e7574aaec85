"""Digits above what the spiking latent keeps of them, which nothing else of the image passes through.

python samples/reconstruct.py [OUT]
"""

import torch
from _pretrained import arguments

from fsvae_tcja import load_images
from fsvae_tcja.data.dataset import Subset
from fsvae_tcja.runtime.pictures import save_pairs
from fsvae_tcja.vae.reconstruct import reconstruct

N, SEED = 32, 0

model, out = arguments(__doc__, "reconstruct.png", "mnist")
digits = load_images("mnist-5k", "test", size=model.config.image_size)  # in the order of their classes
images = Subset(digits, torch.randperm(len(digits), generator=torch.Generator().manual_seed(SEED)))
originals, reconstructions = (torch.cat(part) for part in zip(*reconstruct(model, images, N, SEED), strict=True))
mse = torch.nn.functional.mse_loss(reconstructions, originals)
code = f"{model.config.T} x {model.config.L} bits"
save_pairs(originals, reconstructions, out, title=f"digits, and what codes of {code} keep of them: MSE {mse:.3f}")
print(out)
