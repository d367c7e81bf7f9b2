"""Architectures: how layers are stacked between latents and images, whatever is minimized.

Convolutional networks follow DCGAN (Radford et al., 2016): strided convolutions of kernel 4 that halve or double the
side, from `image_size` to 4, with `width` channels at the largest feature maps and twice as many at each smaller one.
The settings of `config.models.Model` vary that: residual blocks in place of the strided convolutions between feature
maps, more layers per stage, dilation, self-attention; or fully connected layers throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from latentbench.config.models import SMALLEST, Model, feature_map_sizes
from latentbench.models.blocks import BLOCKS, Blocks
from latentbench.models.channels_last import Flatten, ImageConvTranspose2d, Unflatten
from latentbench.models.layers import LabelEmbedding, LabelPlane, SelfAttention

LEAK = 0.2  # slope of the leaky ReLU below zero (Radford et al., 2016, section 3)


@dataclass(frozen=True)
class Shape:
    """Of the images, and of the labels that they are asked for by; no labels is a dimension of 0."""

    image_size: int
    channels: int
    num_labels: int = 0

    @property
    def pixels(self) -> int:
        return self.channels * self.image_size**2


class Decoder(nn.Module):
    """Latents (batch, latent_dim) and labels (batch, num_labels) to images before their last activation.

    A label is embedded by a matrix and stands beside the latent (Mirza & Osindero, 2014, section 3.2).
    """

    def __init__(self, config: Model, shape: Shape) -> None:
        super().__init__()
        # Fainter than the latent: beside a label as loud, generators are soon done with one image per label.
        self.embedding = _embedding(config, shape, scale=0.1)
        inputs = config.latent_dim + (config.label_dim if self.embedding is not None else 0)
        stack = (
            _fully_connected_up if config.architecture == "fully_connected" else _convolutional_up
        )
        self.layers = stack(inputs, config, shape)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        if self.embedding is not None:
            latents = torch.cat([latents, self.embedding(labels)], dim=1)
        images: Tensor = self.layers(latents)
        return images


class Encoder(nn.Module):
    """Images (batch, channel, height, width) in [-1, 1] and labels to (batch, outputs).

    An embedded label stands beside the pixels: of a fully connected network as it is, of a convolutional one as a
    further channel, which a matrix makes of it.
    """

    def __init__(self, outputs: int, config: Model, shape: Shape, *, batch_norm: bool) -> None:
        super().__init__()
        self.embedding = _embedding(config, shape, scale=1.0)
        self.plane: LabelPlane | None = None
        self.is_flat = config.architecture == "fully_connected"
        if self.is_flat:
            inputs = shape.pixels + (config.label_dim if self.embedding is not None else 0)
            self.layers = _fully_connected_down(inputs, outputs, config, batch_norm=batch_norm)
            return
        inputs = shape.channels
        if self.embedding is not None:
            self.plane = LabelPlane(config.label_dim, shape.image_size)
            inputs += 1
        self.layers = _convolutional_down(inputs, outputs, config, shape, batch_norm=batch_norm)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        inputs = images.flatten(1) if self.is_flat else images
        if self.embedding is not None:
            beside = self.embedding(labels)
            if self.plane is not None:
                beside = self.plane(beside)
            inputs = torch.cat([inputs, beside], dim=1)
        outputs: Tensor = self.layers(inputs)
        return outputs


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def stage_widths(image_size: int, width: int) -> list[int]:
    """Channels of the feature maps from the largest down: 32 pixels have 3 of them, 64 have 4, 128 have 5."""
    return [width * 2**stage for stage in range(len(feature_map_sizes(image_size)))]


def _embedding(config: Model, shape: Shape, *, scale: float) -> LabelEmbedding | None:
    return (
        LabelEmbedding(shape.num_labels, config.label_dim, scale=scale)
        if shape.num_labels
        else None
    )


def _convolutional_up(inputs: int, config: Model, shape: Shape) -> nn.Sequential:
    blocks = BLOCKS[config.architecture](config, nn.ReLU, batch_norm=True)
    sides = feature_map_sizes(shape.image_size)[::-1]
    widths = stage_widths(shape.image_size, config.width)[::-1]
    beginning = blocks.begin(widths[0], batch_norm=True)
    layers: list[nn.Module] = [
        nn.Linear(
            inputs, widths[0] * SMALLEST**2, bias=not beginning
        ),  # batch norm would take a bias away
        Unflatten(widths[0], SMALLEST),
        *beginning,
        *_further(blocks, widths[0], sides[0]),
    ]
    for below, above, side in zip(widths, widths[1:], sides[1:], strict=False):
        layers += [*blocks.up(below, above, side), *_further(blocks, above, side)]
    layers += blocks.end(widths[-1])
    return nn.Sequential(*layers, ImageConvTranspose2d(widths[-1], shape.channels))


def _convolutional_down(
    inputs: int, outputs: int, config: Model, shape: Shape, *, batch_norm: bool
) -> nn.Sequential:
    blocks = BLOCKS[config.architecture](config, partial(nn.LeakyReLU, LEAK), batch_norm=batch_norm)
    sides = feature_map_sizes(shape.image_size)
    widths = stage_widths(shape.image_size, config.width)
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, widths[0], 4, stride=2, padding=1),
        *blocks.begin(widths[0], batch_norm=False),
        *_further(blocks, widths[0], sides[0]),
    ]
    for below, above, side in zip(widths, widths[1:], sides[1:], strict=False):
        layers += [*blocks.down(below, above, side), *_further(blocks, above, side)]
    layers += blocks.end(widths[-1])
    return nn.Sequential(*layers, Flatten(), nn.Linear(widths[-1] * SMALLEST**2, outputs))


def _further(blocks: Blocks, width: int, side: int) -> list[nn.Module]:
    """What a stage has beside the layer that made its size: more of the same size, then self-attention."""
    config = blocks.config
    layers = [
        layer for _ in range(config.layers_per_stage - 1) for layer in blocks.same(width, side)
    ]
    return [*layers, SelfAttention(width)] if config.attention_resolution == side else layers


def _fully_connected_up(inputs: int, config: Model, shape: Shape) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in reversed(config.hidden_dims):
        layers += [
            nn.Linear(inputs, units, bias=False),
            nn.BatchNorm1d(units),
            nn.ReLU(inplace=True),
        ]
        inputs = units
    image = (shape.channels, shape.image_size, shape.image_size)
    return nn.Sequential(*layers, nn.Linear(inputs, shape.pixels), nn.Unflatten(1, image))


def _fully_connected_down(
    inputs: int, outputs: int, config: Model, *, batch_norm: bool
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in config.hidden_dims:
        layers.append(nn.Linear(inputs, units, bias=not batch_norm))
        layers += [nn.BatchNorm1d(units)] if batch_norm else []
        layers.append(nn.LeakyReLU(LEAK, inplace=True))
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
