"""Axes of curves, and names at the ends of the curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation
from scipy.optimize import isotonic_regression

from latentbench.report.presentation import style

# Inches.
ROW_HEIGHT = 2.0  # of a row of panels with its text
_MIN_ROW_HEIGHT = 1.4  # where there are many rows
_FOOTER = 0.3  # text below the last panels of a figure
_TITLE_WIDTH = 1.7  # of a name over one of three panels
_LEADER = 0.16  # from a panel to the names at its right

NAMES_SIZE = 7.0  # points, of many names at the ends of curves
_MANY_NAMES = 9
_LINE_SPACING = 1.25
_PANEL_FRACTION = 0.7  # of a row's height; the rest is text

_LOG_FROM = 10  # ratio of largest to smallest value from which an axis is logarithmic
_SYMLOG_FROM = 100  # the same with values below zero: ratio of the largest to these
_SYMLOG_DEPTH = 1e5  # ratio of the largest value to the end of the linear part

SCALES = (
    "An axis is logarithmic where its values are positive and span a factor of "
    f"{_LOG_FROM} or more."
)


def panels_of_curves(number: int) -> tuple[list[Figure], list[Axes]]:
    """Return panels, at most three in a row, on as many figures as pages are needed."""
    columns = min(3, number)
    rows = math.ceil(number / columns)
    height = min(ROW_HEIGHT, max(_MIN_ROW_HEIGHT, (style.TALLEST - _FOOTER) / rows))
    figures, grid = rows_of_panels(rows, height, [""] * columns, wspace=0.08)
    panels = list(chain.from_iterable(grid))
    for axes in panels[number:]:
        axes.set_axis_off()
    return figures, panels[:number]


def rows_of_panels(
    rows: int,
    height: float,
    labels: Sequence[str],
    *,
    wspace: float | None = None,
    hspace: float | None = None,
) -> tuple[list[Figure], list[Sequence[Axes]]]:
    """Return rows of panels, each `height` inches, on as many figures as pages are needed.

    `labels` are those of the x axes, a column each; they stand at the last row of each figure.
    """
    figures: list[Figure] = []
    grid: list[Sequence[Axes]] = []
    # The tolerance lets rows that fill a page exactly fit on it.
    for run in style.pages([height] * rows, tallest=style.TALLEST - _FOOTER + 1e-6):
        on_page = run.stop - run.start
        size = (style.WIDTH, _FOOTER + height * on_page)
        layout = ConstrainedLayoutEngine(wspace=wspace, hspace=hspace)
        figures.append(Figure(figsize=size, layout=layout))
        grid += list(figures[-1].subplots(on_page, len(labels), squeeze=False))
        for axes, label in zip(grid[-1], labels, strict=True):
            axes.set_xlabel(label)
    return figures, grid


def row_height(names: int) -> float:
    """Return the height in inches of a row of panels with so many names at its right."""
    return max(ROW_HEIGHT, names * _LINE_SPACING * NAMES_SIZE / 72 / _PANEL_FRACTION)


def name_panel(axes: Axes, name: str, color: str, *, against: str) -> None:
    """Set a model's name as title, and the label and few whole ticks of the x axis."""
    axes.set_title(name, color=color, fontsize=style.fitting_size(name, _TITLE_WIDTH))
    axes.set_xlabel(against)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def spread_apart(positions: Sequence[float], distance: float) -> list[float]:
    """Return positions in the same order, at least `distance` apart, moved as little as possible.

    This is isotonic regression of the positions less the distances.
    """
    order = np.argsort(positions, kind="stable")
    steps = distance * np.arange(len(order))
    spread = np.empty(len(order))
    spread[order] = isotonic_regression(np.asarray(positions, float)[order] - steps).x + steps
    return spread.tolist()


def finite(values: Sequence[float]) -> list[float]:
    """Return the values that are neither NaN nor infinite."""
    return [value for value in values if math.isfinite(value)]


def is_logarithmic(values: Sequence[float]) -> bool:
    """Return whether the values are positive and span a factor of ten or more."""
    known = finite(values)
    return bool(known) and min(known) > 0 and max(known) / min(known) >= _LOG_FROM


def scale_y(axes: Axes, values: Sequence[float], *, estimates: bool = False) -> None:
    """Set a linear or a logarithmic axis with plain numbers.

    Unbiased `estimates` of a quantity that cannot be negative may be negative; the axis is then
    linear around zero, as far as they reach.
    """
    known = finite(values)
    if estimates and known and -max(known) / _SYMLOG_FROM <= min(known) <= 0 < max(known):
        linear = max(-min(known), max(known) / _SYMLOG_DEPTH)
        axes.set_yscale("symlog", linthresh=linear)
        exponents = range(math.ceil(math.log10(linear)), math.ceil(math.log10(max(known))))
        axes.yaxis.set_major_locator(FixedLocator([0, *(10.0**exponent for exponent in exponents)]))
    elif is_logarithmic(known):
        axes.set_yscale("log")
        decades = math.log10(max(known) / min(known))
        ticks = (1, 2, 5) if decades < 2 else (1,)
        axes.yaxis.set_major_locator(LogLocator(subs=ticks, numticks=12))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def label_ends(
    axes: Axes, ends: Sequence[tuple[str, str, float, float]], *, size: float | None = None
) -> None:
    """Write a name at the right of the panel for each end of a curve: name, color, x and y.

    A leader runs level to the edge of the panel and from there to the name; leaders do not cross.
    Call this last: it fixes the limits of the axes.
    """
    size = size or (style.NAME_SIZE if len(ends) < _MANY_NAMES else NAMES_SIZE)
    ends = [end for end in ends if math.isfinite(end[3])]
    if not ends:
        return
    axes.autoscale_view()
    to_panel = axes.transScale + axes.transLimits
    starts = []
    for _, _, x, y in ends:
        starts.append(to_panel.transform((x if math.isfinite(x) else axes.get_xlim()[1], y)))
    line_height = _LINE_SPACING * size / (72 * _panel_height(axes))
    places = spread_apart([float(height) for _, height in starts], line_height)
    # Many names that end low or high stay within the height of their own panel.
    shift = max(0.0, -min(places)) - max(0.0, max(places) - 1)
    right = axes.transAxes + ScaledTranslation(_LEADER, 0, axes.figure.dpi_scale_trans)
    for (name, color, _, _), (along, height), place in zip(ends, starts, places, strict=True):
        thin: dict[str, Any] = {"color": color, "linewidth": 0.5, "alpha": 0.6}
        xs, ys = [min(along, 1.0), 1.0], [height, height]
        axes.add_artist(Line2D(xs, ys, transform=axes.transAxes, **thin))
        leader = {"arrowstyle": "-", "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 0, **thin}
        points: dict[str, Any] = {"xy": (1.0, height), "xycoords": axes.transAxes}
        points |= {"xytext": (1.0, place + shift), "textcoords": right}
        text = axes.annotate(name, **points, arrowprops=leader, annotation_clip=False)
        text.set(va="center", color=color, fontsize=size)


def _panel_height(axes: Axes) -> float:
    """Return an estimate in inches: the layout is decided when the figure is drawn."""
    place = axes.get_subplotspec()
    rows = place.get_gridspec().nrows if place else 1
    return float(_PANEL_FRACTION * axes.figure.bbox.height / axes.figure.dpi / rows)
