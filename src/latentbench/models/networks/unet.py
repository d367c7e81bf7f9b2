"""The U-Nets of diffusion models: those of DDPM (Ho et al., 2020, appendix B) and DDPM++.

They map a noisy image, its noise level and its label to an image. Residual blocks with group
normalization run from the largest feature maps to the smallest and back. Each block on the way back
also reads the output of a block on the way down (Ronneberger et al., 2015). DDPM++ (Song et al.,
2021, appendix H) is as Karras et al. (2022, appendix F.3) have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentbench.config.models import DiffusionModel
from latentbench.models.networks.architectures import Shape
from latentbench.models.networks.conditioning import apply_layers
from latentbench.models.networks.layers import LabelEmbedding, Resample, ZeroConv2d

# Draws uniform numbers in [0, 1) of a shape whose first dimension is the batch.
Uniform = Callable[[torch.Size], Tensor]

_EMBEDDING_FACTOR = 4  # units of the embedding of level and label, relative to `width`
_MAX_PERIOD = 10_000.0  # of the sinusoids of noise levels in [0, 1000]
_MAX_GROUPS = 32
_MIN_GROUP_CHANNELS = 4


class UNet(nn.Module):
    """Maps noisy images, noise levels and labels to images.

    Every block adds the embedded level and label to its feature maps. A label of zeros is no label:
    one network is also the unconditional model (Ho & Salimans, 2021).
    """

    def __init__(self, config: DiffusionModel, shape: Shape) -> None:
        super().__init__()
        units = _EMBEDDING_FACTOR * config.width
        sizes = config.feature_map_sizes(shape.image_size)
        widths = [config.width * factor for factor in config.multipliers(shape.image_size)]
        self.embedding = Embedding(config.width, units, num_labels=shape.num_labels)
        is_plus = config.architecture == "ddpmpp"

        def block(
            inputs: int, outputs: int, *, attention: bool, resample: Resample | None = None
        ) -> Block:
            new = Block(inputs, outputs, units, attention=attention, resample=resample)
            new.dropout = config.dropout
            new.scale = 2**-0.5 if is_plus else 1.0
            return new

        def resampling(channels: int, direction: Resample) -> nn.Module:
            if is_plus:
                return block(channels, channels, attention=False, resample=direction)
            return Downsample(channels) if direction == "down" else Upsample(channels)

        self.patch_size = config.patch_size
        pixels = shape.channels * config.patch_size**2
        self.first = nn.Conv2d(pixels, config.width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels, skipped = config.width, [config.width]
        for level, (width, size) in enumerate(zip(widths, sizes, strict=True)):
            attention = size == config.attention_resolution
            if level:
                self.down.append(resampling(channels, "down"))
                skipped.append(channels)
            for _ in range(config.layers_per_stage):
                self.down.append(block(channels, width, attention=attention))
                channels = width
                skipped.append(channels)
        self.middle = nn.ModuleList(
            [
                block(channels, channels, attention=True),
                block(channels, channels, attention=False),
            ]
        )
        for level, (width, size) in reversed(list(enumerate(zip(widths, sizes, strict=True)))):
            attention = size == config.attention_resolution
            for number in range(config.layers_per_stage + 1):
                is_last = number == config.layers_per_stage
                has_attention = attention and (is_last or not is_plus)
                self.up.append(block(channels + skipped.pop(), width, attention=has_attention))
                channels = width
            if level:
                self.up.append(resampling(channels, "up"))
        self.last = nn.Sequential(
            group_norm(channels), nn.SiLU(), ZeroConv2d(channels, pixels, 3, padding=1)
        )

    def forward(
        self, images: Tensor, levels: Tensor, labels: Tensor, *, uniform: Uniform | None = None
    ) -> Tensor:
        """Return (batch, channel, height, width).

        Args:
            images: Noisy images, (batch, channel, height, width).
            levels: Their noise levels in [0, 1], (batch,).
            labels: Their labels as of `mark_known`, (batch, num_labels + 1); zeros are no label.
                Without labels (batch, 0).
            uniform: Draws the numbers of dropout; None is no dropout.
        """
        embedded = self.embedding(levels, labels)
        if self.patch_size > 1:
            images = functional.pixel_unshuffle(images, self.patch_size)
        hidden = self.first(images)
        skipped = [hidden]
        for layer in self.down:
            hidden = layer(hidden, embedded, uniform)
            skipped.append(hidden)
        for layer in self.middle:
            hidden = layer(hidden, embedded, uniform)
        for layer in self.up:
            if isinstance(layer, Block) and layer.resample is None:
                hidden = torch.cat([hidden, skipped.pop()], dim=1)
            hidden = layer(hidden, embedded, uniform)
        outputs: Tensor = self.last(hidden)
        if self.patch_size > 1:
            outputs = functional.pixel_shuffle(outputs, self.patch_size)
        return outputs


class Embedding(nn.Module):
    """Embeds noise levels and labels: sinusoids (Vaswani et al., 2017, 3.5), then two layers.

    The embedded label is added to the sinusoids.
    """

    def __init__(self, width: int, units: int, *, num_labels: int) -> None:
        super().__init__()
        self.width = width
        # The last row is added for every known label, so that no label differs from one of zeros.
        self.labels = LabelEmbedding(num_labels + 1, width, scale=1.0) if num_labels else None
        self.layers = nn.Sequential(
            nn.Linear(width, units), nn.SiLU(), nn.Linear(units, units), nn.SiLU()
        )

    def forward(self, levels: Tensor, labels: Tensor) -> Tensor:
        """Return (batch, units) of levels (batch,) and labels (batch, num_labels + 1)."""
        embedded = sinusoids(1000 * levels, self.width)
        if self.labels is not None:
            embedded = embedded + self.labels(labels)
        outputs: Tensor = self.layers(embedded)
        return outputs


class Block(nn.Module):
    """Two 3×3 convolutions with pre-activation, a shortcut, and perhaps self-attention.

    A block that resamples does so before its first convolution and on its shortcut: nearest
    neighbor up, 2×2 means down.

    Attributes:
        dropout: Share of the values that are dropped before the second convolution.
        scale: The factor of the sums with the shortcut and with self-attention. 1/√2 keeps the
            variance of two independent parts.
    """

    dropout = 0.0
    scale = 1.0

    def __init__(
        self,
        inputs: int,
        outputs: int,
        units: int,
        *,
        attention: bool,
        resample: Resample | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.first = nn.Sequential(
            group_norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.embedding = nn.Linear(units, outputs)
        self.activation = nn.Sequential(group_norm(outputs), nn.SiLU())
        self.second = ZeroConv2d(outputs, outputs, 3, padding=1)
        has_layer = inputs != outputs or resample is not None
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if has_layer else nn.Identity()
        self.attention = NormalizedAttention(outputs) if attention else nn.Identity()

    def forward(self, maps: Tensor, embedded: Tensor, uniform: Uniform | None) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height', width').

        height' and width' are doubled, halved or unchanged, by `resample`.
        """
        if self.resample is None:
            hidden = self.first(maps)
        else:
            *activate, convolve = self.first
            hidden = convolve(_resample(apply_layers(activate, maps), self.resample))
            maps = _resample(maps, self.resample)
        hidden = hidden + self.embedding(embedded)[:, :, None, None]
        hidden = self.activation(hidden)
        if self.dropout and uniform is not None:
            kept = uniform(hidden.shape) >= self.dropout
            hidden = hidden * kept / (1 - self.dropout)
        hidden = self._scaled(self.shortcut(maps) + self.second(hidden))
        if isinstance(self.attention, nn.Identity):
            return hidden
        return self._scaled(self.attention(hidden))

    def _scaled(self, maps: Tensor) -> Tensor:
        return maps if self.scale == 1 else maps * self.scale


class NormalizedAttention(nn.Module):
    """Self-attention of one head over positions, x + W softmax(QᵀK / √channels) V.

    It is computed with matrix products: the gradients of PyTorch's fused attention are not
    deterministic on a GPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.output = ZeroConv2d(channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to the same shape."""
        batch, channels, height, width = maps.shape
        # (batch, position, channel)
        joined = self.query_key_value(self.norm(maps)).flatten(2).transpose(1, 2)
        query, key, value = joined.chunk(3, dim=2)
        weights = (query @ key.transpose(1, 2) * channels**-0.5).softmax(dim=2)
        attended = (weights @ value).transpose(1, 2).reshape(batch, channels, height, width)
        outputs: Tensor = maps + self.output(attended)
        return outputs


class Downsample(nn.Conv2d):
    """A 3×3 convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1)

    def forward(self, maps: Tensor, *_: object) -> Tensor:
        """Map (batch, channels, height, width) to half of the height and width."""
        return super().forward(maps)


class Upsample(nn.Conv2d):
    """A 3×3 convolution after nearest-neighbor upsampling."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor, *_: object) -> Tensor:
        """Map (batch, channels, height, width) to twice the height and width."""
        return super().forward(functional.interpolate(maps, scale_factor=2.0, mode="nearest"))


def _resample(maps: Tensor, direction: Resample) -> Tensor:
    if direction == "down":
        return functional.avg_pool2d(maps, 2)
    return functional.interpolate(maps, scale_factor=2.0, mode="nearest")


def mark_known(labels: Tensor) -> Tensor:
    """Return labels with a column of ones, by which they differ from no label; none without labels.

    With it, (batch, num_labels) become (batch, num_labels + 1).
    """
    return functional.pad(labels, (0, 1), value=1.0) if labels.shape[1] else labels


def group_norm(channels: int) -> nn.GroupNorm:
    """Return group normalization with up to 32 groups of at least 4 channels."""
    groups = max(1, min(_MAX_GROUPS, channels // _MIN_GROUP_CHANNELS))
    while channels % groups:
        groups -= 1
    return nn.GroupNorm(groups, channels, eps=1e-6)


def sinusoids(values: Tensor, width: int) -> Tensor:
    """Return sines and cosines (batch, width) of values (batch,), with geometric frequencies."""
    half = width // 2
    exponents = torch.arange(half, device=values.device) / half
    angles = values[:, None] * torch.exp(-math.log(_MAX_PERIOD) * exponents)
    embedded = torch.cat([angles.sin(), angles.cos()], dim=1)
    return functional.pad(embedded, (0, width - embedded.shape[1]))
