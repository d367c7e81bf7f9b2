"""The ends of convolutional networks, quicker than PyTorch's where maps lie channels-last in memory.

PyTorch's flattening copies such maps, and its gradient comes back in the other layout, with which an activation
behind it takes several times as long.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class Flatten(nn.Module):
    """(batch, channel, height, width) to (batch, height · width · channel).

    Place by place, unlike PyTorch's.
    """

    def forward(self, maps: Tensor) -> Tensor:
        return maps.permute(0, 2, 3, 1).flatten(1)


class Unflatten(nn.Module):
    """The way back, to square maps of a given number of channels, channels-last."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.channels = channels
        self.side = side

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors.view(-1, self.side, self.side, self.channels).permute(0, 3, 1, 2)


class ImageConvTranspose2d(nn.ConvTranspose2d):
    """The convolution at the end of a decoder, of kernel 4, which doubles the side: few channels come out.

    On a CPU its passes are matrix products: oneDNN computes 16 output channels, however few there are.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__(inputs, channels, 4, stride=2, padding=1)

    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        if (
            maps.device.type != "cpu"
            or torch.is_autocast_enabled("cpu")
            or torch.compiler.is_compiling()
        ):
            return super().forward(maps)
        images: Tensor = _Doubling.apply(maps, self.weight, self.bias)
        return images.permute(0, 3, 1, 2)


class _Doubling(torch.autograd.Function):
    """To images (batch, height, width, channel)."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(maps, weight)
        batch, inputs, height, width = maps.shape
        channels = weight.shape[1]
        products = maps.permute(0, 2, 3, 1).reshape(-1, inputs) @ weight.permute(
            0, 2, 3, 1
        ).reshape(inputs, -1)
        taps = products.view(batch, height, width, 4, 4, channels)
        # Place i reaches rows 2i - 1 to 2i + 2: its two middle taps are its own rows, where the outer ones of its
        # neighbors are added. Columns likewise.
        taps[:, 1:, :, 1] += taps[:, :-1, :, 3]
        taps[:, :-1, :, 2] += taps[:, 1:, :, 0]
        rows = taps[:, :, :, 1:3]
        rows[:, :, 1:, :, 1] += rows[:, :, :-1, :, 3]
        rows[:, :, :-1, :, 2] += rows[:, :, 1:, :, 0]
        images = (
            rows[:, :, :, :, 1:3].transpose(2, 3).reshape(batch, 2 * height, 2 * width, channels)
        )
        return images.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight = ctx.saved_tensors
        batch, inputs, height, width = maps.shape
        channels = weight.shape[1]
        of_maps = of_weight = of_bias = None
        # What each place reached, (batch, height, width, channel, 4, 4).
        reached = functional.pad(gradients, (0, 0, 1, 1, 1, 1)).unfold(1, 4, 2).unfold(2, 4, 2)
        taps = reached.permute(0, 1, 2, 4, 5, 3).reshape(-1, 16 * channels)
        if ctx.needs_input_grad[0]:
            of_maps = taps @ weight.permute(2, 3, 1, 0).reshape(-1, inputs)
            of_maps = of_maps.view(batch, height, width, inputs).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            of_weight = maps.permute(1, 0, 2, 3).reshape(inputs, -1) @ taps
            of_weight = of_weight.view(inputs, 4, 4, channels).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[2]:
            of_bias = gradients.sum(dim=(0, 1, 2))
        return of_maps, of_weight, of_bias
