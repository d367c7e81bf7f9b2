"""Images over training: samples of fixed latents as an animation, reconstructions as rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from latentbench.artifacts.files import atomic_write
from latentbench.artifacts.paths import GRID_GAP
from latentbench.data.image_grid import Images, image_grid, write_png

MIN_FRAME_MS, MAX_FRAME_MS = 60, 600
MAX_FRAMES = 200  # trainings on few images have thousands of epochs
TARGET_DURATION_MS = 8_000  # of all frames, within the limits of one frame
LAST_FRAME_MS = 2_000
TEXT_SIZE = 16  # pixels
MAX_WIDTH = 16_383  # pixels: the limit of WebP


def write_evolution(frames: list[tuple[int, Path]], targets: list[Path]) -> None:
    """Write images of several epochs as animations, each frame titled with its epoch.

    Of more than MAX_FRAMES epochs, evenly spaced ones are shown, the first and the last included.

    The suffix of a target chooses the format: .gif opens in any viewer but has 256 colors, .webp
    has all colors.

    Args:
        frames: Epochs and the paths of their images, in order.
        targets: The files to write.
    """
    images = []
    number = min(len(frames), MAX_FRAMES)
    for place in np.linspace(0, len(frames) - 1, number).round().astype(int):
        epoch, path = frames[place]
        with Image.open(path) as image:
            images.append(_with_title(image.convert("RGB"), f"epoch {epoch}"))
    frame_ms = min(max(TARGET_DURATION_MS // len(images), MIN_FRAME_MS), MAX_FRAME_MS)
    durations = [frame_ms] * (len(images) - 1) + [LAST_FRAME_MS]
    for target in targets:
        options = {"quality": 90} if target.suffix == ".webp" else {}
        with atomic_write(target) as partial:
            images[0].save(
                partial,
                format=target.suffix.removeprefix("."),
                save_all=True,
                append_images=images[1:],
                duration=durations,
                loop=0,
                **options,
            )


def max_columns(side: int) -> int:
    """Return how many images of `side` pixels fit next to one another into an animation."""
    return (MAX_WIDTH + GRID_GAP) // (side + GRID_GAP)


def image_row(images: Images) -> Images:
    """Join images (number, height, width, channel) into (height, number * width, channel)."""
    return image_grid(images, columns=len(images), gap=0)


def write_reconstructions(inputs: Images, frames: list[Path], target: Path) -> None:
    """Write a PNG with the row of inputs, and below it the row of reconstructions of each epoch.

    There are no gaps, so that the images can be cut out by their size.

    Args:
        inputs: The row of inputs, uint8 (height, number * width, channel).
        frames: The images of the rows of reconstructions, in order.
        target: The file to write.
    """
    rows = [inputs]
    for path in frames:
        with Image.open(path) as image:
            rows.append(np.asarray(image).reshape(inputs.shape))
    write_png(target, np.concatenate(rows))


def _with_title(image: Image.Image, title: str) -> Image.Image:
    height = 2 * TEXT_SIZE
    titled = Image.new("RGB", (image.width, image.height + height), "white")
    titled.paste(image, (0, height))
    ImageDraw.Draw(titled).text(
        (TEXT_SIZE // 2, height // 2),
        title,
        fill="black",
        font=ImageFont.load_default(TEXT_SIZE),
        anchor="lm",
    )
    return titled
