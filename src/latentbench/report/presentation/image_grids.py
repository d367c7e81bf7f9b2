"""Figures of images, pixel for pixel: mosaics, rows with labels, and panels of rows and columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentbench.report.presentation import style
from latentbench.report.presentation.style import MUTED, SMALL_SIZE, TALLEST, WIDTH

Images = np.ndarray[Any, Any]
T = TypeVar("T")

# In inches.
MAX_LABEL_WIDTH = 1.7  # left of images; longer labels get a smaller font
LABEL_GAP = 0.1
TITLE_HEIGHT = 0.3
PANEL_GAP = 0.16  # between panels
_MAX_SIDE = 0.56  # of an image in a panel
_MAX_HEIGHT = 4.6  # of a panel's images
_LINE_GAP = 0.12
_GROUP_GAP, _HEADER_HEIGHT = 0.16, 0.2  # of rows
# As a fraction of the height or width of an image.
_GAP, _SPLIT = 0.08, 0.4
_SLANT = 40  # degrees, of column labels wider than an image

_SMALL: dict[str, Any] = {"fontsize": SMALL_SIZE, "textcoords": "offset points"}


@dataclass(frozen=True)
class Row:
    """An RGBA strip of images with a label, and a remark below the label."""

    label: str
    color: str
    strip: Images
    remark: str = ""

    def height(self, left: float) -> float:
        """Return its height in inches, from `left` inches to the right edge of the page."""
        return float((WIDTH - left) * self.strip.shape[0] / self.strip.shape[1])


@dataclass(frozen=True)
class Panel:
    """Images (rows, columns, height, width, channel) of a model with labels of rows and columns.

    The first `split` columns are set apart. `row_color` is the color of the row labels. Places
    where `shown` (rows, columns) is false stay empty.
    """

    title: str
    color: str
    images: Images
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    split: int = 0
    row_color: str = MUTED
    shown: Images | None = None

    @cached_property
    def mosaic(self) -> Images:
        """The images with gaps as RGBA (height, width, 4)."""
        shown = None if self.shown is None else self.shown.ravel()
        rows, columns, height, width, _ = self.images.shape
        mosaic = tile(self.images.reshape(rows * columns, height, width, -1), columns, shown=shown)
        place = self.split * (width + _gap(height))
        return np.insert(mosaic, [place] * self.extra_gap, 0, axis=1)

    @property
    def extra_gap(self) -> int:
        """Pixels by which columns are set apart."""
        height, width = self.images.shape[2:4]
        return round(_SPLIT * width) - _gap(height) if self.split else 0

    def size(self, side: float) -> tuple[float, float]:
        """Return width and height of the mosaic in inches, for images `side` inches wide."""
        height, width = self.mosaic.shape[:2]
        scale = side / self.images.shape[3]
        return scale * width, scale * height

    def head(self, side: float) -> float:
        """Return the height in inches of title and column labels."""
        widest = _widest(self.columns)
        height = 0.04
        if widest > side:
            height = 0.14 + widest * math.sin(math.radians(_SLANT))
        elif widest:
            height = 0.19
        return height + 0.22 if self.title else height


def tile(images: Images, columns: int, *, shown: Images | None = None) -> Images:
    """Return uint8 images (number, height, width, 1 or 3) as one RGBA mosaic.

    Gaps are transparent, as are images where `shown` (number,) is false.
    """
    number, height, width, _ = images.shape
    gap = _gap(height)
    rows = math.ceil(number / columns)
    cells = np.zeros((rows * columns, height + gap, width + gap, 4), np.uint8)
    cells[:number, :height, :width, :3] = images
    visible = np.ones(number, bool) if shown is None else shown
    cells[:number, :height, :width, 3] = np.where(visible, 255, 0)[:, None, None]
    mosaic = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    return mosaic.reshape(rows * (height + gap), -1, 4)[:-gap, :-gap]


def strip(images: Images) -> Images:
    """Return images as a mosaic of one row."""
    return tile(images, len(images))


def join(strips: Sequence[Images], *, gap: float) -> Images:
    """Return mosaics next to one another, with `gap` transparent pixels between them."""
    space = round(gap)
    padded = [np.pad(each, ((0, 0), (0, space), (0, 0))) for each in strips]
    joined = np.concatenate(padded, axis=1)
    return joined[:, : joined.shape[1] - space]


def draw(figure: Figure, image_grid: Images, inches: tuple[float, float, float, float]) -> Axes:
    """Draw a mosaic at (left, bottom, width, height) in inches, without resampling it."""
    left, bottom, width, height = np.array(inches) / np.tile(figure.get_size_inches(), 2)
    axes = figure.add_axes((left, bottom, width, height))
    axes.set_axis_off()
    axes.imshow(image_grid, interpolation="none", aspect="auto")
    return axes


def stack(
    parts: Sequence[T],
    heights: Sequence[float],
    draw_part: Callable[[Figure, T, float], None],
    *,
    header: float = 0.0,
    footer: float = 0.0,
) -> list[Figure]:
    """Return parts below one another on as many figures as pages are needed.

    `draw_part` gets a figure, a part and the place of its upper edge. Heights and places are in
    inches; each figure has a free `header` above its first part and a `footer` below the last.
    """
    figures = []
    for run in style.pages(heights, tallest=TALLEST - header):
        top = sum(heights[run]) + footer
        figures.append(Figure(figsize=(WIDTH, top + header)))
        for part, height in zip(parts[run], heights[run], strict=True):
            draw_part(figures[-1], part, top)
            top -= height
    return figures


def rows_figures(
    groups: Sequence[Sequence[Row]], *, header: Sequence[tuple[str, float]] = ()
) -> list[Figure]:
    """Return groups of labeled strips on as many figures as pages are needed.

    `header` holds words, each with the pixel of the first strip that it is centered above.
    """
    rows = list(chain.from_iterable(groups))
    label_width = min(max(style.text_width(row.label) for row in rows), MAX_LABEL_WIDTH)
    label_width = max(label_width, _widest([row.remark for row in rows]))
    left = label_width + LABEL_GAP + 0.02
    gap = 0.07 * min(1.0, min(row.height(left) for row in rows) / 0.5)
    heights = []
    for group in groups:
        heights.append(sum(row.height(left) + gap for row in group) + _GROUP_GAP)

    def draw_group(figure: Figure, group: Sequence[Row], top: float) -> None:
        for row in group:
            top -= row.height(left)
            draw_row(figure, row, left, top)
            top -= gap

    margin = _HEADER_HEIGHT if header else 0.02
    footer = 0.02 - gap - _GROUP_GAP  # no gaps below the last row
    figures = stack(groups, heights, draw_group, header=margin, footer=footer)
    small: dict[str, Any] = {"ha": "center", "color": MUTED, "fontsize": SMALL_SIZE}
    for figure in figures:
        for text, pixel in header:
            x = left + (WIDTH - left) * pixel / rows[0].strip.shape[1]
            figure.text(x / WIDTH, 1 - 0.14 / figure.get_figheight(), text, **small)
    return figures


def draw_row(figure: Figure, row: Row, left: float, bottom: float) -> None:
    """Draw a strip at a place in inches, up to the right edge of the page, and its label."""
    axes = draw(figure, row.strip, (left, bottom, WIDTH - left, row.height(left)))
    place: dict[str, Any] = {"transform": axes.transAxes, "ha": "right"}
    name: dict[str, Any] = {"color": row.color, "fontweight": "bold"}
    name["fontsize"] = style.fitting_size(row.label, left - LABEL_GAP - 0.02)
    axes.text(-0.012, 0.5, row.label, va="bottom" if row.remark else "center", **name, **place)
    axes.text(-0.012, 0.46, row.remark, va="top", color=MUTED, fontsize=SMALL_SIZE, **place)


def panels_figures(groups: Sequence[Sequence[Panel]], *, across: int) -> list[Figure]:
    """Return panels in lines of `across` on as many figures as pages are needed.

    Each group starts a new line. All images have the same size. Row labels that all panels share
    stand once, at the left of each line.
    """
    lines = []
    for group in groups:
        lines += [group[start : start + across] for start in range(0, len(group), across)]
    layout = _layout(list(chain.from_iterable(lines)), across)
    heights = [sum(_heights(line, layout.side)) + _LINE_GAP for line in lines]
    draw_line = partial(_draw_line, layout=layout)
    return stack(lines, heights, draw_line, footer=0.03 - _LINE_GAP)


@dataclass(frozen=True)
class _Layout:
    """The side of an image, the width of row labels and of a panel's images, all in inches.

    `shared` is whether row labels stand once in a line.
    """

    side: float
    labels: float
    room: float
    shared: bool


def _layout(panels: Sequence[Panel], across: int) -> _Layout:
    """Return the layout with the largest images."""
    labels = max(_widest(panel.rows) for panel in panels)
    labels = min(labels, MAX_LABEL_WIDTH) + LABEL_GAP if labels else 0.0
    shared = all(panel.rows == panels[0].rows for panel in panels)
    taken = (labels if shared else across * labels) + (across - 1) * PANEL_GAP
    room = (WIDTH - taken) / across
    width, height = np.max([panel.size(1.0) for panel in panels], axis=0).tolist()
    side = min(_MAX_SIDE, room / width, _MAX_HEIGHT / height)
    # The last slanted label of a panel ends right of its column.
    last = [_widest(each.columns[-1:]) for each in panels if _widest(each.columns) > side]
    room -= max(0.0, max(last, default=0.0) * math.cos(math.radians(_SLANT)) - side / 2) / across
    return _Layout(min(side, room / width), labels, room, shared)


def _heights(line: Sequence[Panel], side: float) -> tuple[float, float]:
    """Return the inches above the images of panels in a line, and those of the images."""
    return max(panel.head(side) for panel in line), max(panel.size(side)[1] for panel in line)


def _draw_line(figure: Figure, line: Sequence[Panel], top: float, *, layout: _Layout) -> None:
    head, _ = _heights(line, layout.side)
    between = PANEL_GAP if layout.shared else PANEL_GAP + layout.labels
    for place, panel in enumerate(line):
        width, height = panel.size(layout.side)
        left = layout.labels + place * (layout.room + between)
        axes = draw(figure, panel.mosaic, (left, top - head - height, width, height))
        _label_columns(axes, panel, layout.side)
        if place == 0 or not layout.shared:
            _label_rows(axes, panel)
        title = axes.text(0, 1 + (head - 0.16) / height, panel.title, fontweight="bold")
        title.set(transform=axes.transAxes, color=panel.color)
        title.set_fontsize(style.fitting_size(panel.title, 0.97 * layout.room))


def _label_columns(axes: Axes, panel: Panel, side: float) -> None:
    columns, height, width = panel.images.shape[1:4]
    look = _SMALL | {"va": "bottom", "ha": "center", "color": MUTED}
    if _widest(panel.columns) > side:
        look |= {"rotation": _SLANT, "rotation_mode": "anchor", "ha": "left"}
    for place, text in zip(range(columns), panel.columns, strict=False):
        x = place * (width + _gap(height)) + width / 2
        if place >= panel.split:
            x += panel.extra_gap
        axes.annotate(text, (x, -0.5), (0, 3), **look)


def _label_rows(axes: Axes, panel: Panel) -> None:
    rows, _, height = panel.images.shape[:3]
    look = _SMALL | {"va": "center", "ha": "right", "color": panel.row_color}
    for place, text in zip(range(rows), panel.rows, strict=False):
        y = place * (height + _gap(height)) + height / 2
        look["fontsize"] = SMALL_SIZE * min(1.0, MAX_LABEL_WIDTH / max(_widest([text]), 1e-9))
        axes.annotate(text, (-0.5, y), (-5, 0), linespacing=1.15, **look)


def _gap(height: int) -> int:
    """Return the pixels between images that are `height` pixels high."""
    return max(1, round(_GAP * height))


def _widest(texts: Sequence[str]) -> float:
    """Return the inches of the widest line of small text."""
    lines = "\n".join(texts).splitlines()
    return max((style.text_width(line, size=SMALL_SIZE, bold=False) for line in lines), default=0.0)
