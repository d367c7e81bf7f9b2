"""The residual networks of the papers on CIFAR-10: constant width, pooling, ReLU.

Gulrajani et al. (2017, appendix F) and Miyato et al. (2018, table 4) have them for images of 32×32,
and Lee & Town (2020) for their baselines, whose numbers studies can be compared with. Those differ
in how they upsample (here as Lee & Town do, bilinear) and pool.
"""

from __future__ import annotations

from torch import nn

from latentbench.config.models import SMALLEST
from latentbench.models.networks.blocks import ResNetBlocks
from latentbench.models.networks.channels_last import Unflatten
from latentbench.models.networks.conditioning import ConditionalSequential
from latentbench.models.networks.layers import GlobalPool, Pooling

# The side of the last feature maps of an encoder, and its blocks there that keep the side.
_LAST = 8
_BLOCKS_AT_LAST = 2


def resnet_decoder(
    blocks: ResNetBlocks, inputs: int, *, width: int, image_size: int, channels: int
) -> ConditionalSequential:
    """Return a linear layer to 4×4, blocks that upsample, and a 3×3 convolution to the image."""
    layers: list[nn.Module] = [
        nn.Linear(inputs, width * SMALLEST**2),
        Unflatten(width, SMALLEST),
        *blocks.further_layers(width, SMALLEST),
    ]
    size = SMALLEST
    while size < image_size:
        size *= 2
        layers += blocks.upsample(width, width, size)
        layers += blocks.further_layers(width, size)
    layers += blocks.before_last_layer(width)
    return ConditionalSequential(*layers, nn.Conv2d(width, channels, 3, padding=1))


def resnet_encoder(
    blocks: ResNetBlocks,
    inputs: int,
    outputs: int,
    *,
    width: int,
    image_size: int,
    pooling: Pooling,
) -> ConditionalSequential:
    """Return blocks that halve the side down to 8, two that keep it, pooling and a linear layer."""
    size = image_size // 2
    layers = [*blocks.at_image(inputs, width, size), *blocks.further_layers(width, size)]
    while size > _LAST:
        size //= 2
        layers += blocks.downsample(width, width, size)
        layers += blocks.further_layers(width, size)
    for _ in range(_BLOCKS_AT_LAST):
        layers += blocks.same_size(width, size)
    layers += blocks.before_last_layer(width)
    return ConditionalSequential(*layers, GlobalPool(pooling), nn.Linear(width, outputs))
