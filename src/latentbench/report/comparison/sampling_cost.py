"""Quality against cost: the distance of samples over the time that an image takes."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from latentbench.artifacts.metrics import DISTANCES, Metric
from latentbench.report.presentation import line_plots, page, style
from latentbench.results import Experiment, Study
from latentbench.results.formatting import NBSP, escape_markdown, join_words, short_duration

_DRAWN = {distance for distance, *_ in DISTANCES.values()}
_MARGIN = 1.4  # factor between the outermost points and the edges of a panel


def quality_against_cost(study: Study) -> page.Drawing:
    """Return distances against the time per image, a panel per dataset and extractor.

    There is nothing to draw for datasets whose models all sample in one step.
    """
    _, notes = study.with_files("metrics.json", "evaluate", lambda each: each.evaluation)
    panels: list[tuple[str, Metric, list[tuple[Experiment, pd.DataFrame]]]] = []
    for dataset, experiments in study.by_dataset().items():
        suffix = f", {dataset}" if study.has_several_datasets else ""
        for metric in study.measured_metrics:
            curves = _curves(study, metric, experiments)
            if metric.key in _DRAWN and any(len(rows) > 1 for _, rows in curves):
                panels.append((metric.name + suffix, metric, curves))
    if not panels:
        return page.Drawing(None)
    height = max(1.2 * line_plots.row_height(len(curves)) for *_, curves in panels)
    figures, grid = line_plots.rows_of_panels(len(panels), height, ["time per image"])
    for (title, metric, curves), (axes,) in zip(panels, grid, strict=True):
        axes.set_title(title)
        _draw(axes, metric, curves)
    number = max(len(curves) for *_, curves in panels)
    description = f"Distance of samples against the time per image, of {number} models."
    return page.Drawing(figures[0], description, notes, figures[1:])


def describe(study: Study) -> str:
    """Return the caption: what an image of each diffusion model costs; empty without any."""
    costs = study.sampling_costs
    in_steps = costs[costs["steps"].notna()].dropna(subset="seconds")
    if in_steps.empty:
        return ""
    devices = join_words(sorted(costs["device"].dropna().unique()))
    sentences = [
        "Distance of one set of samples after the last epoch, against the wall time of an image in "
        f"a batch on {escape_markdown(devices)}, which varies from run to run; the axis of time is "
        "logarithmic. Numbers at the points of a diffusion model are sampling steps. A model of "
        "another kind is a point: its network runs once per image."
    ]
    for name, rows in in_steps.groupby("experiment", sort=False):
        own = rows[rows["steps"] == study[name].model["sampling_steps"]].iloc[0]
        sentences.append(
            f"{escape_markdown(name)}: {own['steps']:.0f} steps are {own['evaluations']:.0f} "
            f"evaluations of its network per image and take {short_duration(own['seconds'])}"
            + _compared(study, name, own["seconds"])
            + "."
        )
    return " ".join(sentences)


def _compared(study: Study, name: str, seconds: float) -> str:
    """Return by how much an image takes longer than one of the fastest model on its dataset."""
    costs = study.sampling_costs
    rivals = [each.name for each in study.by_dataset()[study[name].dataset]]
    once = costs[costs["experiment"].isin(rivals) & costs["steps"].isna()]
    once = once.dropna(subset="seconds")
    if once.empty:
        return ""
    fastest = once.loc[once["seconds"].idxmin()]
    times = f"{seconds / fastest['seconds']:.2g}".replace("e+0", "e")
    ratio = f"{float(times):,.0f}" if float(times) >= 10 else times
    return f", {ratio} times as long as {escape_markdown(fastest['experiment'])}"


def _curves(
    study: Study, metric: Metric, experiments: list[Experiment]
) -> list[tuple[Experiment, pd.DataFrame]]:
    """Return the rows of each experiment that have this metric and a time, fewest steps first."""
    costs = study.sampling_costs
    found = []
    if metric.key not in costs:
        return []
    for each in experiments:
        rows = costs[costs["experiment"] == each.name].dropna(subset=["seconds", metric.key])
        if len(rows):
            found.append((each, rows.sort_values("seconds")))
    return found


def _draw(axes: Axes, metric: Metric, curves: list[tuple[Experiment, pd.DataFrame]]) -> None:
    ends = []
    for experiment, rows in curves:
        color = style.color_of(experiment.index)
        looks: dict[str, Any] = {"color": color, "marker": style.marker_of(experiment.index)}
        looks["linestyle"] = style.dashes_of(experiment.index)
        axes.plot(rows["seconds"], rows[metric.key], **looks)
        if len(rows) > 1:
            _write_steps(axes, metric, rows, color)
        last = rows.iloc[-1]
        ends.append((experiment.name, color, float(last["seconds"]), float(last[metric.key])))
    rows = pd.concat([rows for _, rows in curves])
    axes.set_xscale("log")
    axes.set_xlim(rows["seconds"].min() / _MARGIN, rows["seconds"].max() * _MARGIN)
    decades = rows["seconds"].max() / rows["seconds"].min()
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades > 100 else (1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda value, _: short_duration(value))
    line_plots.scale_y(axes, rows[metric.key].tolist())
    line_plots.label_ends(axes, ends)


def _write_steps(axes: Axes, metric: Metric, rows: pd.DataFrame, color: str) -> None:
    """Write the number of steps above each point; the first one with its unit."""
    for place, (_, row) in enumerate(rows.iterrows()):
        unit = "step" if row["steps"] == 1 else "steps"
        text = f"{row['steps']:.0f}" + (f"{NBSP}{unit}" if place == 0 else "")
        place_of: dict[str, Any] = {"xytext": (0, 4), "textcoords": "offset points"}
        written = axes.annotate(text, (row["seconds"], row[metric.key]), **place_of)
        written.set(ha="center", va="bottom", color=color, fontsize=style.SMALL_SIZE)
