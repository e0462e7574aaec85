"""Synapses of a transposed convolution, one input at a time."""

import pytest
import torch
from torch import nn

from fsvae_tcja.core.operations import fan_out


@pytest.mark.parametrize(
    ("weights", "shape"),
    [
        (nn.ConvTranspose2d(2, 3, 3, 2, 1, output_padding=1), (2, 4, 5)),
        (nn.ConvTranspose2d(2, 1, 3, 1, 1), (2, 5, 4)),
        (nn.ConvTranspose2d(1, 2, 4, 3), (1, 3, 2)),
        (nn.ConvTranspose2d(1, 1, 3, 2, 1), (1, 1, 1)),
    ],
    ids=str,
)
def test_fan_out_is_the_number_of_outputs_that_an_input_reaches(weights, shape):
    weights.weight.data.fill_(1)
    weights.bias.data.zero_()
    counted = torch.zeros(shape, dtype=torch.int64)
    for place in torch.cartesian_prod(*map(torch.arange, shape)).tolist():
        x = torch.zeros(1, *shape)
        x[0][tuple(place)] = 1
        counted[tuple(place)] = (weights(x) != 0).sum()
    assert torch.equal(fan_out(weights, shape), counted)
