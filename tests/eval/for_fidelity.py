"""What torch-fidelity is given: networks with seeded random weights, and plain images."""

import torch
from torch import nn
from torch.utils.data import Dataset


class PlainImages(Dataset):
    """What torch-fidelity reads: one uint8 image at a time, without a label."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.images[i]


def randomised(network: nn.Module, spread: float) -> dict[str, torch.Tensor]:
    """A state dict whose features keep their spread from the first layer to the last; the logits have `spread`."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=spread, generator=generator)
            nn.init.normal_(module.bias, std=0.1, generator=generator)
    return network.state_dict()
