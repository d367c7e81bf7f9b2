"""What convolutional networks are stacked of, by the name of `network` in params.yaml."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from latentbench.config.models import Model
from latentbench.models.layers import Resample, ResidualBlock, same_size_convolution


@dataclass(frozen=True)
class Blocks:
    """The pieces of a convolutional network; `side` is that of the feature maps that come out."""

    config: Model
    activation: Callable[..., nn.Module]
    batch_norm: bool

    def begin(self, width: int, *, batch_norm: bool) -> list[nn.Module]:
        """Behind the first layer."""
        raise NotImplementedError

    def up(self, below: int, above: int, side: int) -> list[nn.Module]:
        raise NotImplementedError

    def down(self, below: int, above: int, side: int) -> list[nn.Module]:
        raise NotImplementedError

    def same(self, width: int, side: int) -> list[nn.Module]:
        raise NotImplementedError

    def end(self, width: int) -> list[nn.Module]:
        """Before the last layer."""
        raise NotImplementedError


class StridedBlocks(Blocks):
    """Convolutions that halve or double the side, each with its normalization and activation behind it."""

    def begin(self, width: int, *, batch_norm: bool) -> list[nn.Module]:
        return self._activated(width, batch_norm=batch_norm)

    def up(self, below: int, above: int, side: int) -> list[nn.Module]:  # noqa: ARG002
        convolve = nn.ConvTranspose2d(
            below, above, 4, stride=2, padding=1, bias=not self.batch_norm
        )
        return [convolve, *self._activated(above, batch_norm=self.batch_norm)]

    def down(self, below: int, above: int, side: int) -> list[nn.Module]:  # noqa: ARG002
        convolve = nn.Conv2d(below, above, 4, stride=2, padding=1, bias=not self.batch_norm)
        return [convolve, *self._activated(above, batch_norm=self.batch_norm)]

    def same(self, width: int, side: int) -> list[nn.Module]:
        dilation = _dilation(self.config, side)
        convolve = same_size_convolution(width, width, dilation=dilation, bias=not self.batch_norm)
        return [convolve, *self._activated(width, batch_norm=self.batch_norm)]

    def end(self, width: int) -> list[nn.Module]:  # noqa: ARG002
        return []

    def _activated(self, width: int, *, batch_norm: bool) -> list[nn.Module]:
        return _activated(width, partial(self.activation, inplace=True), batch_norm=batch_norm)


class ResidualBlocks(Blocks):
    """Blocks that normalize and activate what comes in, so that only the last layer finds it bare."""

    def begin(self, width: int, *, batch_norm: bool) -> list[nn.Module]:  # noqa: ARG002
        return []

    def up(self, below: int, above: int, side: int) -> list[nn.Module]:
        return [self._block(below, above, side, resample="up")]

    def down(self, below: int, above: int, side: int) -> list[nn.Module]:
        return [
            self._block(below, above, 2 * side, resample="down")
        ]  # its convolutions see the larger side

    def same(self, width: int, side: int) -> list[nn.Module]:
        return [self._block(width, width, side)]

    def end(self, width: int) -> list[nn.Module]:
        return _activated(width, self.activation, batch_norm=self.batch_norm)

    def _block(
        self, inputs: int, outputs: int, side: int, *, resample: Resample | None = None
    ) -> ResidualBlock:
        return ResidualBlock(
            inputs,
            outputs,
            activation=self.activation,
            batch_norm=self.batch_norm,
            dilation=_dilation(self.config, side),
            resample=resample,
        )


BLOCKS: dict[str, type[Blocks]] = {"convolutional": StridedBlocks, "residual": ResidualBlocks}


def _activated(
    width: int, activation: Callable[[], nn.Module], *, batch_norm: bool
) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), activation()] if batch_norm else [activation()]


def _dilation(config: Model, side: int) -> int:
    """Where a feature map is small, dilated taps would fall outside it."""
    return config.dilation if side >= 4 * config.dilation else 1
