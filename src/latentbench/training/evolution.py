"""The fixed latents' samples from epoch to epoch, as one moving picture."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from latentbench.artifacts.files import replacing

SHORTEST_MS, LONGEST_MS = 60, 600  # of one frame
WHOLE_MS = 8_000  # all frames, where that lies in between
LAST_MS = 2_000
TEXT_SIZE = 16  # pixels


def write_evolution(frames: list[tuple[int, Path]], places: list[Path]) -> None:
    """Join the pictures, each with its epoch written above it, into animations; the suffix gives the format.

    GIF opens everywhere but has 256 colours; WebP has them all.
    """
    pictures = [_with_title(Image.open(path).convert("RGB"), f"epoch {epoch}") for epoch, path in frames]
    each = min(max(WHOLE_MS // len(pictures), SHORTEST_MS), LONGEST_MS)
    durations = [each] * (len(pictures) - 1) + [LAST_MS]
    for place in places:
        quality = {"quality": 90} if place.suffix == ".webp" else {}
        with replacing(place) as partial:
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


def _with_title(picture: Image.Image, title: str) -> Image.Image:
    strip = 2 * TEXT_SIZE
    titled = Image.new("RGB", (picture.width, picture.height + strip), "white")
    titled.paste(picture, (0, strip))
    ImageDraw.Draw(titled).text(
        (TEXT_SIZE // 2, strip // 2), title, fill="black", font=ImageFont.load_default(TEXT_SIZE), anchor="lm"
    )
    return titled
