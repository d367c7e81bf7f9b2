"""What becomes of the same inputs from epoch to epoch: fixed latents as a moving picture, test images as rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from latentbench.artifacts.files import atomic_write
from latentbench.data.image_grid import Images, image_grid, write_png

SHORTEST_MS, LONGEST_MS = 60, 600  # of one frame
WHOLE_MS = 8_000  # all frames, where that lies in between
LAST_MS = 2_000
TEXT_SIZE = 16  # pixels


def write_evolution(frames: list[tuple[int, Path]], places: list[Path]) -> None:
    """Join the pictures, each with its epoch written above it, into animations; the suffix gives the format.

    GIF opens everywhere but has 256 colors; WebP has them all.
    """
    pictures = [
        _with_title(Image.open(path).convert("RGB"), f"epoch {epoch}") for epoch, path in frames
    ]
    each = min(max(WHOLE_MS // len(pictures), SHORTEST_MS), LONGEST_MS)
    durations = [each] * (len(pictures) - 1) + [LAST_MS]
    for place in places:
        quality = {"quality": 90} if place.suffix == ".webp" else {}
        with atomic_write(place) as partial:
            first, *rest = pictures
            first.save(
                partial,
                format=place.suffix.removeprefix("."),
                save_all=True,
                append_images=rest,
                duration=durations,
                loop=0,
                **quality,
            )


def image_row(images: Images) -> Images:
    """Images (number, height, width, channel) side by side without gaps, (height, number * width, channel)."""
    return image_grid(images, columns=len(images), gap=0)


def write_reconstructions(inputs: Images, frames: list[Path], place: Path) -> None:
    """Join the rows of reconstructions, each in a picture of its own, under the row of their inputs.

    Without gaps, so that whoever knows the images' size can cut them out.
    """
    rows = [inputs]
    for path in frames:
        with Image.open(path) as picture:
            rows.append(np.asarray(picture).reshape(inputs.shape))
    write_png(place, np.concatenate(rows))


def _with_title(picture: Image.Image, title: str) -> Image.Image:
    strip = 2 * TEXT_SIZE
    titled = Image.new("RGB", (picture.width, picture.height + strip), "white")
    titled.paste(picture, (0, strip))
    ImageDraw.Draw(titled).text(
        (TEXT_SIZE // 2, strip // 2),
        title,
        fill="black",
        font=ImageFont.load_default(TEXT_SIZE),
        anchor="lm",
    )
    return titled
