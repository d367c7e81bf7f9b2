"""Architectures: how layers are stacked between latents and images, whatever is minimised.

Convolutional networks follow DCGAN (Radford et al., 2016): strided convolutions of kernel 4 that halve or double the
side, from `image_size` to 4, with `width` channels at the largest feature maps and twice as many at each smaller one.
The settings of `config.models.Model` vary that: residual blocks in place of the strided convolutions between feature
maps, more layers per stage, dilation, self-attention; or fully connected layers throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from latentbench.config.models import SMALLEST, Model, feature_sides
from latentbench.models.layers import LabelEmbedding, LabelPlane, ResidualBlock, SelfAttention, same_size_convolution

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
        stack = _fully_connected_up if config.network == "fully_connected" else _convolutional_up
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
        self.is_flat = config.network == "fully_connected"
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
    return [width * 2**stage for stage in range(len(feature_sides(image_size)))]


def _embedding(config: Model, shape: Shape, *, scale: float) -> LabelEmbedding | None:
    return LabelEmbedding(shape.num_labels, config.label_dim, scale=scale) if shape.num_labels else None


def _convolutional_up(inputs: int, config: Model, shape: Shape) -> nn.Sequential:
    is_residual = config.network == "residual"
    sides = feature_sides(shape.image_size)[::-1]
    widths = stage_widths(shape.image_size, config.width)[::-1]
    activation = partial(nn.ReLU, inplace=not is_residual)
    stage = partial(_same_size, config, activation=activation, batch_norm=True)

    layers: list[nn.Module] = [
        nn.Linear(inputs, widths[0] * SMALLEST**2, bias=is_residual),
        nn.Unflatten(1, (widths[0], SMALLEST, SMALLEST)),
    ]
    if not is_residual:
        layers += [nn.BatchNorm2d(widths[0]), activation()]
    layers += stage(widths[0], sides[0])
    for below, above, side in zip(widths, widths[1:], sides[1:], strict=False):
        if is_residual:
            dilation = _dilation(config, side)
            layers.append(
                ResidualBlock(below, above, activation=activation, batch_norm=True, dilation=dilation, resample="up")
            )
        else:
            layers += [
                nn.ConvTranspose2d(below, above, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(above),
                activation(),
            ]
        layers += stage(above, side)
    if is_residual:
        layers += [nn.BatchNorm2d(widths[-1]), activation()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], shape.channels, 4, stride=2, padding=1))


def _convolutional_down(inputs: int, outputs: int, config: Model, shape: Shape, *, batch_norm: bool) -> nn.Sequential:
    is_residual = config.network == "residual"
    sides = feature_sides(shape.image_size)
    widths = stage_widths(shape.image_size, config.width)
    activation = partial(nn.LeakyReLU, LEAK, inplace=not is_residual)
    stage = partial(_same_size, config, activation=activation, batch_norm=batch_norm)

    layers: list[nn.Module] = [nn.Conv2d(inputs, widths[0], 4, stride=2, padding=1)]
    if not is_residual:
        layers.append(activation())
    layers += stage(widths[0], sides[0])
    for below, above, side in zip(widths, widths[1:], sides[1:], strict=False):
        if is_residual:
            # The convolutions of a block that halves see the larger side.
            dilation = _dilation(config, 2 * side)
            layers.append(
                ResidualBlock(
                    below, above, activation=activation, batch_norm=batch_norm, dilation=dilation, resample="down"
                )
            )
        else:
            layers.append(nn.Conv2d(below, above, 4, stride=2, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(above)] if batch_norm else []
            layers.append(activation())
        layers += stage(above, side)
    if is_residual:
        layers += [nn.BatchNorm2d(widths[-1])] if batch_norm else []
        layers.append(activation())
    return nn.Sequential(*layers, nn.Flatten(1), nn.Linear(widths[-1] * SMALLEST**2, outputs))


def _same_size(
    config: Model, width: int, side: int, *, activation: Callable[[], nn.Module], batch_norm: bool
) -> list[nn.Module]:
    """What a stage has beside the layer that made its size: further layers, then self-attention."""
    dilation = _dilation(config, side)
    layers: list[nn.Module] = []
    for _ in range(config.layers_per_stage - 1):
        if config.network == "residual":
            block = ResidualBlock(width, width, activation=activation, batch_norm=batch_norm, dilation=dilation)
            layers.append(block)
        else:
            layers.append(same_size_convolution(width, width, dilation=dilation, bias=not batch_norm))
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers.append(activation())
    if config.attention == side:
        layers.append(SelfAttention(width))
    return layers


def _dilation(config: Model, side: int) -> int:
    """Where a feature map is small, dilated taps would fall outside it."""
    return config.dilation if side >= 4 * config.dilation else 1


def _fully_connected_up(inputs: int, config: Model, shape: Shape) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in reversed(config.hidden):
        layers += [nn.Linear(inputs, units, bias=False), nn.BatchNorm1d(units), nn.ReLU(inplace=True)]
        inputs = units
    image = (shape.channels, shape.image_size, shape.image_size)
    return nn.Sequential(*layers, nn.Linear(inputs, shape.pixels), nn.Unflatten(1, image))


def _fully_connected_down(inputs: int, outputs: int, config: Model, *, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in config.hidden:
        layers.append(nn.Linear(inputs, units, bias=not batch_norm))
        layers += [nn.BatchNorm1d(units)] if batch_norm else []
        layers.append(nn.LeakyReLU(LEAK, inplace=True))
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
