"""Conversions of the range, layout and dtype of images.

On disk images are uint8 NHWC; inside models they are float NCHW in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_model(images: Tensor) -> Tensor:
    """Return uint8 (batch, height, width, channel) as float32 (batch, channel, height, width).

    The range is [-1, 1]. The memory format is channels-last, the fastest for convolutions, and
    contiguous on MPS, whose kernels have returned wrong values for channels-last.
    """
    planes = images.permute(0, 3, 1, 2)
    if planes.device.type == "mps":
        planes = planes.contiguous()
    return planes.to(torch.float32).mul_(2 / 255).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Return float (batch, channel, height, width) in [-1, 1] as uint8, rounded to the nearest.

    The layout of the result is (batch, height, width, channel).
    """
    levels = images.to(torch.float32).add(1).mul_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
