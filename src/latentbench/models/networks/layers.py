"""Layers that PyTorch lacks: residual blocks, self-attention, label embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentbench.models.networks.conditioning import (
    Conditional,
    ConditionalSequential,
    Norm,
    apply_layers,
)

Resample = Literal["up", "down"]
Pooling = Literal["sum", "mean"]
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class ResidualBlock(Conditional):
    """Two 3×3 convolutions with pre-activation (He et al., 2016) and a shortcut.

    Resampling follows Gulrajani et al. (2017), appendix F: nearest neighbor up, 2×2 means down.
    The shortcut is a 1×1 convolution where the size or the channels change.
    """

    # The factor of Glorot & Bengio's initial weights in the 3×3 convolutions.
    gain: ClassVar[float] = 1.0
    # Whether the first convolution has batch norm and activation before it.
    is_preactivated: ClassVar[bool] = True
    # Whether all convolutions have biases; otherwise 3×3 convolutions without batch norm only.
    has_biases: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        activation: Callable[[], nn.Module],
        norm: Norm | None,
        dilation: int = 1,
        resample: Resample | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample

        def convolution(width: int, *, activate: bool = True) -> list[nn.Module]:
            layers: list[nn.Module] = []
            if activate:
                layers += [norm(width), activation()] if norm else [activation()]
            has_bias = self.has_biases or norm is None
            layers.append(
                same_size_convolution(width, out_channels, dilation=dilation, bias=has_bias)
            )
            return layers

        # The activation is not in-place: the shortcut needs the input.
        self.first = ConditionalSequential(*convolution(in_channels, activate=self.is_preactivated))
        self.second = ConditionalSequential(*convolution(out_channels))
        if in_channels != out_channels or resample is not None:
            self.shortcut: nn.Module = nn.Conv2d(in_channels, out_channels, 1, bias=self.has_biases)
        else:
            self.shortcut = nn.Identity()

    def forward(self, images: Tensor, embedded: Tensor | None = None) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, height', width').

        height' and width' are doubled, halved or unchanged, by `resample`. `embedded` has the
        labels' embeddings, (batch, label_dim), for conditional batch norm.
        """
        if self.resample == "up":
            return self._forward_up(images, embedded)
        outputs: Tensor = self.second(self.first(images, embedded), embedded)
        if self.resample == "down":
            images = functional.avg_pool2d(images, 2)
            outputs = functional.avg_pool2d(outputs, 2)
        shortcut: Tensor = self.shortcut(images)
        return outputs + shortcut

    def _forward_up(self, images: Tensor, embedded: Tensor | None) -> Tensor:
        *activate, convolve = self.first
        hidden = apply_layers(activate, images, embedded)
        outputs: Tensor = self.second(convolve(self.upsample(hidden)), embedded)
        # A 1×1 convolution and upsampling commute; upsampling last is cheaper.
        return outputs + self.upsample(self.shortcut(images))

    def upsample(self, images: Tensor) -> Tensor:
        """Map (batch, channel, height, width) to (batch, channel, 2 height, 2 width)."""
        return functional.interpolate(images, scale_factor=2.0, mode="nearest")


class ResNetBlock(ResidualBlock):
    """A residual block as Lee & Town (2020) have it: bilinear upsampling, biases everywhere.

    Its 3×3 convolutions start √2 times as large as by Glorot & Bengio (2010), as ReLUs halve the
    mean square.
    """

    gain = 2**0.5
    has_biases = True

    def upsample(self, images: Tensor) -> Tensor:
        """Map (batch, channel, height, width) to (batch, channel, 2 height, 2 width)."""
        if images.device.type == "cpu":
            return functional.interpolate(images, scale_factor=2.0, mode="bilinear")
        return double_bilinear(images)


class ResNetInputBlock(ResNetBlock):
    """The block that reads an image, which must not be cut off at 0."""

    is_preactivated = False


class HalfDilated(nn.Module):
    """A 3×3 convolution in which half of the output channels are dilated.

    It has as many weights as a plain one. If all channels are dilated, neighboring outputs share no
    input, which produces gridding artifacts (Yu et al., 2017, Dilated Residual Networks).
    """

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int, bias: bool) -> None:
        super().__init__()
        num_far = out_channels // 2
        self.near = nn.Conv2d(in_channels, out_channels - num_far, 3, padding=1, bias=bias)
        self.far = nn.Conv2d(
            in_channels, num_far, 3, padding=dilation, dilation=dilation, bias=bias
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, height, width)."""
        return torch.cat([self.near(images), self.far(images)], dim=1)


class SelfAttention(nn.Module):
    """Self-attention over positions, x + γ · V softmax(QᵀK) with γ initially 0.

    Zhang et al. (2019), section 3. It uses matrix products instead of PyTorch's fused attention,
    which has no second derivative for a gradient penalty.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // 8)
        self.query = nn.Conv2d(width, inner, 1, bias=False)
        self.key = nn.Conv2d(width, inner, 1, bias=False)
        self.value = nn.Conv2d(width, width, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, width, height, width') to the same shape."""
        query = self.query(images).flatten(2)
        key = self.key(images).flatten(2)
        value = self.value(images).flatten(2)
        # (batch, position, attended position)
        weights = (query.transpose(1, 2) @ key).softmax(dim=2)
        attended = (value @ weights.transpose(1, 2)).view_as(images)
        outputs: Tensor = images + self.gain * attended
        return outputs


class ZeroConv2d(nn.Conv2d):
    """A convolution that starts at zero, so that its residual block is the identity at first."""


class LabelEmbedding(nn.Module):
    """An embedding per label: of a class its row, of several attributes the sum of their rows.

    `scale` is the standard deviation of the initial entries.
    """

    def __init__(self, num_labels: int, label_dim: int, *, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(num_labels, label_dim))

    def forward(self, labels: Tensor) -> Tensor:
        """Map labels, float (batch, num_labels), to (batch, label_dim)."""
        embedded: Tensor = labels @ self.weight
        return embedded


class LabelPlane(nn.Linear):
    """A linear map from an embedded label to one more channel of an image."""

    def __init__(self, label_dim: int, side: int) -> None:
        super().__init__(label_dim, side**2)
        self.side = side

    def forward(self, embedded: Tensor) -> Tensor:
        """Map (batch, label_dim) to (batch, 1, side, side)."""
        return super().forward(embedded).view(-1, 1, self.side, self.side)


def same_size_convolution(
    in_channels: int, out_channels: int, *, dilation: int, bias: bool
) -> nn.Module:
    """Return a 3×3 convolution that keeps the size; with dilation > 1 it is half dilated."""
    if dilation == 1:
        return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
    return HalfDilated(in_channels, out_channels, dilation=dilation, bias=bias)


class GlobalPool(nn.Module):
    """The sum or mean of each channel over all positions."""

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, channel, height, width) to (batch, channel)."""
        return maps.sum(dim=(2, 3)) if self.pooling == "sum" else maps.mean(dim=(2, 3))


def double_bilinear(images: Tensor) -> Tensor:
    """Double height and width as `functional.interpolate` does with the mode `bilinear`.

    The deterministic gradient of `interpolate` on a GPU sorts indices, which this one needs not.
    """
    # Channels last, so that the channels of a pixel stay together in memory.
    maps = images.permute(0, 2, 3, 1)
    return _double(_double(maps, dim=1), dim=2).permute(0, 3, 1, 2)


def _double(maps: Tensor, *, dim: int) -> Tensor:
    """Double a dimension: each new position is a quarter of its neighbor, the rest its own."""
    length = maps.shape[dim]
    first, last = maps.narrow(dim, 0, 1), maps.narrow(dim, length - 1, 1)
    before = torch.cat([first, maps.narrow(dim, 0, length - 1)], dim=dim)
    after = torch.cat([maps.narrow(dim, 1, length - 1), last], dim=dim)
    pairs = torch.stack([maps.lerp(before, 0.25), maps.lerp(after, 0.25)], dim=dim + 1)
    return pairs.flatten(dim, dim + 1)
