"""Curves of metrics and losses, labelled at the lines themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from latentbench.report.lines import DASHES, ROW_HEIGHT, label_ends, name_panel, panels_of_curves, scale_y
from latentbench.report.quantities import written_term
from latentbench.report.results import Contender, Experiment, Metric, Score, Study
from latentbench.report.show import Drawing
from latentbench.report.style import MUTED, WIDTH, colour_of, house_style, marker_of


def metric_curves(study: Study) -> Drawing:
    """Every metric against epoch and against training time, one row per metric and dataset."""
    measured, notes = study.having("metrics.csv", "evaluate", lambda e: e.checkpoints)
    rows = [
        (dataset, metric, [c for c in study.contenders(experiments) if c.score(metric.key)])
        for dataset, experiments in study.by_dataset().items()
        for metric in study.metrics
        if any(e.score(metric.key) for e in experiments)
    ]
    if not rows:
        return Drawing(None, notes=notes or ["No metric was measured."])
    with house_style():
        layout = ConstrainedLayoutEngine(wspace=0.05, hspace=0.06)
        figure = Figure(figsize=(WIDTH, 0.3 + ROW_HEIGHT * len(rows)), layout=layout)
        grid = figure.subplots(len(rows), 2, sharey="row", squeeze=False)
        for (dataset, metric, contenders), (by_epoch, by_time) in zip(rows, grid, strict=True):
            _metric_row(by_epoch, by_time, metric, contenders)
            where = f", {dataset}" if len(study.by_dataset()) > 1 else ""
            by_epoch.set_title(f"{metric.name}{where}")
        for axes, label in zip(grid[-1], ("epoch", _time_label(measured)), strict=True):
            axes.set_xlabel(label)
    names = ", ".join(dict.fromkeys(metric.name for _, metric, _ in rows))
    number = len(study.contenders(measured))
    described = f"Curves of {names} of {number} models, against epoch on the left, training time on the right."
    return Drawing(figure, described, notes)


@dataclass(frozen=True)
class Line:
    """A column of history.csv and what is written at its end."""

    column: str
    label: str


def sample_size_curves(study: Study) -> Drawing:
    """The Fréchet distance of fewer and fewer samples, against 1 over their number, a panel per dataset."""
    measured, notes = study.having("metrics.json", "evaluate", lambda e: e.metrics)
    groups = [
        (dataset, metric, [e for e in experiments if e in measured and e.sample_sizes(metric.key)])
        for dataset, experiments in study.by_dataset().items()
        for metric in study.metrics
    ]
    panels = [group for group in groups if group[2]]
    if not panels:
        return Drawing(None, notes=notes)
    with house_style():
        figure = Figure(figsize=(WIDTH, 0.3 + 1.3 * ROW_HEIGHT * len(panels)), layout="constrained")
        grid = figure.subplots(len(panels), 1, squeeze=False).ravel()
        for (dataset, metric, experiments), axes in zip(panels, grid, strict=True):
            _sample_size_panel(axes, metric, experiments)
            axes.set_title(metric.name + (f", {dataset}" if len(study.by_dataset()) > 1 else ""))
        grid[-1].set_xlabel("number of samples")
    return Drawing(figure, f"Fréchet distance against 1 over the number of samples, of {len(measured)} models.", notes)


def loss_curves(study: Study) -> Drawing:
    """Every term of each model's loss, a panel per model: their scales cannot be compared."""
    return _history_panels(study, "Loss terms", _loss_lines)


def split_curves(study: Study) -> Drawing:
    """The same quantity on training and on test images, a panel per model."""
    return _history_panels(study, "Quantities on both splits", _split_lines)


def gradient_curves(study: Study) -> Drawing:
    """The norm of each network's gradient, a panel per model."""
    return _history_panels(study, "Gradient norms", _gradient_lines)


def _loss_lines(experiment: Experiment) -> tuple[str, list[Line]]:
    return "", [Line(term, written_term(term)) for term in experiment.loss_terms]


def _split_lines(experiment: Experiment) -> tuple[str, list[Line]]:
    """Of a discriminator its accuracy, of a critic its estimate, else the bound or the error."""
    columns = experiment.history[0]
    if "test_accuracy_real" in columns:
        generated = [Line("test_accuracy_fake", "generated")] if "test_accuracy_fake" in columns else []
        return "accuracy", [Line("train_accuracy_real", "training"), Line("test_accuracy_real", "test"), *generated]
    quantities = {"wasserstein": "Wasserstein", "bits_per_dimension": "bits per dimension", "mse": "MSE"}
    for name, written in quantities.items():
        if f"test_{name}" in columns:
            return written, [Line(f"train_{name}", "training"), Line(f"test_{name}", "test")]
    return "", []


def _gradient_lines(experiment: Experiment) -> tuple[str, list[Line]]:
    columns = [column for column in experiment.history[0] if column.endswith("gradient")]
    return "", [Line(column, column.removesuffix("gradient").rstrip("_") or "all weights") for column in columns]


def _history_panels(study: Study, what: str, choose: Callable[[Experiment], tuple[str, list[Line]]]) -> Drawing:
    """Lines of history.csv against the epoch, a panel per model; `choose` also says what they measure, if not all the
    same does."""
    trained, notes = study.having("history.csv", "train", lambda e: e.history)
    panels = [(experiment, *choose(experiment)) for experiment in trained]
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return Drawing(None, notes=notes)
    with house_style():
        figure, grid = panels_of_curves(len(panels))
        for (experiment, quantity, lines), axes in zip(panels, grid, strict=True):
            _history_panel(axes, experiment, quantity, lines)
    return Drawing(figure, f"{what} against epoch, a panel for each of {len(panels)} models.", notes)


def _metric_row(by_epoch: Axes, by_time: Axes, metric: Metric, contenders: Sequence[Contender]) -> None:
    seconds_per_unit, _ = _time_unit(contenders)
    ends = []
    for contender in contenders:
        colour = colour_of(contender.index)
        scores = [checkpoint.scores[metric.key] for checkpoint in contender.checkpoints]
        epochs = [float(checkpoint.epoch) for checkpoint in contender.checkpoints]
        times = [(checkpoint.seconds or math.nan) / seconds_per_unit for checkpoint in contender.checkpoints]
        for axes, places in ((by_epoch, epochs), (by_time, times)):
            _curve(axes, places, scores, contender.index)
        ends.append((contender.name, colour, times[-1], scores[-1].mean))
    for axes in (by_epoch, by_time):
        axes.set_xlim(left=0)
    by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True))
    floors = _floors(metric, [e for contender in contenders for e in contender.members])
    for name, dashes, floor in floors:
        for axes in (by_epoch, by_time):
            axes.axhline(floor, color=MUTED, linewidth=1, linestyle=dashes)
        ends.append((name, MUTED, by_time.get_xlim()[1], floor))
    measured = [checkpoint.scores[metric.key].mean for c in contenders for checkpoint in c.checkpoints]
    scale_y(by_time, [*measured, *(floor for _, _, floor in floors)], estimates=True)
    label_ends(by_time, ends)


def _floors(metric: Metric, experiments: Sequence[Experiment]) -> list[tuple[str, Any, float]]:
    """What real images score, with its name and dashes: those no model saw, and one half of the training images
    against the other."""
    unseen = [("real images", (0, (4, 3)), e.floor[metric.key]) for e in experiments if metric.key in e.floor]
    halves = [("two halves", (0, (1, 2)), e.halves[metric.key]) for e in experiments if metric.key in e.halves]
    return [*unseen[:1], *halves[:1]]


def _sample_size_panel(axes: Axes, metric: Metric, experiments: Sequence[Experiment]) -> None:
    ends, values = [], []
    for experiment in experiments:
        found = experiment.sample_sizes(metric.key)
        places = [1 / number for number in found["num_samples"]]
        colour = colour_of(experiment.index)
        axes.plot(places, found["distances"], color=colour, marker=marker_of(experiment.index), linestyle="none")
        # The line that was fitted runs through the intercept and, as all least-squares lines, the mean of the points.
        slope = (np.mean(found["distances"]) - found["infinite"]) / np.mean(places)
        reach = np.linspace(0, max(places), 50)
        axes.plot(reach, found["infinite"] + slope * reach, color=colour, linewidth=1)
        ends.append((experiment.name, colour, places[0], found["distances"][0]))
        values += [*found["distances"], found["infinite"]]
    numbers = experiments[0].sample_sizes(metric.key)["num_samples"]
    shown = [numbers[0], numbers[len(numbers) // 3], numbers[-1]]
    axes.set_xlim(left=0)
    axes.set_xticks([0, *(1 / number for number in shown)], ["∞", *(f"{number:,}" for number in shown)])
    scale_y(axes, values)
    label_ends(axes, ends)


def _curve(axes: Axes, places: Sequence[float], scores: Sequence[Score], index: int) -> None:
    means, spreads = [score.mean for score in scores], [score.std or 0 for score in scores]
    colour = colour_of(index)
    axes.errorbar(places, means, yerr=spreads, color=colour, marker=marker_of(index), elinewidth=1)


def _history_panel(axes: Axes, experiment: Experiment, quantity: str, lines: Sequence[Line]) -> None:
    epochs = [row["epoch"] for row in experiment.history]
    ends = []
    for line, dashes in zip(lines, DASHES * 3, strict=False):
        values = [row[line.column] for row in experiment.history]
        axes.plot(epochs, values, color=colour_of(experiment.index), linestyle=dashes)
        finite = [point for point in zip(epochs, values, strict=True) if math.isfinite(point[1])]
        if finite:
            ends.append((line.label, MUTED, *finite[-1]))
    name_panel(axes, experiment.name, colour_of(experiment.index), against="epoch")
    axes.set_ylabel(quantity)
    scale_y(axes, [row[line.column] for row in experiment.history for line in lines])
    label_ends(axes, ends, size=7)


def _time_unit(experiments: Sequence[Experiment | Contender]) -> tuple[float, str]:
    longest = max((c.seconds or 0 for e in experiments for c in e.checkpoints), default=0)
    return next(
        (unit, name)
        for unit, name in ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
        if longest >= 3 * unit or unit == 1
    )


def _time_label(experiments: Sequence[Experiment]) -> str:
    return f"training time ({_time_unit(experiments)[1]})"
