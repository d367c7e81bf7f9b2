"""Images of the models beside real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from latentbench.report.quantities import decimals
from latentbench.report.results import Experiment, Study
from latentbench.report.show import Drawing
from latentbench.report.style import MUTED, WIDTH, colour_of, fitting_size, house_style
from latentbench.report.tiles import APART, TITLE_HEIGHT, Images, Row, draw, image_axes, rows_figure, strip, tile

_MOST_SAMPLES = 36
_MOST_RECONSTRUCTIONS = 12


def samples(study: Study) -> Drawing:
    """A square of samples per model; the same place holds the same latent vector's image."""
    present, notes = study.exploring("samples")
    if not present:
        return Drawing(None, notes=notes)
    columns = min(3, len(present))
    rows = math.ceil(len(present) / columns)
    across = max(columns, 2)
    side = (WIDTH - (across - 1) * APART) / across
    with house_style():
        figure = Figure(figsize=(WIDTH, rows * (side + TITLE_HEIGHT)))
        for place, experiment in enumerate(present):
            row, column = divmod(place, columns)
            bottom = (rows - row - 1) * (side + TITLE_HEIGHT)
            axes = image_axes(figure, (column * (side + APART), bottom, side, side))
            size = fitting_size(experiment.name, side)
            axes.set_title(experiment.name, color=colour_of(experiment.index), pad=4, fontsize=size)
            draw(axes, _square(experiment.explored["samples"]))
    return Drawing(figure, f"Grids of generated images: {names(present)}.", notes)


def reconstructions(study: Study) -> Drawing:
    """Rows of images: the real ones, and under them what each model makes of them."""
    present, notes = study.exploring("reconstruction_real", "reconstruction_model")
    if not present:
        return Drawing(None, notes=notes)
    rows: list[Row] = []
    above = None
    for experiment in present:
        real = experiment.explored["reconstruction_real"][:_MOST_RECONSTRUCTIONS]
        # Models of one dataset are shown the same pictures, which then stand there once.
        if above is None or not np.array_equal(above, real):
            rows.append(Row("real", MUTED, strip(real)))
            above = real
        model = experiment.explored["reconstruction_model"][:_MOST_RECONSTRUCTIONS]
        rows.append(Row(experiment.name, colour_of(experiment.index), strip(model), _error(experiment)))
    with house_style():
        figure = rows_figure(rows)
    return Drawing(figure, f"Real images, and under them the reconstructions by {names(present)}.", notes)


def names(experiments: Sequence[Experiment]) -> str:
    return ", ".join(experiment.name for experiment in experiments)


def _square(images: Images) -> Images:
    columns = max(1, math.isqrt(min(len(images), _MOST_SAMPLES)))
    return tile(images[: columns**2], columns)


def _error(experiment: Experiment) -> str:
    error = experiment.reconstruction("test").get("mse")
    return "" if error is None else f"MSE {error:.{decimals([error])}f}"
