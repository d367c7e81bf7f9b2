"""Architectures: how layers are stacked, whatever is minimised.

All follow DCGAN (Radford et al., 2016): strided convolutions of kernel 4 that halve or double the side, from
`image_size` to 4, with `width` channels at the largest resolution, twice as many at each smaller one.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import nn

SMALLEST = 4  # side of the smallest feature map, in pixels


def stage_widths(image_size: int, width: int) -> list[int]:
    """Channels from the largest resolution down: 32 pixels have 3 stages, 64 have 4, 128 have 5."""
    return [width * 2**stage for stage in range(int(math.log2(image_size // SMALLEST)))]


def upsampling_network(latent_dim: int, *, image_size: int, channels: int, width: int) -> nn.Sequential:
    """Latents (batch, latent_dim) to images (batch, channels, image_size, image_size) in (-1, 1)."""
    widths = stage_widths(image_size, width)[::-1]
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, widths[0] * SMALLEST**2, bias=False),
        nn.Unflatten(1, (widths[0], SMALLEST, SMALLEST)),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
    ]
    for inputs, outputs in pairwise(widths):
        layers += [
            nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1), nn.Tanh())


def downsampling_network(
    outputs: int, *, image_size: int, channels: int, width: int, batch_norm: bool
) -> nn.Sequential:
    """Images (batch, channels, image_size, image_size) to (batch, outputs), or to (batch,) for one output."""
    widths = stage_widths(image_size, width)
    layers: list[nn.Module] = [
        nn.Conv2d(channels, widths[0], 4, stride=2, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    ]
    for below, above in pairwise(widths):
        layers.append(nn.Conv2d(below, above, 4, stride=2, padding=1, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(above))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    layers += [nn.Flatten(1), nn.Linear(widths[-1] * SMALLEST**2, outputs)]
    if outputs == 1:
        layers.append(nn.Flatten(0))
    return nn.Sequential(*layers)


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
