"""Axes of curves, and names at the lines themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from latentbench.report.presentation.style import TALLEST, WIDTH, fitting_size, pages

_WORDS_UNDER = 0.3  # inches, under a figure's last panels
ROW_HEIGHT, _LEAST_ROW_HEIGHT = (
    2.0,
    1.4,
)  # inches, of a row of panels with its words; where there are many
NAMES_SIZE = 7.0  # points, of many names at the ends of lines
_LOG_FROM = 10  # a logarithmic axis from this ratio of largest to smallest on
_SYMLOG_FROM, _SYMLOG_DEPTH = (
    100,
    1e5,
)  # with values below zero, of the largest to those; and how far down
_PANEL_SHARE = 0.7  # of a row's height, the rest are words
_LINE_SPACING = 1.25
_TITLE_WIDTH = 1.7  # inches, beside the words at the left of one of three panels
_LEADER = 0.16  # inches, from a panel to the names right of it

SCALES = f"An axis is logarithmic where its values are positive and span a factor of {_LOG_FROM} or more."


def panels_of_curves(number: int) -> tuple[list[Figure], list[Axes]]:
    """So many panels, at most three beside one another, on as many figures as pages are needed; to be made in the
    house style."""
    columns = min(3, number)
    rows = math.ceil(number / columns)
    height = min(ROW_HEIGHT, max(_LEAST_ROW_HEIGHT, (TALLEST - _WORDS_UNDER) / rows))
    figures, panels = [], []
    for figure, run in figures_of_rows(rows, height, wspace=0.08):
        figures.append(figure)
        panels += list(figure.subplots(run.stop - run.start, columns, squeeze=False).ravel())
    for axes in panels[number:]:
        axes.set_axis_off()
    return figures, panels[:number]


def figures_of_rows(
    rows: int, height: float, *, wspace: float | None = None, hspace: float | None = None
) -> Iterator[tuple[Figure, slice]]:
    """Figures with place for so many rows of panels, each with the run of rows that it is for."""
    for run in pages(
        [height] * rows, tallest=TALLEST - _WORDS_UNDER + 1e-6
    ):  # rows that fill a page fit on it
        size = (WIDTH, _WORDS_UNDER + height * (run.stop - run.start))
        yield (
            Figure(figsize=size, layout=ConstrainedLayoutEngine(wspace=wspace, hspace=hspace)),
            run,
        )


def row_height(names: int) -> float:
    """Inches of a row of panels beside which so many names find place."""
    return max(ROW_HEIGHT, names * _LINE_SPACING * NAMES_SIZE / 72 / _PANEL_SHARE)


def name_panel(axes: Axes, name: str, color: str, *, against: str) -> None:
    """The model over its panel, and a few whole numbers along what its curves are drawn against."""
    axes.set_title(name, color=color, fontsize=fitting_size(name, _TITLE_WIDTH))
    axes.set_xlabel(against)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def spread_apart(places: Sequence[float], distance: float) -> list[float]:
    """The places moved as little as needed to lie `distance` apart in the order they had."""
    order = np.argsort(places, kind="stable")
    moved = np.asarray(places, dtype=float)[order]
    # Blocks of labels that touch share their mean place; merging them is isotonic regression.
    steps = distance * np.arange(len(moved))
    levels: list[tuple[float, int]] = []
    for level in moved - steps:
        levels.append((float(level), 1))
        while len(levels) > 1 and levels[-2][0] >= levels[-1][0]:
            (low, many), (high, more) = levels[-2:]
            levels[-2:] = [((low * many + high * more) / (many + more), many + more)]
    spaced = np.concatenate([np.full(number, level) for level, number in levels]) + steps
    result = np.empty_like(spaced)
    result[order] = spaced
    return [float(place) for place in result]


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether an axis of these values is: where positive ones span orders of magnitude."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) >= _LOG_FROM


def scale_y(axes: Axes, values: Sequence[float], *, estimates: bool = False) -> None:
    """A logarithmic axis or one that is not, with plain numbers either way.

    Of unbiased `estimates` of what cannot be negative some may be: the axis is then linear about zero, as far as they
    reach.
    """
    finite = [value for value in values if math.isfinite(value)]
    if estimates and finite and -max(finite) / _SYMLOG_FROM <= min(finite) <= 0 < max(finite):
        linear = max(-min(finite), max(finite) / _SYMLOG_DEPTH)
        axes.set_yscale("symlog", linthresh=linear)
        exponents = range(math.ceil(math.log10(linear)), math.ceil(math.log10(max(finite))))
        axes.yaxis.set_major_locator(FixedLocator([0, *(10.0**exponent for exponent in exponents)]))
        _write_plainly(axes)
        return
    if not is_logarithmic(finite):
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return
    axes.set_yscale("log")
    decades = math.log10(max(finite) / min(finite))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,), numticks=12))
    _write_plainly(axes)


def _write_plainly(axes: Axes) -> None:
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def label_ends(
    axes: Axes, ends: Sequence[tuple[str, str, float, float]], *, size: float = 8.5
) -> None:
    """Write each name right of the panel at the height of its line's end, and lead the eye there: level to the edge of
    the panel, and from there to the left of the name, so that no leader crosses another. To be called last, as it
    holds the axes to what is drawn."""
    ends = [end for end in ends if math.isfinite(end[3])]
    if not ends:
        return
    axes.autoscale_view()
    to_panel = axes.transScale + axes.transLimits
    starts = [
        to_panel.transform((x if math.isfinite(x) else axes.get_xlim()[1], y))
        for _, _, x, y in ends
    ]
    line_height = _LINE_SPACING * size / (72 * _panel_height(axes))
    places = spread_apart([float(height) for _, height in starts], line_height)
    # Many names that end low or high stay beside their own panel.
    shift = max(0.0, -min(places)) - max(0.0, max(places) - 1)
    beside = axes.transAxes + ScaledTranslation(_LEADER, 0, axes.figure.dpi_scale_trans)
    for (name, color, _, _), (along, height), place in zip(ends, starts, places, strict=True):
        thin: dict[str, Any] = {"color": color, "linewidth": 0.5, "alpha": 0.6}
        axes.add_artist(
            Line2D([min(along, 1.0), 1.0], [height, height], transform=axes.transAxes, **thin)
        )
        axes.annotate(
            name,
            xy=(1.0, height),
            xycoords=axes.transAxes,
            xytext=(1.0, place + shift),
            textcoords=beside,
            va="center",
            color=color,
            fontsize=size,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 0, **thin},
        )


def _panel_height(axes: Axes) -> float:
    """Inches, about: the layout decides when the figure is drawn."""
    place = axes.get_subplotspec()
    rows = place.get_gridspec().nrows if place else 1
    return float(_PANEL_SHARE * axes.figure.bbox.height / axes.figure.dpi / rows)
