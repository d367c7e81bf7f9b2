"""Layers that depend on labels, and sequences that pass the labels' embeddings to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d
# Makes the normalization of maps with a number of channels.
Norm = Callable[[int], nn.Module]


class Conditional(nn.Module):
    """A layer whose second argument is the labels' embeddings, (batch, label_dim) or None."""


class ConditionalBatchNorm(Conditional):
    """Batch norm with a scale and a shift per label (Dumoulin et al., 2017, section 2.2).

    It adds entries of an embedded label to the scale 1 and the shift 0: the scales begin at entry
    `start`, the shifts follow them. `Decoder` sets `start`.

    Args:
        channels: The channels of the maps.
        kind: The class of batch norm.
        affine: Whether there are a learned scale and shift in place of 1 and 0.
    """

    def __init__(self, channels: int, *, kind: type[BatchNorm], affine: bool) -> None:
        super().__init__()
        self.norm = kind(channels, affine=affine)
        self.channels = channels
        self.start = 0

    def forward(self, maps: Tensor, embedded: Tensor) -> Tensor:
        """Normalize maps (batch, channel, …) of labels that are embedded as (batch, label_dim)."""
        entries = embedded[:, self.start : self.start + 2 * self.channels]
        shape = (-1, self.channels, *[1] * (maps.ndim - 2))
        scales, shifts = (half.reshape(shape) for half in entries.chunk(2, dim=1))
        normalized: Tensor = self.norm(maps)
        return normalized * (1 + scales) + shifts


class ConditionalSequential(nn.Sequential):
    """A sequence of layers of which some are conditional."""

    def forward(self, inputs: Tensor, embedded: Tensor | None = None) -> Tensor:
        """Return the output of the last layer; `embedded` is (batch, label_dim)."""
        return apply_layers(self, inputs, embedded)


def apply_layers(
    layers: Iterable[nn.Module], inputs: Tensor, embedded: Tensor | None = None
) -> Tensor:
    """Return the output of the last of these layers; `embedded` is (batch, label_dim)."""
    for layer in layers:
        inputs = layer(inputs, embedded) if isinstance(layer, Conditional) else layer(inputs)
    return inputs


def assign_entries(network: nn.Module) -> int:
    """Give each conditional batch norm entries of its own and return their number, label_dim."""
    start = 0
    for module in network.modules():
        if isinstance(module, ConditionalBatchNorm):
            module.start = start
            start += 2 * module.channels
    return start
