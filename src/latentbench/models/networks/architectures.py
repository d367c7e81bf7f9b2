"""Encoders and decoders: how layers are stacked, independent of the objective.

Convolutional networks follow DCGAN (Radford et al., 2016): 4×4 convolutions of stride 2 halve or
double the side between `image_size` and 4. The largest feature maps have `width` channels, and
each halving doubles the channels. The settings of `config.models.DecoderModel` vary this: residual
blocks between the feature maps, more layers per stage, dilation, self-attention, or fully connected
layers instead of convolutions. `resnet` has networks of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from latentbench.config.models import SMALLEST, DecoderModel, GANModel, feature_map_sizes
from latentbench.models.networks.blocks import BLOCKS, ResNetBlocks
from latentbench.models.networks.channels_last import Flatten, ImageConvTranspose2d, Unflatten
from latentbench.models.networks.conditioning import (
    BatchNorm,
    ConditionalBatchNorm,
    ConditionalSequential,
    Norm,
    apply_layers,
    assign_entries,
)
from latentbench.models.networks.layers import LabelEmbedding, LabelPlane, Pooling
from latentbench.models.networks.resnet import resnet_decoder, resnet_encoder

LEAK = 0.2  # negative slope of the leaky ReLU (Radford et al., 2016, section 3)


@dataclass(frozen=True)
class Shape:
    """The size of the images and the number of labels, 0 without labels."""

    image_size: int
    channels: int
    num_labels: int = 0

    @property
    def pixels(self) -> int:
        """The number of values of an image."""
        return self.channels * self.image_size**2


class Decoder(nn.Module):
    """Maps latents and labels to images.

    The embedded label is concatenated to the latent (Mirza & Osindero, 2014, section 3.2), or it
    has the scales and shifts of conditional batch norm.
    """

    embedding: LabelEmbedding | None

    def __init__(self, config: DecoderModel, shape: Shape) -> None:
        super().__init__()
        self.is_concatenated = not config.conditional_batch_norm
        inputs = config.latent_dim
        if self.is_concatenated:
            # Smaller than the latent: with labels of the same scale, generators tend to collapse to
            # one image per label.
            self.embedding = _embedding(config, shape, scale=0.1)
            inputs += config.label_dim if self.embedding is not None else 0
        self.layers = _decoder_layers(inputs, config, shape)
        if not self.is_concatenated:
            entries = assign_entries(self.layers)
            # As small as the deviations of batch norm's initial scales by Radford et al. (2016).
            self.embedding = LabelEmbedding(shape.num_labels, entries, scale=0.02)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images before the last activation, (batch, channel, height, width).

        Args:
            latents: (batch, latent_dim).
            labels: (batch, num_labels).
        """
        embedded = None if self.embedding is None else self.embedding(labels)
        if embedded is not None and self.is_concatenated:
            latents = torch.cat([latents, embedded], dim=1)
        images: Tensor = self.layers(latents, embedded)
        return images


class Encoder(nn.Module):
    """Maps images and labels to vectors.

    The embedded label is concatenated to the pixels of a fully connected network. For a
    convolutional network, a linear map makes one more channel of it.

    Args:
        outputs: Dimension of the vectors.
        config: The model's settings.
        shape: The images and labels.
        batch_norm: Whether there is batch norm.
        width: Channels in place of `config.width`.
        pooling: How a `resnet` pools its last feature maps.
    """

    def __init__(
        self,
        outputs: int,
        config: DecoderModel,
        shape: Shape,
        *,
        batch_norm: bool,
        width: int | None = None,
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        self.embedding = _embedding(config, shape, scale=1.0)
        self.plane: LabelPlane | None = None
        self.is_flat = config.architecture == "fully_connected"
        if self.is_flat:
            inputs = shape.pixels + (config.label_dim if self.embedding is not None else 0)
            self.layers = _fully_connected_encoder(inputs, outputs, config, batch_norm=batch_norm)
            return
        inputs = shape.channels
        if self.embedding is not None:
            self.plane = LabelPlane(config.label_dim, shape.image_size)
            inputs += 1
        width = config.width if width is None else width
        if config.architecture == "resnet":
            self.layers = resnet_encoder(
                ResNetBlocks(config, nn.ReLU, nn.BatchNorm2d if batch_norm else None),
                inputs,
                outputs,
                width=width,
                image_size=shape.image_size,
                pooling=pooling,
            )
            return
        self.layers = _convolutional_encoder(
            inputs, outputs, config, shape.image_size, width=width, batch_norm=batch_norm
        )

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return vectors (batch, outputs).

        Args:
            images: (batch, channel, height, width) in [-1, 1].
            labels: (batch, num_labels).
        """
        inputs = images.flatten(1) if self.is_flat else images
        if self.embedding is not None:
            label_inputs = self.embedding(labels)
            if self.plane is not None:
                label_inputs = self.plane(label_inputs)
            inputs = torch.cat([inputs, label_inputs], dim=1)
        outputs: Tensor = self.layers(inputs)
        return outputs


class Discriminator(Encoder):
    """Maps images and labels to one score each.

    With `projection_discriminator` the labels are no inputs. The score of an image with the
    features φ and the label y is ψ(φ) + (V y)·φ, with a linear ψ (Miyato & Koyama, 2018, section
    3).
    """

    def __init__(
        self, config: GANModel, shape: Shape, *, batch_norm: bool, pooling: Pooling
    ) -> None:
        has_projection = config.projection_discriminator
        super().__init__(
            1,
            config,
            replace(shape, num_labels=0) if has_projection else shape,
            batch_norm=batch_norm,
            width=config.discriminator_width,
            pooling=pooling,
        )
        self.projection: nn.Linear | None = None
        if has_projection:
            last: Any = self.layers[-1]
            self.projection = nn.Linear(shape.num_labels, last.in_features, bias=False)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return scores (batch, 1) before the sigmoid; arguments are those of `Encoder`."""
        if self.projection is None:
            return super().forward(images, labels)
        *layers, last = self.layers
        features = apply_layers(layers, images.flatten(1) if self.is_flat else images)
        products = (self.projection(labels) * features).sum(dim=1, keepdim=True)
        scores: Tensor = last(features) + products
        return scores


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable and fixed parameters, without buffers."""
    return sum(parameter.numel() for parameter in network.parameters())


def stage_widths(image_size: int, width: int) -> list[int]:
    """Return the channels of the feature maps, the largest map first.

    Images of 32 pixels have 3 maps, of 64 pixels 4, of 128 pixels 5.
    """
    return [width * 2**stage for stage in range(len(feature_map_sizes(image_size)))]


def _embedding(config: DecoderModel, shape: Shape, *, scale: float) -> LabelEmbedding | None:
    if not shape.num_labels:
        return None
    return LabelEmbedding(shape.num_labels, config.label_dim, scale=scale)


def _decoder_layers(inputs: int, config: DecoderModel, shape: Shape) -> ConditionalSequential:
    is_flat = config.architecture == "fully_connected"
    kind: type[BatchNorm] = nn.BatchNorm1d if is_flat else nn.BatchNorm2d
    norm: Norm = kind
    if config.conditional_batch_norm:
        # Without attributes the embedding is 0, but a class has its own scales and shifts.
        norm = partial(ConditionalBatchNorm, kind=kind, affine=config.condition != "class")
    if is_flat:
        return _fully_connected_decoder(inputs, config, shape, norm)
    if config.architecture == "resnet":
        return resnet_decoder(
            ResNetBlocks(config, nn.ReLU, norm),
            inputs,
            width=config.width,
            image_size=shape.image_size,
            channels=shape.channels,
        )
    return _convolutional_decoder(inputs, config, shape, norm)


def _convolutional_decoder(
    inputs: int, config: DecoderModel, shape: Shape, norm: Norm
) -> ConditionalSequential:
    blocks = BLOCKS[config.architecture](config, nn.ReLU, norm)
    sizes = feature_map_sizes(shape.image_size)[::-1]
    widths = stage_widths(shape.image_size, config.width)[::-1]
    activation = blocks.after_first_layer(widths[0], has_norm=True)
    layers: list[nn.Module] = [
        # Before batch norm, a bias has no effect.
        nn.Linear(inputs, widths[0] * SMALLEST**2, bias=not activation),
        Unflatten(widths[0], SMALLEST),
        *activation,
        *blocks.further_layers(widths[0], sizes[0]),
    ]
    for stage, size in enumerate(sizes[1:], start=1):
        layers += blocks.upsample(widths[stage - 1], widths[stage], size)
        layers += blocks.further_layers(widths[stage], size)
    layers += blocks.before_last_layer(widths[-1])
    return ConditionalSequential(*layers, ImageConvTranspose2d(widths[-1], shape.channels))


def _convolutional_encoder(
    inputs: int,
    outputs: int,
    config: DecoderModel,
    image_size: int,
    *,
    width: int,
    batch_norm: bool,
) -> nn.Sequential:
    norm = nn.BatchNorm2d if batch_norm else None
    blocks = BLOCKS[config.architecture](config, partial(nn.LeakyReLU, LEAK), norm)
    sizes = feature_map_sizes(image_size)
    widths = stage_widths(image_size, width)
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, widths[0], 4, stride=2, padding=1),
        *blocks.after_first_layer(widths[0], has_norm=False),
        *blocks.further_layers(widths[0], sizes[0]),
    ]
    for stage, size in enumerate(sizes[1:], start=1):
        layers += blocks.downsample(widths[stage - 1], widths[stage], size)
        layers += blocks.further_layers(widths[stage], size)
    layers += blocks.before_last_layer(widths[-1])
    return nn.Sequential(*layers, Flatten(), nn.Linear(widths[-1] * SMALLEST**2, outputs))


def _fully_connected_decoder(
    inputs: int, config: DecoderModel, shape: Shape, norm: Norm
) -> ConditionalSequential:
    layers: list[nn.Module] = []
    for units in reversed(config.hidden_dims):
        layers += [
            nn.Linear(inputs, units, bias=False),
            norm(units),
            nn.ReLU(inplace=True),
        ]
        inputs = units
    image = (shape.channels, shape.image_size, shape.image_size)
    return ConditionalSequential(*layers, nn.Linear(inputs, shape.pixels), nn.Unflatten(1, image))


def _fully_connected_encoder(
    inputs: int, outputs: int, config: DecoderModel, *, batch_norm: bool
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in config.hidden_dims:
        layers.append(nn.Linear(inputs, units, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(units))
        layers.append(nn.LeakyReLU(LEAK, inplace=True))
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
