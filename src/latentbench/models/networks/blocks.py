"""Building blocks of convolutional networks by the value of `architecture` in params.yaml."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from latentbench.config.models import DecoderModel
from latentbench.models.networks.conditioning import Norm
from latentbench.models.networks.layers import (
    Resample,
    ResidualBlock,
    ResNetBlock,
    ResNetInputBlock,
    SelfAttention,
    same_size_convolution,
)


@dataclass(frozen=True)
class Blocks:
    """The layers of one kind of convolutional network.

    `size` is the side of the feature maps that the layers return.
    """

    config: DecoderModel
    activation: Callable[..., nn.Module]
    norm: Norm | None

    def after_first_layer(self, width: int, *, has_norm: bool) -> list[nn.Module]:
        """Return the layers after the first one."""
        raise NotImplementedError

    def upsample(self, in_channels: int, out_channels: int, size: int) -> list[nn.Module]:
        """Return layers that double the side."""
        raise NotImplementedError

    def downsample(self, in_channels: int, out_channels: int, size: int) -> list[nn.Module]:
        """Return layers that halve the side."""
        raise NotImplementedError

    def same_size(self, width: int, size: int) -> list[nn.Module]:
        """Return layers that keep the side and the channels."""
        raise NotImplementedError

    def before_last_layer(self, width: int) -> list[nn.Module]:
        """Return the layers before the last one."""
        raise NotImplementedError

    def further_layers(self, width: int, size: int) -> list[nn.Module]:
        """Return the further layers of a stage, then self-attention if it is at this size."""
        layers: list[nn.Module] = []
        for _ in range(self.config.layers_per_stage - 1):
            layers += self.same_size(width, size)
        if self.config.attention_resolution == size:
            layers.append(SelfAttention(width))
        return layers


class StridedBlocks(Blocks):
    """Strided convolutions, each followed by its normalization and activation."""

    def after_first_layer(self, width: int, *, has_norm: bool) -> list[nn.Module]:
        """Return the activation of the first layer, with its normalization if requested."""
        return self._activation(width, self.norm if has_norm else None)

    def upsample(
        self,
        in_channels: int,
        out_channels: int,
        size: int,  # noqa: ARG002
    ) -> list[nn.Module]:
        """Return a transposed convolution of stride 2 with its activation."""
        convolution = nn.ConvTranspose2d(
            in_channels, out_channels, 4, stride=2, padding=1, bias=self.norm is None
        )
        return [convolution, *self._activation(out_channels, self.norm)]

    def downsample(
        self,
        in_channels: int,
        out_channels: int,
        size: int,  # noqa: ARG002
    ) -> list[nn.Module]:
        """Return a convolution of stride 2 with its activation."""
        convolution = nn.Conv2d(
            in_channels, out_channels, 4, stride=2, padding=1, bias=self.norm is None
        )
        return [convolution, *self._activation(out_channels, self.norm)]

    def same_size(self, width: int, size: int) -> list[nn.Module]:
        """Return a 3×3 convolution with its activation."""
        dilation = _dilation(self.config, size)
        convolution = same_size_convolution(width, width, dilation=dilation, bias=self.norm is None)
        return [convolution, *self._activation(width, self.norm)]

    def before_last_layer(self, width: int) -> list[nn.Module]:  # noqa: ARG002
        """Return no layers."""
        return []

    def _activation(self, width: int, norm: Norm | None) -> list[nn.Module]:
        return _activation(width, partial(self.activation, inplace=True), norm)


class ResidualBlocks(Blocks):
    """Residual blocks, which normalize and activate their inputs; the last layer needs its own."""

    kind: ClassVar[type[ResidualBlock]] = ResidualBlock

    def after_first_layer(self, width: int, *, has_norm: bool) -> list[nn.Module]:  # noqa: ARG002
        """Return no layers."""
        return []

    def upsample(self, in_channels: int, out_channels: int, size: int) -> list[nn.Module]:
        """Return a residual block that doubles the side."""
        return [self._block(in_channels, out_channels, size, resample="up")]

    def downsample(self, in_channels: int, out_channels: int, size: int) -> list[nn.Module]:
        """Return a residual block that halves the side, after its convolutions."""
        return [self._block(in_channels, out_channels, 2 * size, resample="down")]

    def same_size(self, width: int, size: int) -> list[nn.Module]:
        """Return a residual block that keeps the side."""
        return [self._block(width, width, size)]

    def before_last_layer(self, width: int) -> list[nn.Module]:
        """Return the normalization and activation of the last block's outputs.

        It does not depend on labels, as in the code of Gulrajani et al. (2017).
        """
        return _activation(width, self.activation, nn.BatchNorm2d if self.norm else None)

    def _block(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        resample: Resample | None = None,
        kind: type[ResidualBlock] | None = None,
    ) -> ResidualBlock:
        return (kind or self.kind)(
            in_channels,
            out_channels,
            activation=self.activation,
            norm=self.norm,
            dilation=_dilation(self.config, size),
            resample=resample,
        )


class ResNetBlocks(ResidualBlocks):
    """The residual blocks of a `resnet`."""

    kind = ResNetBlock

    def at_image(self, in_channels: int, out_channels: int, size: int) -> list[nn.Module]:
        """Return a residual block that reads an image and halves its side."""
        block = self._block(
            in_channels, out_channels, 2 * size, resample="down", kind=ResNetInputBlock
        )
        return [block]


BLOCKS: dict[str, type[Blocks]] = {"convolutional": StridedBlocks, "residual": ResidualBlocks}


def _activation(
    width: int, activation: Callable[[], nn.Module], norm: Norm | None
) -> list[nn.Module]:
    return [norm(width), activation()] if norm else [activation()]


def _dilation(config: DecoderModel, size: int) -> int:
    """Return the dilation; in small feature maps, dilated taps would be outside."""
    return config.dilation if size >= 4 * config.dilation else 1
