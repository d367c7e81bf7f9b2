"""The size and mode of prepared images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ResizeSpec:
    """Shape of the prepared images, from the settings of `datasets`."""

    image_size: int
    channels: int
    crop: int | None
    pad: int

    @property
    def mode(self) -> str:
        """Pillow's mode of the prepared images."""
        return "L" if self.channels == 1 else "RGB"
