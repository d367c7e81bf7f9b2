"""Layers that PyTorch does not have: residual blocks, self-attention over places, embedded labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Resample = Literal["up", "down"]


class ResidualBlock(nn.Module):
    """Two convolutions of kernel 3 beside a shortcut, each behind its normalization and activation.

    Pre-activation (He et al., 2016) with the resampling of Gulrajani et al. (2017), appendix F: nearest neighbors up,
    the mean of four down. The shortcut is a convolution of kernel 1 where size or channels change.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        activation: Callable[[], nn.Module],
        batch_norm: bool,
        dilation: int = 1,
        resample: Resample | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample

        def convolution(width: int) -> list[nn.Module]:
            norm = [nn.BatchNorm2d(width)] if batch_norm else []
            convolve = same_size_convolution(width, outputs, dilation=dilation, bias=not batch_norm)
            return [*norm, activation(), convolve]

        # Not in place: the shortcut needs what comes in.
        self.first = nn.Sequential(*convolution(inputs))
        self.second = nn.Sequential(*convolution(outputs))
        changes = inputs != outputs or resample is not None
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if changes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        if self.resample == "up":
            *activate, convolve = self.first
            inner = images
            for layer in activate:
                inner = layer(inner)
            outputs: Tensor = self.second(convolve(_doubled(inner)))
            # Convolving each place by itself and doubling it commute; doubling last is cheaper.
            return outputs + _doubled(self.shortcut(images))
        outputs = self.second(self.first(images))
        if self.resample == "down":
            halved: Tensor = functional.avg_pool2d(outputs, 2) + self.shortcut(
                functional.avg_pool2d(images, 2)
            )
            return halved
        same: Tensor = outputs + self.shortcut(images)
        return same


class HalfDilated(nn.Module):
    """A convolution of kernel 3 whose taps lie apart for half of the outputs, with as many weights as a plain one.

    Where all are dilated, neighboring places share no input, and a grid shows in what is generated (Yu et al., 2017,
    Dilated Residual Networks). The other half keeps them together.
    """

    def __init__(self, inputs: int, outputs: int, *, dilation: int, bias: bool) -> None:
        super().__init__()
        far = outputs // 2
        self.near = nn.Conv2d(inputs, outputs - far, 3, padding=1, bias=bias)
        self.far = nn.Conv2d(inputs, far, 3, padding=dilation, dilation=dilation, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.near(images), self.far(images)], dim=1)


class SelfAttention(nn.Module):
    """Every place looks at every other (Zhang et al., 2019, section 3): x + γ · V softmax(QᵀK), γ from 0.

    Written with matrix products rather than PyTorch's fused attention, which a gradient penalty cannot
    differentiate twice.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // 8)
        self.query = nn.Conv2d(width, inner, 1, bias=False)
        self.key = nn.Conv2d(width, inner, 1, bias=False)
        self.value = nn.Conv2d(width, width, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        query, key, value = (
            layer(images).flatten(2) for layer in (self.query, self.key, self.value)
        )
        weights = (query.transpose(1, 2) @ key).softmax(dim=2)  # (batch, place, place looked at)
        seen = (value @ weights.transpose(1, 2)).view_as(images)
        attended: Tensor = images + self.gain * seen
        return attended


class LabelEmbedding(nn.Module):
    """A row per label: of a class its embedding, of several attributes the sum of theirs.

    `scale` is the standard deviation that its entries begin with.
    """

    def __init__(self, num_labels: int, label_dim: int, *, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(num_labels, label_dim))

    def forward(self, labels: Tensor) -> Tensor:
        """Float (batch, num_labels) to (batch, label_dim)."""
        embedded: Tensor = labels @ self.weight
        return embedded


class LabelPlane(nn.Linear):
    """An embedded label as a channel beside those of an image, (batch, 1, side, side)."""

    def __init__(self, label_dim: int, side: int) -> None:
        super().__init__(label_dim, side**2)
        self.side = side

    def forward(self, embedded: Tensor) -> Tensor:
        return super().forward(embedded).view(-1, 1, self.side, self.side)


def same_size_convolution(inputs: int, outputs: int, *, dilation: int, bias: bool) -> nn.Module:
    """Of kernel 3, with as many zeros around as keep the side; half of its outputs look `dilation` places away."""
    if dilation == 1:
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    return HalfDilated(inputs, outputs, dilation=dilation, bias=bias)


def _doubled(images: Tensor) -> Tensor:
    return functional.interpolate(images, scale_factor=2.0, mode="nearest")
