"""Images of the models beside real ones, pixel for pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentbench.report.quantities import decimals
from latentbench.report.results import Experiment, Study
from latentbench.report.show import Drawing
from latentbench.report.style import MUTED, SMALL_SIZE, WIDTH, colour_of, fitting_size, house_style, text_width

Images = np.ndarray[Any, Any]

_MOST_SAMPLES = 36
_MOST_RECONSTRUCTIONS = 12
_MOST_PAIRS = 4
_MOST_LABEL_WIDTH = 1.7  # inches, left of rows of images; longer names are written smaller
_LABEL_GAP = 0.1
_TITLE_HEIGHT = 0.3
_APART = 0.16  # between the models' squares
_GAP = 0.08  # of an image's side


@dataclass(frozen=True)
class Row:
    """An RGBA strip of images with its name, and a remark under the name."""

    label: str
    colour: str
    strip: Images
    remark: str = ""


def samples(study: Study) -> Drawing:
    """A square of samples per model; the same place holds the same latent vector's image."""
    present, notes = study.having("latent/samples.npy", "explore", lambda e: e.images("samples") is not None)
    if not present:
        return Drawing(None, notes=notes)
    columns = min(3, len(present))
    rows = math.ceil(len(present) / columns)
    across = max(columns, 2)
    side = (WIDTH - (across - 1) * _APART) / across
    with house_style():
        figure = Figure(figsize=(WIDTH, rows * (side + _TITLE_HEIGHT)))
        for place, experiment in enumerate(present):
            row, column = divmod(place, columns)
            bottom = (rows - row - 1) * (side + _TITLE_HEIGHT)
            axes = _image_axes(figure, (column * (side + _APART), bottom, side, side))
            size = fitting_size(experiment.name, side)
            axes.set_title(experiment.name, color=colour_of(experiment.index), pad=4, fontsize=size)
            _draw(axes, _square(_stored(experiment, "samples")))
    return Drawing(figure, f"Grids of generated images: {_names(present)}.", notes)


def reconstructions(study: Study) -> Drawing:
    """Rows of images: the real ones, and under them what each model makes of them."""
    present, notes = study.having(
        "latent/reconstruction-*.npy",
        "explore",
        lambda e: e.images("reconstruction-real") is not None and e.images("reconstruction-model") is not None,
    )
    if not present:
        return Drawing(None, notes=notes)
    rows: list[Row] = []
    above = None
    for experiment in present:
        real = _stored(experiment, "reconstruction-real")[:_MOST_RECONSTRUCTIONS]
        # Models of one dataset are shown the same pictures, which then stand there once.
        if above is None or not np.array_equal(above, real):
            rows.append(Row("real", MUTED, _strip(real)))
            above = real
        model = _stored(experiment, "reconstruction-model")[:_MOST_RECONSTRUCTIONS]
        rows.append(Row(experiment.name, colour_of(experiment.index), _strip(model), _error(experiment)))
    with house_style():
        figure = _rows_figure(rows)
    return Drawing(figure, f"Real images, and under them the reconstructions by {_names(present)}.", notes)


def interpolations(study: Study) -> Drawing:
    """Paths between pairs of real images, which stand at both ends; a row per model, a block per pair."""
    present, notes = study.having(
        "latent/interpolation*.npy",
        "explore",
        lambda e: e.images("interpolation") is not None and e.images("interpolation-real") is not None,
    )
    if not present:
        return Drawing(None, notes=notes)
    num_pairs = min(_MOST_PAIRS, *(len(_stored(e, "interpolation")) for e in present), _MOST_PAIRS)
    rows = []
    for pair in range(num_pairs):
        for experiment in present:
            first, last = _stored(experiment, "interpolation-real")[pair]
            path = _stored(experiment, "interpolation")[pair]
            strip = _join([_strip(first[None]), _strip(path), _strip(last[None])], gap=0.4 * first.shape[0])
            rows.append(Row(experiment.name, colour_of(experiment.index), strip))
    with house_style():
        figure = _rows_figure(rows, block=len(present), header=("real", "real"))
    return Drawing(
        figure,
        f"Paths between {num_pairs} pairs of real images through the latents of {_names(present)}.",
        notes,
    )


def tile(images: Images, columns: int) -> Images:
    """uint8 images (number, height, width, 1 or 3) as one RGBA mosaic (…, …, 4) with transparent gaps."""
    number, height, width, channels = images.shape
    gap = max(1, round(_GAP * height))
    rows = math.ceil(number / columns)
    mosaic = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    colours = np.broadcast_to(images, (*images.shape[:3], 3)) if channels == 1 else images
    for place, image in enumerate(colours):
        row, column = divmod(place, columns)
        top, left = row * (height + gap), column * (width + gap)
        mosaic[top : top + height, left : left + width, :3] = image
        mosaic[top : top + height, left : left + width, 3] = 255
    return mosaic


def _square(images: Images) -> Images:
    columns = max(1, math.isqrt(min(len(images), _MOST_SAMPLES)))
    return tile(images[: columns**2], columns)


def _strip(images: Images) -> Images:
    return tile(images, len(images))


def _join(strips: Sequence[Images], *, gap: float) -> Images:
    """Mosaics side by side, set apart by `gap` transparent pixels."""
    space = np.zeros((strips[0].shape[0], round(gap), 4), np.uint8)
    parts = [part for strip in strips for part in (space, strip)]
    return np.concatenate(parts[1:], axis=1)


def _rows_figure(rows: Sequence[Row], *, block: int | None = None, header: tuple[str, str] | None = None) -> Figure:
    """Labelled strips under one another; a wider gap after every `block` rows."""
    remarks = (text_width(row.remark, size=SMALL_SIZE, bold=False) for row in rows)
    label_width = max(*remarks, min(max(text_width(row.label) for row in rows), _MOST_LABEL_WIDTH))
    left = label_width + _LABEL_GAP
    width = WIDTH - left
    heights = [width * row.strip.shape[0] / row.strip.shape[1] for row in rows]
    gap = 0.07 * min(1.0, min(heights) / 0.5)
    gaps = [gap + 0.16 * (block is not None and (place + 1) % block == 0) for place in range(len(rows) - 1)]
    margin = 0.2 if header else 0.02
    total = sum(heights) + sum(gaps) + margin + 0.02
    figure = Figure(figsize=(WIDTH, total))
    top = total - margin
    for row, height, below in zip(rows, heights, [*gaps, 0.0], strict=True):
        axes = _image_axes(figure, (left, top - height, width, height))
        _label(axes, row, size=fitting_size(row.label, label_width))
        _draw(axes, row.strip)
        top -= height + below
    if header:
        side = heights[0] / 2
        for text, x in zip(header, (left + side, WIDTH - side), strict=True):
            figure.text(x / WIDTH, 1 - 0.14 / total, text, ha="center", color=MUTED)
    return figure


def _image_axes(figure: Figure, inches: tuple[float, float, float, float]) -> Axes:
    """Axes at (left, bottom, width, height)."""
    width, height = figure.get_size_inches()
    left, bottom, across, up = inches
    axes = figure.add_axes((left / width, bottom / height, across / width, up / height))
    axes.set_axis_off()
    return axes


def _draw(axes: Axes, mosaic: Images) -> None:
    # "none" hands the pixels to the SVG as they are, instead of resampling them to the figure's resolution.
    axes.imshow(mosaic, interpolation="none", aspect="auto")


def _stored(experiment: Experiment, name: str) -> Images:
    images = experiment.images(name)
    assert images is not None
    return images


def _label(axes: Axes, row: Row, *, size: float) -> None:
    beside: dict[str, Any] = {"transform": axes.transAxes, "ha": "right"}
    where = "bottom" if row.remark else "center"
    axes.text(-0.012, 0.5, row.label, va=where, color=row.colour, fontweight="bold", fontsize=size, **beside)
    axes.text(-0.012, 0.46, row.remark, va="top", color=MUTED, fontsize=SMALL_SIZE, **beside)


def _error(experiment: Experiment) -> str:
    error = (experiment.exploration or {}).get("mse")
    return "" if error is None else f"MSE {error:.{decimals([error])}f}"


def _names(experiments: Sequence[Experiment]) -> str:
    return ", ".join(experiment.name for experiment in experiments)
