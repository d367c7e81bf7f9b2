"""Differentiable augmentation of what a discriminator or critic sees (Zhao et al., 2020).

All operations are affine maps of the images whose adjoints have closed forms, so the gradient of
each costs as much as the operation, on CUDA with the same bits every time. With all three, a step
of a DCGAN takes 15 % longer at 32×32 and width 16 (42.8 instead of 37.1 ms for 64 color images,
one thread of an AMD EPYC) and 4 % longer at 64×64 and width 32 (446 instead of 429 ms).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.runtime.device import memory_format
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup

# The ranges of Zhao et al. (2020), for images in [-1, 1].
BRIGHTNESS = 0.5  # most added to all pixels, of either sign
SATURATION = 1.0  # most added to the factor 1 of the distance to gray
CONTRAST = 0.5  # most added to the factor 1 of the distance to the image's mean
TRANSLATION = 1 / 8  # most, of the image's side
CUTOUT = 1 / 2  # side of the square, of the image's side


# Steps between changes of the adaptive probability (Karras et al., 2020, section 3).
STEPS_PER_CHANGE = 4


class Augmentation(nn.Module):
    """Changes images at random: `color`, `translation` and `cutout`, in this order.

    The expectation of each operation's parameter is that of the identity. Real and generated
    images are changed by the same law.

    With a `target`, each operation changes an image with a `probability`, independently of the
    others and of other images, and `adapt` moves it (Karras et al., 2020, section 3).

    Args:
        kinds: The operations.
        target: The mean sign of the scores of real images to keep; None changes every image.
        ramp_images: The real images over which the probability can rise from 0 to 1.
    """

    def __init__(
        self, kinds: Sequence[str], *, target: float | None = None, ramp_images: int = 1
    ) -> None:
        super().__init__()
        self.kinds = [kind for kind in _OPERATIONS if kind in kinds]
        self.target = target
        self.ramp_images = ramp_images
        self.probability: Tensor | None
        self.sign_sum: Tensor | None
        # Both are in the training state, so that a resumed run goes on with the same bits.
        for name in ("probability", "sign_sum"):
            self.register_buffer(name, None if target is None else torch.zeros(()))

    def forward(
        self,
        images: Tensor,
        *,
        generator: torch.Generator,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> Tensor:
        """Return changed images; without operations, the images as they are.

        Args:
            images: This process's images, (batch, channel, height, width) in [-1, 1].
            generator: The source of random numbers, drawn for the images of all processes.
            processes: The processes, each with equally many images.
        """
        if not self.kinds:
            return images
        operations = [_OPERATIONS[kind] for kind in self.kinds]
        is_adaptive = self.probability is not None
        sizes = [operation.num_uniforms + is_adaptive for operation in operations]
        uniforms = torch.rand(
            len(images) * processes.world_size,
            sum(sizes),
            generator=generator,
            device=images.device,
            dtype=images.dtype,
        )
        parts = processes.local_shard(uniforms).split(sizes, dim=1)
        for operation, part in zip(operations, parts, strict=True):
            numbers = part
            if self.probability is not None:
                is_changed = part[:, -1:] < self.probability
                numbers = torch.where(is_changed, part[:, :-1], operation.identity)
            images = operation.change(images, numbers)
        return images.contiguous(memory_format=memory_format(images.device))

    def adapt(self, scores: Tensor, *, step: int, processes: ProcessGroup) -> None:
        """Move the probability up if real images are recognized too well, else down.

        Their mean sign over STEPS_PER_CHANGE steps is r_t of Karras et al. (2020, equation 1): 0
        for a discriminator that guesses, 1 for one that recognizes every training image. Without a
        target, nothing changes.

        Args:
            scores: Scores of this process's augmented real images, (batch,), positive where they
                are classified as real.
            step: The number of steps before this one.
            processes: The processes, each with equally many scores.
        """
        if self.target is None or self.probability is None or self.sign_sum is None:
            return
        signs = scores.detach().sign().sum()
        # A sum of integers, the same bits in one process and in several.
        processes.all_reduce_sum(signs)
        self.sign_sum += signs
        if (step + 1) % STEPS_PER_CHANGE == 0:
            number = STEPS_PER_CHANGE * len(scores) * processes.world_size
            direction = (self.sign_sum - self.target * number).sign()
            self.probability += direction * (number / self.ramp_images)
            self.probability.clamp_(0, 1)
            self.sign_sum.zero_()


def change_color(images: Tensor, uniforms: Tensor) -> Tensor:
    """Change brightness, saturation and contrast, in this order.

    Args:
        images: (batch, channel, height, width).
        uniforms: Numbers in [0, 1), (batch, 3); 0.5 is no change.
    """
    brightness, saturation, contrast = (2 * uniforms - 1).view(-1, 3, 1, 1, 1).unbind(1)
    changed: Tensor = _Color.apply(
        images, BRIGHTNESS * brightness, 1 + SATURATION * saturation, 1 + CONTRAST * contrast
    )
    return changed


def translate(images: Tensor, uniforms: Tensor) -> Tensor:
    """Shift rows and columns by whole pixels; what comes in is 0, which is gray.

    Args:
        images: (batch, channel, height, width), with square images.
        uniforms: Numbers in [0, 1), (batch, 2); 0.5 is no change.
    """
    most = round(TRANSLATION * images.shape[2])
    # Rounding could reach 2 · most + 1.
    shifts = (uniforms * (2 * most + 1)).long().clamp(max=2 * most) - most
    rows, columns = shifts.unbind(1)
    shifted: Tensor = _Translation.apply(images, rows, columns, most)
    return shifted


def cut_out(images: Tensor, uniforms: Tensor) -> Tensor:
    """Set a square to 0, which is gray; its center is anywhere in the image.

    Args:
        images: (batch, channel, height, width), with square images.
        uniforms: Numbers in [0, 1), (batch, 2), the place of the center; 2 is no change.
    """
    batch, channels, side, _ = images.shape
    square = round(CUTOUT * side)
    starts = (uniforms * (side + 1 - square % 2)).long() - square // 2
    # The distance of each row and column from the square's first.
    places = torch.arange(side, device=images.device) - starts[:, :, None]
    is_outside = ((places < 0) | (places >= square)).to(images.dtype)
    rows, columns = is_outside.unbind(1)
    # Row by row, with the values of a row next to each other, this is several times as fast.
    columns = columns.repeat_interleave(channels, dim=1)
    kept = torch.maximum(rows[:, :, None], columns[:, None, :])
    changed = images.permute(0, 2, 3, 1).reshape(batch, side, -1) * kept
    return changed.view(batch, side, side, channels).permute(0, 3, 1, 2)


class _Operation(NamedTuple):
    """An operation, its random numbers per image, and the number that changes nothing."""

    change: Callable[[Tensor, Tensor], Tensor]
    num_uniforms: int
    identity: float


# The operations in their order.
_OPERATIONS = {
    "color": _Operation(change_color, 3, identity=0.5),
    "translation": _Operation(translate, 2, identity=0.5),
    "cutout": _Operation(cut_out, 2, identity=2.0),
}


class _Color(torch.autograd.Function):
    """A linear map of the images, its own adjoint, and the brightness."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor
    ) -> Tensor:
        ctx.save_for_backward(saturation, contrast)
        channels = images.split(1, dim=1)
        gray: Tensor = reduce(torch.add, channels) / len(channels)
        level = gray.mean(dim=(2, 3), keepdim=True)
        offset = brightness + (1 - contrast) * level
        shared: Tensor = gray * (contrast * (1 - saturation)) + offset
        return images * (contrast * saturation) + shared

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saturation, contrast = ctx.saved_tensors
        images = _Color.apply(gradient, torch.zeros_like(contrast), saturation, contrast)
        return images, None, None, None


class _Translation(torch.autograd.Function):
    """A shift by at most `most` pixels; its adjoint is the shift back."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, rows: Tensor, columns: Tensor, most: int) -> Tensor:
        ctx.save_for_backward(rows, columns)
        ctx.most = most
        batch, channels, height, width = images.shape
        edges = (0, 0, most, most, most, most)
        padded = F.pad(images.permute(0, 2, 3, 1), edges)
        # A row of a shifted image is a window of the padded images, which lie one after another.
        windows = padded.reshape(-1).unfold(0, width * channels, channels)
        first_row = torch.arange(batch, device=images.device) * (height + 2 * most) + most - rows
        padded_rows = first_row[:, None] + torch.arange(height, device=images.device)
        starts = padded_rows * (width + 2 * most) + (most - columns)[:, None]
        shifted = windows.index_select(0, starts.flatten())
        return shifted.view(batch, height, width, channels).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, columns = ctx.saved_tensors
        return _Translation.apply(gradient, -rows, -columns, ctx.most), None, None, None
