"""How well real images are reconstructed: on both splits, the best and the worst, and how long an inversion takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from latentbench.report.lines import ROW_HEIGHT, label_ends, scale_y
from latentbench.report.mosaics import names
from latentbench.report.quantities import NBSP, decimals
from latentbench.report.results import Experiment, Study
from latentbench.report.show import Drawing, Table
from latentbench.report.style import WIDTH, colour_of, house_style
from latentbench.report.tables import Column, models_table, plain, reconstructed, three_decimals
from latentbench.report.tiles import Panel, panels_figure

# Images of either kind, by how many panels stand beside one another.
_EXTREMES = {1: 6, 2: 4}
_SPLITS = {"train": "training", "test": "test"}


def reconstruction_errors(study: Study) -> Table:
    """MSE, PSNR and SSIM on training and on test images, a row per model."""
    _, notes = study.exploring()
    if not any(experiment.reconstruction(split) for experiment in study.experiments for split in _SPLITS):
        return Table(None, notes)
    columns = [
        Column(f"{title}, {name}", reconstructed(key, split), better, written)
        for title, key, better, written in (
            (f"MSE{NBSP}↓", "mse", -1, plain),
            (f"PSNR{NBSP}↑ (dB)", "psnr", 1, lambda value, _: f"{value:.1f}"),
            (f"SSIM{NBSP}↑", "ssim", 1, three_decimals),
        )
        for split, name in _SPLITS.items()
    ]
    images = Column("Test images", reconstructed("num_images"), 0, lambda value, _: f"{value:,.0f}")
    return Table(models_table(study, [images, *columns]), notes)


def best_and_worst(study: Study) -> Drawing:
    """The test images with the smallest and with the largest error, over what the model makes of them."""
    present, notes = study.exploring(
        *(f"{which}_{what}" for which in ("best", "worst") for what in ("real", "model", "errors"))
    )
    # A single image is neither.
    present = [experiment for experiment in present if len(experiment.explored["best_errors"])]
    if not present:
        return Drawing(None, notes=notes)
    across = 1 if len(present) <= 2 else 2
    with house_style():
        figure = panels_figure([_extremes(experiment, _EXTREMES[across]) for experiment in present], across=across)
    return Drawing(figure, f"The best and the worst reconstructions by {names(present)}.", notes)


def inversion_curves(study: Study) -> Drawing:
    """The error of the inversion against its steps: the median over images, and the middle half of them."""
    present, notes = study.exploring("inversion_error", facts=["inversion_steps"])
    if not present:
        return Drawing(None, notes=notes)
    with house_style():
        figure = Figure(figsize=(WIDTH, 1.2 * ROW_HEIGHT), layout="constrained")
        axes = figure.subplots()
        ends, values = [], []
        for experiment in present:
            steps = [float(step) for step in (experiment.exploration or {})["inversion_steps"]]
            low, middle, high = np.quantile(experiment.explored["inversion_error"], [0.25, 0.5, 0.75], axis=0)
            colour = colour_of(experiment.index)
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(steps, middle, color=colour)
            ends.append((experiment.name, colour, steps[-1], float(middle[-1])))
            values += [*low.tolist(), *high.tolist()]
        axes.set_xlim(0, max(end[2] for end in ends))
        axes.set_xlabel("steps")
        axes.set_ylabel("MSE")
        scale_y(axes, values)
        label_ends(axes, ends, height=ROW_HEIGHT)
    return Drawing(figure, f"Error of the inversion against its steps, by {names(present)}.", notes)


def _extremes(experiment: Experiment, number: int) -> Panel:
    """Best on the left, worst on the right, their errors over them."""
    arrays = experiment.explored
    number = min(number, *(len(arrays[f"{which}_errors"]) for which in ("best", "worst")))
    images = [
        np.concatenate([arrays[f"{which}_{what}"][:number] for which in ("best", "worst")])
        for what in ("real", "model")
    ]
    errors = np.concatenate([arrays["best_errors"][:number], arrays["worst_errors"][:number]])
    written = _written([float(error) for error in errors])
    return Panel(experiment.name, colour_of(experiment.index), np.stack(images), ("real", "model"), written, number)


def _written(errors: Sequence[float]) -> list[str]:
    """In thousandths, with two significant digits: as much as fits over an image."""
    thousandths = [1000 * error for error in errors]
    return [f"{error:.{max(decimals([error]) - 1, 0)}f}" for error in thousandths]
