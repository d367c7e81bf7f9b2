"""Curves of metrics and losses, labeled at the lines themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from latentbench.artifacts.metrics import Metric
from latentbench.report.presentation.formatting import NBSP, decimals, listed, written_term
from latentbench.report.presentation.line_plots import (
    NAMES_SIZE,
    SCALES,
    figures_of_rows,
    is_logarithmic,
    label_ends,
    name_panel,
    panels_of_curves,
    row_height,
    scale_y,
)
from latentbench.report.presentation.page import Drawing
from latentbench.report.presentation.style import (
    DASHES,
    MUTED,
    NAME_SIZE,
    SMALL_SIZE,
    color_of,
    dashes_of,
    house_style,
    marker_of,
)
from latentbench.report.results.study import Experiment, RunGroup, Score, Study

_MOST_FLOORS = 2
_LEAST_SHARE = 0.4  # of an axis, that the curves have beside a floor
_FEW_NAMES = 8  # at the lines' ends; more are written smaller

# What is drawn on both splits: the column of history.csv, its name, and what it is, of whom.
_ACCURACY = "accuracy"
_QUANTITIES = {
    "wasserstein": ("Wasserstein", "of a critic its estimate of the Wasserstein distance"),
    "bits_per_dimension": ("bits per dimension", "of a VAE its bound on the bits per dimension"),
    "mse": ("MSE", "of an autoencoder the squared error of pixels in [0, 1]"),
}


def metric_curves(study: Study) -> Drawing:
    """Every metric against epoch and against training time, one row per metric and dataset."""
    measured, notes = study.with_files("metrics.csv", "evaluate", lambda e: e.checkpoints)
    rows = [
        (dataset, metric, [c for c in study.run_groups(experiments) if c.score(metric.key)])
        for dataset, experiments in study.by_dataset().items()
        for metric in study.metrics
        if any(e.score(metric.key) for e in experiments)
    ]
    if not rows:
        return Drawing(None, notes=notes or ["No metric was measured."])
    unit, unit_name = _time_unit(measured)
    height = max(row_height(len(run_groups) + _MOST_FLOORS) for _, _, run_groups in rows)
    drawn = []
    with house_style():
        for figure, run in figures_of_rows(len(rows), height, wspace=0.05, hspace=0.06):
            grid = figure.subplots(run.stop - run.start, 2, sharey="row", squeeze=False)
            for (dataset, metric, run_groups), (by_epoch, by_time) in zip(
                rows[run], grid, strict=True
            ):
                _metric_row(by_epoch, by_time, metric, run_groups, seconds_per_unit=unit)
                where = f", {dataset}" if len(study.by_dataset()) > 1 else ""
                by_epoch.set_title(f"{metric.name}{where}")
            for axes, label in zip(
                grid[-1], ("epoch", f"training time ({unit_name})"), strict=True
            ):
                axes.set_xlabel(label)
            drawn.append(figure)
    names = ", ".join(dict.fromkeys(metric.name for _, metric, _ in rows))
    number = len(study.run_groups(measured))
    described = f"Curves of {names} of {number} models, against epoch on the left, training time on the right."
    return Drawing(drawn[0], described, notes, drawn[1:])


@dataclass(frozen=True)
class Line:
    """A column of history.csv, what is written at its end, and what its values are multiplied by."""

    column: str
    label: str
    factor: float = 1.0


def sample_size_curves(study: Study) -> Drawing:
    """The Fréchet distance of fewer and fewer samples, against 1 over their number, a panel per dataset."""
    measured, notes = study.with_files("metrics.json", "evaluate", lambda e: e.metrics)
    groups = [
        (dataset, metric, [e for e in experiments if e in measured and e.sample_sizes(metric.key)])
        for dataset, experiments in study.by_dataset().items()
        for metric in study.metrics
    ]
    panels = [group for group in groups if group[2]]
    if not panels:
        return Drawing(None, notes=notes)
    height = max(1.3 * row_height(len(experiments)) for _, _, experiments in panels)
    drawn = []
    with house_style():
        for figure, run in figures_of_rows(len(panels), height):
            shown = panels[run]
            for (dataset, metric, experiments), axes in zip(
                shown, figure.subplots(len(shown), 1, squeeze=False).ravel(), strict=True
            ):
                _sample_size_panel(axes, metric, experiments)
                axes.set_title(
                    metric.name + (f", {dataset}" if len(study.by_dataset()) > 1 else "")
                )
            axes.set_xlabel("number of samples, at distances of 1 over it")
            drawn.append(figure)
    described = f"Fréchet distance against 1 over the number of samples, of {len(measured)} models."
    return Drawing(drawn[0], described, notes, drawn[1:])


def loss_curves(study: Study) -> Drawing:
    """Every term of each model's loss, a panel per model: their scales cannot be compared."""
    return _history_panels(study, "Loss terms", _loss_lines)


def split_curves(study: Study) -> Drawing:
    """The same quantity on training and on test images, a panel per model."""
    return _history_panels(study, "Quantities on both splits", _split_lines)


def split_caption(study: Study) -> str:
    """What the curves are, of the kinds of models that the study has."""
    chosen = [_split_lines(experiment) for experiment in study.experiments if experiment.history]
    drawn = dict(sorted(chosen, key=lambda pair: len(pair[1])))
    told = [told for written, told in _QUANTITIES.values() if written in drawn]
    if _ACCURACY in drawn:
        told.insert(0, "of a discriminator the share of images that it takes for what they are")
    if not told:
        return ""
    kinds = ["training images (solid)", "test images (dashed)"]
    kinds += ["generated images (dotted)"] * (len(drawn.get(_ACCURACY, ())) > 2)
    return (
        f"After each epoch, in inference mode and on up to 1,000 images each, on {listed(kinds)}: {listed(told)}. A "
        f"training curve that leaves that of test images says that training images are known by heart. {SCALES}"
    )


def gradient_curves(study: Study) -> Drawing:
    """The norm of each network's gradient, a panel per model."""
    return _history_panels(study, "Gradient norms", _gradient_lines)


def _loss_lines(experiment: Experiment) -> tuple[str, list[Line]]:
    return "", [Line(term, written_term(term)) for term in experiment.loss_terms]


def _split_lines(experiment: Experiment) -> tuple[str, list[Line]]:
    """Of a discriminator its accuracy, of a critic its estimate, else the bound or the error."""
    columns = experiment.history[0]
    if "test_accuracy_real" in columns:
        generated = (
            [Line("test_accuracy_fake", "generated")] if "test_accuracy_fake" in columns else []
        )
        return _ACCURACY, [
            Line("train_accuracy_real", "training"),
            Line("test_accuracy_real", "test"),
            *generated,
        ]
    for name, (written, _) in _QUANTITIES.items():
        if f"test_{name}" in columns:
            # Networks see pixels in [-1, 1]; everywhere else errors are of pixels in [0, 1].
            factor = 0.25 if name == "mse" else 1.0
            return written, [
                Line(f"train_{name}", "training", factor),
                Line(f"test_{name}", "test", factor),
            ]
    return "", []


def _gradient_lines(experiment: Experiment) -> tuple[str, list[Line]]:
    columns = [column for column in experiment.history[0] if column.endswith("gradient")]
    return "", [
        Line(column, column.removesuffix("gradient").rstrip("_") or "all weights")
        for column in columns
    ]


def _history_panels(
    study: Study, what: str, choose: Callable[[Experiment], tuple[str, list[Line]]]
) -> Drawing:
    """Lines of history.csv against the epoch, a panel per model; `choose` also says what they measure, if not all the
    same does."""
    trained, notes = study.with_files("history.csv", "train", lambda e: e.history)
    panels = [(experiment, *choose(experiment)) for experiment in trained]
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return Drawing(None, notes=notes)
    with house_style():
        (figure, *others), grid = panels_of_curves(len(panels))
        for (experiment, quantity, lines), axes in zip(panels, grid, strict=True):
            _history_panel(axes, experiment, quantity, lines)
    return Drawing(
        figure, f"{what} against epoch, a panel for each of {len(panels)} models.", notes, others
    )


def _metric_row(
    by_epoch: Axes,
    by_time: Axes,
    metric: Metric,
    run_groups: Sequence[RunGroup],
    *,
    seconds_per_unit: float,
) -> None:
    """Names stand at the curves against the epoch, which mostly end together."""
    ends = []
    for run_group in run_groups:
        color = color_of(run_group.index)
        scores = [checkpoint.scores[metric.key] for checkpoint in run_group.checkpoints]
        epochs = [float(checkpoint.epoch) for checkpoint in run_group.checkpoints]
        times = [
            (checkpoint.seconds or math.nan) / seconds_per_unit
            for checkpoint in run_group.checkpoints
        ]
        for axes, places in ((by_epoch, epochs), (by_time, times)):
            _curve(axes, places, scores, run_group.index)
        ends.append((run_group.name, color, epochs[-1], scores[-1].mean))
    for axes in (by_epoch, by_time):
        axes.set_xlim(left=0)
    by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True))
    floors = _floors(metric, [e for run_group in run_groups for e in run_group.members])
    measured = [
        checkpoint.scores[metric.key].mean for c in run_groups for checkpoint in c.checkpoints
    ]
    levels = [floor for _, _, floor in floors]
    if not _leave_room(measured, levels):
        told = ", ".join(f"{name} {floor:.{decimals([floor])}f}" for name, _, floor in floors)
        by_epoch.set_ymargin(0.15)
        where: dict[str, Any] = {
            "transform": by_epoch.transAxes,
            "color": MUTED,
            "fontsize": SMALL_SIZE,
        }
        by_epoch.text(
            0.02, 0.02, f"\N{DOWNWARDS ARROW}{NBSP}{told}".replace("-", "\N{MINUS SIGN}"), **where
        )
        floors = []
    for name, dashes, floor in floors:
        for axes in (by_epoch, by_time):
            axes.axhline(floor, color=MUTED, linewidth=1, linestyle=dashes)
        ends.append((name, MUTED, math.nan, floor))
    scale_y(by_time, measured, estimates=True)
    label_ends(by_epoch, ends, size=NAME_SIZE if len(ends) <= _FEW_NAMES else NAMES_SIZE)


def _leave_room(values: Sequence[float], floors: Sequence[float]) -> bool:
    """Whether an axis that is scaled for the values, and reaches down to the floors, is still mostly the values'."""
    finite = [value for value in values if math.isfinite(value)]
    low, high, floor = min(finite), max(finite), min(floors, default=math.inf)
    if floor >= low:
        return True
    if not is_logarithmic(finite):
        return high - low >= _LEAST_SHARE * (high - floor)
    return floor > 0 and math.log(high / low) >= _LEAST_SHARE * math.log(high / floor)


def _floors(metric: Metric, experiments: Sequence[Experiment]) -> list[tuple[str, Any, float]]:
    """What real images score, with its name and dashes: those no model saw, and one half of the training images
    against the other."""
    unseen = [
        ("real images", (0, (4, 3)), e.floor[metric.key])
        for e in experiments
        if metric.key in e.floor
    ]
    halves = [
        ("two halves", (0, (1, 2)), e.halves[metric.key])
        for e in experiments
        if metric.key in e.halves
    ]
    return [*unseen[:1], *halves[:1]]


def _sample_size_panel(axes: Axes, metric: Metric, experiments: Sequence[Experiment]) -> None:
    ends, values = [], []
    for experiment in experiments:
        found = experiment.sample_sizes(metric.key)
        places = [1 / number for number in found["num_samples"]]
        color = color_of(experiment.index)
        axes.plot(
            places,
            found["distances"],
            color=color,
            marker=marker_of(experiment.index),
            linestyle="none",
        )
        # The line that was fitted runs through the intercept and, as all least-squares lines, the mean of the points.
        slope = (np.mean(found["distances"]) - found["infinite"]) / np.mean(places)
        reach = np.linspace(0, max(places), 50)
        line = found["infinite"] + slope * reach
        axes.plot(reach, line, color=color, linewidth=1, linestyle=dashes_of(experiment.index))
        ends.append((experiment.name, color, places[0], found["distances"][0]))
        values += [*found["distances"], found["infinite"]]
    numbers = sorted(experiments[0].sample_sizes(metric.key)["num_samples"], reverse=True)
    shown = [numbers[0] // 2**times for times in range(3) if numbers[0] // 2**times >= min(numbers)]
    axes.set_xlim(left=0)
    axes.set_xticks(
        [0, *(1 / number for number in shown)], ["∞", *(f"{number:,}" for number in shown)]
    )
    scale_y(axes, values)
    label_ends(axes, ends, size=NAME_SIZE if len(ends) <= _FEW_NAMES else NAMES_SIZE)


def _curve(axes: Axes, places: Sequence[float], scores: Sequence[Score], index: int) -> None:
    means, spreads = [score.mean for score in scores], [score.std or 0 for score in scores]
    color = color_of(index)
    style: dict[str, Any] = {
        "color": color,
        "marker": marker_of(index),
        "linestyle": dashes_of(index),
    }
    axes.errorbar(places, means, yerr=spreads, elinewidth=1, **style)


def _history_panel(
    axes: Axes, experiment: Experiment, quantity: str, lines: Sequence[Line]
) -> None:
    epochs = [row["epoch"] for row in experiment.history]
    ends = []
    drawn = []
    for line, dashes in zip(lines, DASHES * 3, strict=False):
        values = [line.factor * row[line.column] for row in experiment.history]
        axes.plot(
            epochs,
            values,
            color=color_of(experiment.index),
            linestyle=dashes,
            clip_on=quantity != _ACCURACY,
        )
        finite = [point for point in zip(epochs, values, strict=True) if math.isfinite(point[1])]
        if finite:
            ends.append((line.label, MUTED, *finite[-1]))
        drawn += values
    name_panel(axes, experiment.name, color_of(experiment.index), against="epoch")
    axes.set_ylabel(quantity)
    scale_y(axes, drawn)
    if quantity == _ACCURACY:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0.0), min(high, 1.0))
    label_ends(axes, ends, size=NAMES_SIZE)


def _time_unit(experiments: Sequence[Experiment]) -> tuple[float, str]:
    longest = max((c.seconds or 0 for e in experiments for c in e.checkpoints), default=0)
    return next(
        (unit, name)
        for unit, name in ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
        if longest >= 3 * unit or unit == 1
    )
