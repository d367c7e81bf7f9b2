"""Images as mosaics, pixel for pixel, with words beside and over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentbench.report.presentation.style import (
    INK,
    MUTED,
    NAME_SIZE,
    SMALL_SIZE,
    TALLEST,
    WIDTH,
    fitting_size,
    pages,
    text_width,
)

Images = np.ndarray[Any, Any]

MOST_LABEL_WIDTH = 1.7  # inches, left of rows of images; longer names are written smaller
LABEL_GAP = 0.1
TITLE_HEIGHT = 0.3
APART = 0.16  # between the models' squares
_GAP = 0.08  # of an image's side
_SPLIT = 0.4  # of an image's side, between columns that are set apart
_LARGEST_SIDE = 0.56  # inches of an image in a panel
_TALLEST = 4.6  # inches of a panel's images
_LINES_APART = 0.12  # of panels
_GROUPS_APART, _HEADER_HEIGHT = 0.16, 0.2  # of rows
_SLANT = 40  # degrees, of titles wider than their column


@dataclass(frozen=True)
class Row:
    """An RGBA strip of images with its name, and a remark under the name."""

    label: str
    color: str
    strip: Images
    remark: str = ""


@dataclass(frozen=True)
class Panel:
    """A model's images (rows, columns, height, width, channel) with words beside the rows and over the columns.

    The first `split` columns are set apart. `row_color` is that of the words beside the rows. Where `shown`
    (rows, columns) is false, the place stays empty.
    """

    title: str
    color: str
    images: Images
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    split: int = 0
    row_color: str = MUTED
    shown: Images | None = None


def tile(images: Images, columns: int, *, shown: Images | None = None) -> Images:
    """uint8 images (number, height, width, 1 or 3) as one RGBA mosaic (…, …, 4) with transparent gaps, and where
    `shown` (number,) is false."""
    number, height, width, channels = images.shape
    gap = _pixels_between(height)
    rows = math.ceil(number / columns)
    image_grid = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    colors = np.broadcast_to(images, (*images.shape[:3], 3)) if channels == 1 else images
    for place, image in enumerate(colors):
        row, column = divmod(place, columns)
        top, left = row * (height + gap), column * (width + gap)
        image_grid[top : top + height, left : left + width, :3] = image
        image_grid[top : top + height, left : left + width, 3] = (
            255 if shown is None or shown[place] else 0
        )
    return image_grid


def strip(images: Images) -> Images:
    return tile(images, len(images))


def join(strips: Sequence[Images], *, gap: float) -> Images:
    """Mosaics side by side, set apart by `gap` transparent pixels."""
    space = np.zeros((strips[0].shape[0], round(gap), 4), np.uint8)
    parts = [part for each in strips for part in (space, each)]
    return np.concatenate(parts[1:], axis=1)


def rows_figures(
    groups: Sequence[Sequence[Row]], *, header: Sequence[tuple[str, float]] = ()
) -> list[Figure]:
    """Labeled strips under one another, a wider gap between groups, on as many figures as pages are needed.

    The `header` has words and the pixel of the first strip over which their middle stands.
    """
    rows = [row for group in groups for row in group]
    remarks = (text_width(row.remark, size=SMALL_SIZE, bold=False) for row in rows)
    label_width = max(*remarks, min(max(text_width(row.label) for row in rows), MOST_LABEL_WIDTH))
    left = label_width + LABEL_GAP + 0.02
    gap = 0.07 * min(1.0, min(_strip_height(row, left) for row in rows) / 0.5)
    heights = [
        sum(_strip_height(row, left) + gap for row in group) + _GROUPS_APART for group in groups
    ]
    runs = pages(heights, tallest=TALLEST - _HEADER_HEIGHT)
    return [
        _rows_figure(groups[run], header, label_width=label_width, left=left, gap=gap)
        for run in runs
    ]


def _rows_figure(
    groups: Sequence[Sequence[Row]],
    header: Sequence[tuple[str, float]],
    *,
    label_width: float,
    left: float,
    gap: float,
) -> Figure:
    strips = [_strip_height(row, left) + gap for group in groups for row in group]
    margin = _HEADER_HEIGHT if header else 0.02
    total = sum(strips) - gap + _GROUPS_APART * (len(groups) - 1) + margin + 0.02
    figure = Figure(figsize=(WIDTH, total))
    top = total - margin
    for group in groups:
        for row in group:
            height = _strip_height(row, left)
            axes = image_axes(figure, (left, top - height, WIDTH - left, height))
            _label(axes, row, size=fitting_size(row.label, label_width))
            draw(axes, row.strip)
            top -= height + gap
        top -= _GROUPS_APART
    for text, pixel in header:
        x = left + (WIDTH - left) * pixel / groups[0][0].strip.shape[1]
        figure.text(
            x / WIDTH, 1 - 0.14 / total, text, ha="center", color=MUTED, fontsize=SMALL_SIZE
        )
    return figure


def _strip_height(row: Row, left: float) -> float:
    return float((WIDTH - left) * row.strip.shape[0] / row.strip.shape[1])


def panels_figures(groups: Sequence[Sequence[Panel]], *, across: int) -> list[Figure]:
    """Panels in lines of `across`, a new line for each group, all images of one size, on as many figures as pages are
    needed; where all have the same words at the left, they stand there once."""
    panels = [panel for group in groups for panel in group]
    labels = max((_widest(panel.rows) for panel in panels), default=0.0)
    labels = min(labels, MOST_LABEL_WIDTH) + LABEL_GAP if labels else 0.0
    once = all(panel.rows == panels[0].rows for panel in panels)
    slot = (WIDTH - labels * once - (across - 1) * APART) / across
    side = min(_LARGEST_SIDE, *((slot - labels * (not once)) / _sides(panel) for panel in panels))
    side = min(side, *(_TALLEST / _body_sides(panel) for panel in panels))
    # The last of slanted titles ends right of its column.
    over = max(
        (_widest(panel.columns[-1:]) for panel in panels if _widest(panel.columns) > side),
        default=0.0,
    )
    slack = max(0.0, over * math.cos(math.radians(_SLANT)) - side / 2)
    slot -= slack / across
    side = min(side, *((slot - labels * (not once)) / _sides(panel) for panel in panels))
    lines = [
        group[start : start + across] for group in groups for start in range(0, len(group), across)
    ]
    runs = pages([sum(_line_heights(line, side)) + _LINES_APART for line in lines])
    return [
        _panels_figure(lines[run], side=side, slot=slot, labels=labels, once=once) for run in runs
    ]


def _panels_figure(
    lines: Sequence[Sequence[Panel]], *, side: float, slot: float, labels: float, once: bool
) -> Figure:
    total = (
        sum(sum(_line_heights(line, side)) for line in lines)
        + _LINES_APART * (len(lines) - 1)
        + 0.03
    )
    figure = Figure(figsize=(WIDTH, total))
    top = total
    for line in lines:
        head, body = _line_heights(line, side)
        for place, panel in enumerate(line):
            left = labels + place * (slot + APART) if once else place * (slot + APART) + labels
            height, width = side * _body_sides(panel), side * _sides(panel)
            axes = image_axes(figure, (left, top - head - height, width, height))
            room = slot - labels * (not once)
            _draw_panel(
                axes, panel, side=side, head=head, room=room, labeled=place == 0 or not once
            )
        top -= head + body + _LINES_APART
    return figure


def _line_heights(line: Sequence[Panel], side: float) -> tuple[float, float]:
    """Inches over the images of panels beside one another, and of the images."""
    return max(_head(panel, side) for panel in line), max(
        side * _body_sides(panel) for panel in line
    )


def image_axes(figure: Figure, inches: tuple[float, float, float, float]) -> Axes:
    """Axes at (left, bottom, width, height)."""
    width, height = figure.get_size_inches()
    left, bottom, across, up = inches
    axes = figure.add_axes((left / width, bottom / height, across / width, up / height))
    axes.set_axis_off()
    return axes


def draw(axes: Axes, image_grid: Images) -> None:
    # "none" hands the pixels to the SVG as they are, instead of resampling them to the figure's resolution.
    axes.imshow(image_grid, interpolation="none", aspect="auto")


def _pixels_between(height: int) -> int:
    return max(1, round(_GAP * height))


def _widest(texts: Sequence[str]) -> float:
    lines = (line for text in texts for line in text.splitlines())
    return max((text_width(line, size=SMALL_SIZE, bold=False) for line in lines), default=0.0)


def _sides(panel: Panel) -> float:
    """How many images wide it is."""
    number, _, width = panel.images.shape[1:4]
    gap = _pixels_between(panel.images.shape[2]) / width
    return float(number * (1 + gap) - gap + (_SPLIT - gap) * bool(panel.split))


def _body_sides(panel: Panel) -> float:
    """How many images' widths high it is."""
    number, _, height, width = panel.images.shape[:4]
    gap = _pixels_between(height)
    return float((number * (height + gap) - gap) / width)


def _head(panel: Panel, side: float) -> float:
    """Inches over the images."""
    title = 0.22 * bool(panel.title)
    widest = _widest(panel.columns)
    if not widest:
        return title + 0.04
    slanted = widest > side
    return title + 0.05 + (widest * math.sin(math.radians(_SLANT)) + 0.09 if slanted else 0.14)


def _draw_panel(
    axes: Axes, panel: Panel, *, side: float, head: float, room: float, labeled: bool
) -> None:
    """`head` is the height over the images of all panels in its line, whose titles are in line; `room` their width."""
    number_rows, number_columns, height, width = panel.images.shape[:4]
    parts = [slice(0, panel.split), slice(panel.split, None)] if panel.split else [slice(None)]
    shown = np.ones(panel.images.shape[:2], bool) if panel.shown is None else panel.shown
    mosaics = [
        tile(
            panel.images[:, part].reshape(-1, *panel.images.shape[2:]),
            columns,
            shown=shown[:, part].ravel(),
        )
        for part in parts
        if (columns := panel.images[:, part].shape[1])
    ]
    draw(axes, join(mosaics, gap=_SPLIT * width))
    up = side * _body_sides(panel)
    step = width + _pixels_between(height)
    shift = round(_SPLIT * width) - _pixels_between(height)
    slanted = _widest(panel.columns) > side
    for place, text in zip(range(number_columns), panel.columns, strict=False):
        x = place * step + shift * (bool(panel.split) and place >= panel.split) + width / 2
        turned: dict[str, Any] = (
            {"rotation": _SLANT, "rotation_mode": "anchor", "ha": "left"} if slanted else {}
        )
        where = {"ha": "center", "va": "bottom", "fontsize": SMALL_SIZE, "color": MUTED, **turned}
        axes.annotate(text, (x, -0.5), (0, 3), textcoords="offset points", **where)
    for place, text in zip(range(number_rows), panel.rows if labeled else (), strict=False):
        y = place * (height + _pixels_between(height)) + height / 2
        size = SMALL_SIZE * min(1.0, MOST_LABEL_WIDTH / max(_widest([text]), 1e-9))
        where = {"ha": "right", "va": "center", "fontsize": size, "color": panel.row_color}
        axes.annotate(
            text, (-0.5, y), (-5, 0), textcoords="offset points", linespacing=1.15, **where
        )
    if panel.title:
        y = 1 + (head - 0.16) / up
        size = fitting_size(panel.title, room)
        where = {
            "transform": axes.transAxes,
            "fontweight": "bold",
            "color": panel.color or INK,
            "fontsize": size,
        }
        axes.text(0, y, panel.title, va="baseline", **where)


def _label(axes: Axes, row: Row, *, size: float = NAME_SIZE) -> None:
    beside: dict[str, Any] = {"transform": axes.transAxes, "ha": "right"}
    where = "bottom" if row.remark else "center"
    axes.text(
        -0.012,
        0.5,
        row.label,
        va=where,
        color=row.color,
        fontweight="bold",
        fontsize=size,
        **beside,
    )
    axes.text(-0.012, 0.46, row.remark, va="top", color=MUTED, fontsize=SMALL_SIZE, **beside)
