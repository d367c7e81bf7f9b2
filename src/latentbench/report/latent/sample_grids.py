"""Images of the models beside real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from latentbench.report.presentation.formatting import decimals
from latentbench.report.presentation.image_grids import (
    APART,
    TITLE_HEIGHT,
    Images,
    Row,
    draw,
    image_axes,
    rows_figures,
    strip,
    tile,
)
from latentbench.report.presentation.page import Drawing
from latentbench.report.presentation.style import (
    MUTED,
    TALLEST,
    WIDTH,
    color_of,
    fitting_size,
    house_style,
    pages,
)
from latentbench.results.study import Experiment, Study

_MOST_SAMPLES = 36
_ACROSS = (3, 4, 5)  # models' squares beside one another: the fewest that need one page
_MOST_RECONSTRUCTIONS = 12
_MOST_TOGETHER = 12  # models under the same real images


def samples(study: Study) -> Drawing:
    """A square of samples per model; the same place holds the same latent vector's image."""
    present, notes = study.with_latent("samples")
    if not present:
        return Drawing(None, notes=notes)
    groups = rows_by_dataset(study, present)
    most = max(map(len, groups))
    columns = next(
        (
            number
            for number in _ACROSS
            if number <= most and _squares_height(groups, number) <= TALLEST
        ),
        min(most, _ACROSS[-1]),
    )
    lines = [
        group[start : start + columns]
        for group in groups
        for start in range(0, len(group), columns)
    ]
    side = _squares_side(columns)
    with house_style():
        figure, *others = (
            _squares_figure(lines[run], side) for run in pages([side + TITLE_HEIGHT] * len(lines))
        )
    return Drawing(figure, f"Grids of generated images: {names(present)}.", notes, others)


def reconstructions(study: Study) -> Drawing:
    """Rows of images: the real ones, and under them what each model makes of them."""
    present, notes = study.with_latent("reconstruction_real", "reconstruction_decoded")
    if not present:
        return Drawing(None, notes=notes)
    groups: list[list[Row]] = []
    above = None
    for experiment in present:
        real = experiment.explored["reconstruction_real"][:_MOST_RECONSTRUCTIONS]
        # Models of one dataset are shown the same pictures, which then stand there once.
        if above is None or not np.array_equal(above, real) or len(groups[-1]) > _MOST_TOGETHER:
            groups.append([Row("real", MUTED, strip(real))])
            above = real
        model = experiment.explored["reconstruction_decoded"][:_MOST_RECONSTRUCTIONS]
        groups[-1].append(
            Row(experiment.name, color_of(experiment.index), strip(model), _error(experiment))
        )
    with house_style():
        figure, *others = rows_figures(groups)
    return Drawing(
        figure,
        f"Real images, and under them the reconstructions by {names(present)}.",
        notes,
        others,
    )


def rows_by_dataset(study: Study, experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    """Those of one dataset together; all in one, where no two have the same."""
    groups = list(study.by_dataset(experiments).values())
    return groups if max(map(len, groups)) > 1 else [list(experiments)]


def names(experiments: Sequence[Experiment]) -> str:
    return ", ".join(experiment.name for experiment in experiments)


def _squares_side(columns: int) -> float:
    """Inches of a model's square, of so many beside one another, or of two: one alone does not get larger."""
    across = max(columns, 2)
    return (WIDTH - (across - 1) * APART) / across


def _squares_height(groups: Sequence[Sequence[Experiment]], columns: int) -> float:
    lines = sum(math.ceil(len(group) / columns) for group in groups)
    return lines * (_squares_side(columns) + TITLE_HEIGHT)


def _squares_figure(lines: Sequence[Sequence[Experiment]], side: float) -> Figure:
    figure = Figure(figsize=(WIDTH, len(lines) * (side + TITLE_HEIGHT)))
    for row, line in enumerate(lines):
        bottom = (len(lines) - row - 1) * (side + TITLE_HEIGHT)
        for column, experiment in enumerate(line):
            axes = image_axes(figure, (column * (side + APART), bottom, side, side))
            size = fitting_size(experiment.name, 0.97 * side)
            axes.set_title(experiment.name, color=color_of(experiment.index), pad=4, fontsize=size)
            draw(axes, _square(experiment.explored["samples"]))
    return figure


def _square(images: Images) -> Images:
    columns = max(1, math.isqrt(min(len(images), _MOST_SAMPLES)))
    return tile(images[: columns**2], columns)


def _error(experiment: Experiment) -> str:
    error = experiment.reconstruction("test").get("mse")
    return "" if error is None else f"MSE {error:.{decimals([error])}f}"
