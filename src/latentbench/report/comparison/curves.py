"""Curves of the metrics: over training, and over the number of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from latentbench.artifacts.metrics import Metric
from latentbench.report.presentation import line_plots, page, style
from latentbench.results import Experiment, RunGroup, Study
from latentbench.results.formatting import NBSP, decimals
from latentbench.results.ranking import by_prior, score, scores_of
from latentbench.results.tables import distance

_MAX_FLOORS = 2
_STANDARD_OPACITY = 0.6  # of curves of samples from N(0, I) where another prior was fitted
_MIN_CURVES_SHARE = 0.4  # of the height of a panel; the rest may be empty above a floor


@dataclass(frozen=True)
class _Floor:
    """A distance of real images; `std` is 0 where it is unknown."""

    name: str
    dashes: Any
    opacity: float
    mean: float
    std: float

    @property
    def text(self) -> str:
        """The name and the number, the standard deviation with two digits: `0.259 ± 0.047`."""
        if not self.std:
            return f"{self.name} {self.mean:.{decimals([self.mean])}f}"
        places = max(decimals([self.std]) - 1, 0)
        return f"{self.name} {self.mean:.{places}f} ± {self.std:.{places}f}"


@dataclass(frozen=True)
class _Row:
    """A metric on one dataset, with the checkpoints of each run."""

    title: str
    metric: Metric
    curves: list[tuple[RunGroup, pd.DataFrame]]
    floors: list[_Floor]


def metric_curves(study: Study) -> page.Drawing:
    """Return each metric against epoch (left) and training time (right), a row per dataset."""
    measured, notes = study.with_rows(study.metrics, "metrics.csv", "evaluate")
    rows = _metric_rows(study)
    if not rows:
        return page.Drawing(None, notes=notes or ["No metric was measured."])
    unit, unit_name = _time_unit(rows)
    height = max(line_plots.row_height(len(row.curves) + _MAX_FLOORS) for row in rows)
    labels = ["epoch", f"training time ({unit_name})"]
    figures, grid = line_plots.rows_of_panels(len(rows), height, labels, wspace=0.05, hspace=0.06)
    for row, (by_epoch, by_time) in zip(rows, grid, strict=True):
        by_time.sharey(by_epoch)
        by_time.tick_params(labelleft=False)
        _draw_metric(by_epoch, by_time, row, seconds_per_unit=unit)
    names = ", ".join(dict.fromkeys(row.metric.name for row in rows))
    number = len(study.run_groups(measured))
    description = f"{names} of {number} models against epoch (left) and training time (right)."
    return page.Drawing(figures[0], description, notes, figures[1:])


def sample_size_curves(study: Study) -> page.Drawing:
    """Return Fréchet distances against 1 over the number of samples, a panel per dataset."""
    measured, notes = study.with_files("metrics.json", "evaluate", lambda each: each.evaluation)
    panels = []
    for dataset, experiments in study.by_dataset(measured).items():
        suffix = f", {dataset}" if study.has_several_datasets else ""
        for metric in study.measured_metrics:
            shown = [each for each in experiments if each.sample_sizes(metric.key)]
            if shown:
                panels.append((metric.name + suffix, metric, shown))
    if not panels:
        return page.Drawing(None, notes=notes)
    height = max(1.3 * line_plots.row_height(len(shown)) for _, _, shown in panels)
    labels = ["number of samples, at distances of 1 over it"]
    figures, grid = line_plots.rows_of_panels(len(panels), height, labels)
    for (title, metric, shown), (axes,) in zip(panels, grid, strict=True):
        _draw_sample_sizes(axes, metric, shown)
        axes.set_title(title)
    description = f"Fréchet distance against 1 over the number of samples: {len(measured)} models."
    return page.Drawing(figures[0], description, notes, figures[1:])


def _metric_rows(study: Study) -> list[_Row]:
    rows = []
    for dataset, runs in study.runs_by_dataset().items():
        suffix = f", {dataset}" if study.has_several_datasets else ""
        for metric in study.measured_metrics:
            curves = []
            for run in by_prior(study, runs):
                if score(scores_of(study, distance(metric), run.prior), run):
                    curves.append((run, study.checkpoints(run, metric.key)))
            if curves:
                floors = _floors(metric, study.by_dataset()[dataset])
                rows.append(_Row(metric.name + suffix, metric, curves, floors))
    return rows


def _time_unit(rows: Sequence[_Row]) -> tuple[float, str]:
    """Return seconds and name of the largest unit of which the curves span three or more."""
    longest = max(table["seconds"].max() for row in rows for _, table in row.curves)
    for seconds, name in ((3600.0, "hours"), (60.0, "minutes")):
        if longest >= 3 * seconds:
            return seconds, name
    return 1.0, "seconds"


def _draw_metric(by_epoch: Axes, by_time: Axes, row: _Row, *, seconds_per_unit: float) -> None:
    """Draw the curves of a metric, named where they mostly end together: over epochs."""
    by_epoch.set_title(row.title)
    ends = []
    for run, table in row.curves:
        looks: dict[str, Any] = {"color": style.color_of(run.index), "elinewidth": 1}
        looks |= {"marker": style.marker_of(run.index), "linestyle": style.dashes_of(run.index)}
        if run.prior not in (None, run.members[0].prior):  # N(0, I), next to the fitted prior
            looks |= {"markerfacecolor": "white", "alpha": _STANDARD_OPACITY}
        means, stds = table["mean"], table["std"].fillna(0)
        by_epoch.errorbar(table["epoch"], means, yerr=stds, **looks)
        by_time.errorbar(table["seconds"] / seconds_per_unit, means, yerr=stds, **looks)
        ends.append((run.name, looks["color"], table["epoch"].iloc[-1], means.iloc[-1]))
    by_epoch.set_xlim(left=0)
    by_time.set_xlim(left=0)
    by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True))
    drawn = pd.concat([table["mean"] for _, table in row.curves]).tolist()
    floors = row.floors
    if not _leave_room(drawn, [floor.mean for floor in floors]):
        _write_floors(by_epoch, floors)
        floors = []
    for floor in floors:
        ends.append((floor.name, style.MUTED, math.nan, floor.mean))
        for axes in (by_epoch, by_time):
            axes.axhline(floor.mean, color=style.MUTED, linewidth=1, linestyle=floor.dashes)
            _draw_band(axes, floor)
    line_plots.scale_y(by_time, drawn, estimates=True)
    line_plots.label_ends(by_epoch, ends)


def _floors(metric: Metric, experiments: Sequence[Experiment]) -> list[_Floor]:
    """Return the distances of test images, and of two halves of the training images."""
    floors: dict[str, _Floor] = {}
    for each in experiments:
        for name, dashes, opacity, scores in (
            ("real images", (0, (4, 3)), 0.3, each.floor),
            ("two halves", (0, (1, 2)), 0.12, each.halves),
        ):
            if metric.key in scores and name not in floors:
                std = scores.get(f"{metric.key}_std") or 0.0
                floors[name] = _Floor(name, dashes, opacity, scores[metric.key], std)
    return sorted(floors.values(), key=lambda floor: floor.name)


def _draw_band(axes: Axes, floor: _Floor) -> None:
    """Shade mean ± standard deviation of a floor, without changing the limits of the axes."""
    corner, height = (0.0, floor.mean - floor.std), 2 * floor.std
    band = Rectangle(corner, 1.0, height, transform=axes.get_yaxis_transform())
    band.set(facecolor=style.MUTED, alpha=floor.opacity, linewidth=0, zorder=0.5)
    axes.add_artist(band)


def _leave_room(values: Sequence[float], floors: Sequence[float]) -> bool:
    """Return whether curves keep enough of a panel that reaches down to the floors."""
    finite = line_plots.finite(values)
    low, high, floor = min(finite), max(finite), min(floors, default=math.inf)
    if floor >= low:
        return True
    if not line_plots.is_logarithmic(finite):
        return high - low >= _MIN_CURVES_SHARE * (high - floor)
    return floor > 0 and math.log(high / low) >= _MIN_CURVES_SHARE * math.log(high / floor)


def _write_floors(axes: Axes, floors: Sequence[_Floor]) -> None:
    """Print floors at the lower edge of a panel that does not reach down to them."""
    lines = [f"\N{DOWNWARDS ARROW}{NBSP}{floor.text}" for floor in floors]
    text = "\n".join(lines).replace("-", "\N{MINUS SIGN}")
    written = axes.text(0.02, 0.02, text, transform=axes.transAxes)
    written.set(color=style.MUTED, fontsize=style.SMALL_SIZE)
    axes.set_ymargin(0.08 + 0.1 * len(lines))


def _draw_sample_sizes(axes: Axes, metric: Metric, experiments: Sequence[Experiment]) -> None:
    """Draw the distances of each experiment and the line that was fitted to them, if any."""
    ends, values = [], []
    for experiment in experiments:
        found = experiment.sample_sizes(metric.key)
        sizes, distances = np.asarray(found["num_samples"]), np.asarray(found["distances"])
        color = style.color_of(experiment.index)
        axes.plot(1 / sizes, distances, style.marker_of(experiment.index), color=color)
        values += [*distances]
        limit = found["infinite"]
        if limit is not None:
            fitted = sizes >= found.get("fitted_from", 0)
            # A least-squares line runs through the mean of its points.
            slope = (distances[fitted].mean() - limit) / (1 / sizes[fitted]).mean()
            reach = np.linspace(0, 1 / sizes[fitted].min(), 50)
            dashes = style.dashes_of(experiment.index)
            axes.plot(reach, limit + slope * reach, color=color, linewidth=1, linestyle=dashes)
            values.append(limit)
        ends.append((experiment.name, color, 1 / sizes[0], distances[0]))
    halved = max(sizes) // 2 ** np.arange(3)
    halved = halved[halved >= min(sizes)]
    axes.set_xlim(left=0)
    axes.set_xticks([0, *(1 / halved)], ["∞", *map("{:,}".format, halved)])
    line_plots.scale_y(axes, values)
    line_plots.label_ends(axes, ends)
