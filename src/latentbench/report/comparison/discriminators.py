"""What the discriminators of GANs are worth: how often they are right, class by class, and their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from latentbench.report.comparison.classes import FEWEST, Rows, absence, by_class, share_in_percent
from latentbench.report.latent.sample_grids import names
from latentbench.report.presentation.formatting import NBSP
from latentbench.report.presentation.line_plots import ROW_HEIGHT
from latentbench.report.presentation.page import Drawing, Table
from latentbench.report.presentation.style import (
    INK,
    MUTED,
    SMALL_SIZE,
    TALLEST,
    WIDTH,
    color_of,
    fitting_size,
    house_style,
    pages,
    text_width,
)
from latentbench.report.results.tables import ABSENT, pipe_table
from latentbench.results.study import Experiment, Study

_SHARES = {
    "accuracy": "Right",
    "predicted_fake": "Called fake",
    "false_positives": "Generated called real",
    "false_negatives": "Real called fake",
}
_LEVEL = 0.17  # of the highest peak, that a line of names takes over it
_BINS = 40
_PANEL_SHARE = 0.78  # of its part of the figure's width, that a panel has inside its tick labels
_TAILS = 0.002  # of the scores on either side that do not widen the axis


def judgments(study: Study) -> Table:
    """A row per GAN: what its discriminator makes of real and of generated images."""
    judged = _judged(study)
    if not judged:
        return Table(None)
    rows = {name: facts["all"] for name, facts in judged.items()}
    return Table(_full("Model", rows))


def judgments_by_class(study: Study) -> list[tuple[str, Table, str]]:
    """A name, a table of a row per class, and its caption, by dataset; of one model with all shares, of several one
    share each."""
    tables = []
    judged = _judged(study)
    for dataset, experiments in study.by_dataset().items():
        where = f" on {dataset}" if len(study.by_dataset()) > 1 else ""
        here = {
            e.name: _by_name(judged[e.name])
            for e in experiments
            if judged.get(e.name, {}).get("classes")
        }
        tables += _by_class(here, where)
    return tables


def _by_class(judged: Mapping[str, Rows], where: str) -> list[tuple[str, Table, str]]:
    if len(judged) == 1:
        [(name, rows)] = judged.items()
        table = Table(_full("Class", rows))
        caption = f"The same of **{name}**{where}, by class.{absence(table, 'a kind')}"
        return [(f"discriminator by class{where}", table, caption)]
    tables = []
    for key, title, share, without in (
        ("accuracy", "accuracy", "images on which each discriminator is right", "enough images"),
        (
            "false_positives",
            "false positives",
            "generated images that each discriminator calls real",
            "any",
        ),
        (
            "false_negatives",
            "false negatives",
            "real test images that each discriminator calls fake",
            "any",
        ),
    ):
        lines = by_class(judged, _share(key))
        shown = [line for line in lines if not {*line[1:]} <= {ABSENT, _NOTHING}]
        if shown:
            left_out = f" Classes without {without} are left out." * (len(shown) < len(lines))
            table = Table(pipe_table(["Class", *judged], shown, texts=1))
            caption = f"Share (%) of {share}, by class{where}.{left_out}{absence(table, 'a kind')}"
            tables.append((f"discriminator {title} by class{where}", table, caption))
    return tables


def score_histograms(study: Study) -> Drawing:
    """How the scores of training, test and generated images are spread, a panel per GAN, with the threshold."""
    splits = ("scores_train", "scores_test", "scores_generated")
    present, notes = study.with_evaluation(*splits, facts=["discriminator"])
    # Of a model that diverged there are none.
    present = [e for e in present if all(np.isfinite(e.examined[split]).any() for split in splits)]
    if not present:
        return Drawing(None, notes=notes)
    columns = 2 if len(present) == 4 else min(3, len(present))
    rows = math.ceil(len(present) / columns)
    height = ROW_HEIGHT if rows > 1 else 1.15 * ROW_HEIGHT
    drawn = []
    with house_style():
        for run in pages([height] * rows, tallest=TALLEST - 0.1):
            shown = present[run.start * columns : run.stop * columns]
            layout = ConstrainedLayoutEngine(wspace=0.06, hspace=0.06)
            figure = Figure(figsize=(WIDTH, 0.1 + height * (run.stop - run.start)), layout=layout)
            grid = figure.subplots(run.stop - run.start, columns, squeeze=False).ravel()
            for experiment, axes in zip(shown, grid, strict=False):
                _histograms(axes, experiment, inches=WIDTH / columns)
            for axes in grid[len(shown) :]:
                axes.set_axis_off()
            drawn.append(figure)
    described = f"Histograms of the discriminators' scores, of {names(present)}."
    return Drawing(drawn[0], described, notes, drawn[1:])


def scores_scope(study: Study) -> str:
    """How far the axes of the histograms reach."""
    return (
        f"At either end {100 * _TAILS:g}{NBSP}% of a model's scores lie outside the axes."
        * bool(_judged(study))
    )


def _judged(study: Study) -> dict[str, Mapping[str, Any]]:
    return {
        e.name: facts
        for e in study.experiments
        if (facts := (e.metrics or {}).get("discriminator"))
    }


# By share, of which images there have to be enough; of the others, of both kinds.
_OVER = {"false_positives": ("num_generated",), "false_negatives": ("num_real",)}
_NOTHING = "0.0"


def _share(key: str) -> Callable[[Mapping[str, Any]], str]:
    over = _OVER.get(key, ("num_real", "num_generated"))
    return lambda row: (
        share_in_percent(row.get(key)) if all(row[number] >= FEWEST for number in over) else ABSENT
    )


def _by_name(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(row["name"]): row for row in facts["classes"]}


def _full(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """All that is known of each row."""
    lines = [
        [
            name,
            *(f"{row[key]:,}" for key in ("num_real", "num_generated")),
            *(_share(key)(row) for key in _SHARES),
        ]
        for name, row in rows.items()
    ]
    header = [title, "Real images", "Generated", *(f"{name}, %" for name in _SHARES.values())]
    return pipe_table(header, lines, texts=1)


def _histograms(axes: Axes, experiment: Experiment, *, inches: float) -> None:
    color = color_of(experiment.index)
    kinds = {"training": ("train", MUTED), "test": ("test", INK), "generated": ("generated", color)}
    stored = {
        name: experiment.examined[f"scores_{key}"].astype(float) for name, (key, _) in kinds.items()
    }
    scores = {name: values[np.isfinite(values)] for name, values in stored.items()}
    low, high = np.quantile(np.concatenate(list(scores.values())), [_TAILS, 1 - _TAILS])
    threshold = float((experiment.metrics or {})["discriminator"]["threshold"])
    edges = np.linspace(low, high + 1e-6 * (1 + abs(high)), _BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    peaks = {}
    for name, (_, ink) in kinds.items():
        # Shares of each kind, so that their numbers do not matter.
        shares = 100 * np.histogram(scores[name], edges)[0] / max(len(scores[name]), 1)
        filled = name == "training"
        axes.stairs(
            shares, edges, color=ink, fill=filled, alpha=0.3 if filled else 1, linewidth=1.2
        )
        peaks[name] = (float(middles[shares.argmax()]), float(shares.max()))
    axes.set_xlim(min(low, threshold), max(edges[-1], threshold))
    left, right = axes.get_xlim()
    along = {name: (place - left) / (right - left) for name, (place, _) in peaks.items()}
    places = _names_over(along, inches=_PANEL_SHARE * inches)
    headroom = 1.06 + _LEVEL * (1 + max(level for _, level in places.values()))
    axes.set_ylim(0, headroom * max(height for _, height in peaks.values()))
    axes.axvline(threshold, ymax=1 / headroom, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for name, (middle, level) in places.items():
        where = (middle, (1.04 + _LEVEL * level) / headroom)
        axes.text(
            *where,
            name,
            transform=axes.transAxes,
            ha="center",
            color=kinds[name][1],
            fontsize=SMALL_SIZE,
        )
    size = fitting_size(experiment.name, 0.8 * inches)
    axes.set_title(experiment.name, color=color, fontsize=size)
    axes.set_xlabel("score")
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")


def _names_over(along: Mapping[str, float], *, inches: float) -> dict[str, tuple[float, int]]:
    """Where names stand over their peaks, of axes that are `inches` wide: the middle of each, moved into the axes, and
    the lowest level at which none touches another."""
    places: dict[str, tuple[float, int]] = {}
    spans: list[tuple[float, float, int]] = []
    for name in ("generated", "training", "test"):
        half = (text_width(name, size=SMALL_SIZE, bold=False) / 2 + 0.05) / inches
        middle = min(max(along[name], half), 1 - half)
        taken = {
            level for low, high, level in spans if low < middle + half and high > middle - half
        }
        level = next(level for level in range(3) if level not in taken)
        spans.append((middle - half, middle + half, level))
        places[name] = (middle, level)
    return places
