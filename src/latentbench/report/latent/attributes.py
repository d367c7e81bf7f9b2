"""Attributes: whether models draw those that were asked for, and what the directions found in codes change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from latentbench.report.comparison.classes import ACCURACY_SPREAD, accuracy_table
from latentbench.report.latent.sample_grids import names
from latentbench.report.presentation.formatting import escape_markdown
from latentbench.report.presentation.line_plots import (
    NAMES_SIZE,
    label_ends,
    name_panel,
    panels_of_curves,
)
from latentbench.report.presentation.page import Drawing, Table
from latentbench.report.presentation.style import DASHES, MUTED, color_of, house_style
from latentbench.report.results.tables import ABSENT, Column, pipe_table
from latentbench.results.study import Experiment, Score, Study

_MOST_LINES = 6

Direction = Mapping[str, Any]


def asked_tables(study: Study) -> list[tuple[str, Table, str]]:
    """A name, a table of two rows per attribute and a column per model that is asked for attributes, and its caption,
    by dataset."""
    tables = []
    for dataset, experiments in study.by_dataset().items():
        where = f" on {dataset}" if len(study.by_dataset()) > 1 else ""
        models = {e.name: rows for e in experiments if (rows := _asked(e))}
        if models:
            real = {
                title: {"label_accuracy": row["real"]}
                for rows in models.values()
                for title, row in rows.items()
            }
            table = Table(accuracy_table("Asked for", models, real=real))
            tables.append(
                (f"attribute accuracy{where}", table, _ASKED.format(where) + ACCURACY_SPREAD)
            )
    return tables


_ASKED = (
    "The share of samples (%){} in which the classifier sees an attribute that was asked for, and of samples that were "
    "asked to be without, in which it does not; beside them the share of real test images that it is right on. A model "
    "above that draws attributes more plainly than pictures show them. "
)


def walk_origins(study: Study) -> str:
    """What is walked from, as the first words of a caption."""
    present, _ = study.with_latent("directions", facts=["directions"])
    of = {(e.exploration or {}).get("directions_source", "test images") for e in present}
    if "samples" not in of:
        return "Test images"
    told = (
        "samples of models that cannot encode, where the classifier says which attributes they have"
    )
    return f"Test images, and {told}," if len(of) > 1 else f"{told[0].upper()}{told[1:]},"


def walk_curves(study: Study) -> Drawing:
    """How often each attribute is seen along its own direction, a panel per model."""
    present, notes = study.with_latent("directions", facts=["directions"])
    present = [e for e in present if _measured(e)]
    if not present:
        return Drawing(None, notes=notes)
    with house_style():
        (figure, *others), grid = panels_of_curves(len(present))
        for experiment, axes in zip(present, grid, strict=True):
            _walk_panel(axes, experiment)
    described = f"The share of images in which an attribute is seen, along its direction, of {names(present)}."
    return Drawing(figure, described, notes, others)


def rescored(study: Study) -> Table:
    """A row per model and direction: by how much the share of images with each attribute changes along it."""
    present, notes = study.with_latent("directions", facts=["directions"])
    directions = [(e, direction) for e in present for direction in _measured(e)]
    if not directions:
        return Table(None, notes)
    attributes = list(dict.fromkeys(direction["attribute"] for _, direction in directions))
    lines = []
    before = ""
    for experiment, direction in directions:
        changes = [
            _in_points(_change(direction, attribute))
            if attribute in direction["predicted"]
            else ABSENT
            for attribute in attributes
        ]
        # Its own stands out from those that it should leave alone.
        cells = [
            f"**{cell}**" if attribute == direction["attribute"] else cell
            for attribute, cell in zip(attributes, changes, strict=True)
        ]
        shown = escape_markdown(experiment.name) if experiment.name != before else ""
        lines.append([shown, _written(direction["attribute"]), *cells])
        before = experiment.name
    return Table(
        pipe_table(["Model", "Direction", *map(_written, attributes)], lines, texts=2), notes
    )


def walk_columns(experiments: Sequence[Experiment]) -> list[Column]:
    """By attribute, by how much the share of images with it changes along its direction."""

    def column(attribute: str) -> Column:
        def change(experiment: Experiment) -> Score | None:
            along = [
                direction
                for direction in _measured(experiment)
                if direction["attribute"] == attribute
            ]
            return Score(_change(along[0], attribute)) if along else None

        return Column(_written(attribute), change, 1, lambda value, _: _in_points(value))

    attributes = dict.fromkeys(
        direction["attribute"] for e in experiments for direction in _measured(e)
    )
    return [column(attribute) for attribute in attributes]


def _asked(experiment: Experiment) -> dict[str, Mapping[str, Any]]:
    """What metrics.json says of each attribute, asked for and not."""
    rows = (experiment.metrics or {}).get("attributes") or []
    return {
        _written(row["name"]) if row["requested"] else f"*not* {_written(row['name'])}": row
        for row in rows
    }


def _measured(experiment: Experiment) -> Sequence[Direction]:
    """The directions whose walks are there and a classifier has seen."""
    directions = (
        (experiment.exploration or {}).get("directions")
        if "directions" in experiment.explored
        else None
    )
    return [direction for direction in directions or [] if direction.get("predicted")][:_MOST_LINES]


def _walk_panel(axes: Axes, experiment: Experiment) -> None:
    steps = (experiment.exploration or {})["direction_steps"]
    ends = []
    for direction, dashes in zip(_measured(experiment), DASHES * 3, strict=False):
        shares = direction["predicted"][direction["attribute"]]
        axes.plot(steps, shares, color=color_of(experiment.index), linestyle=dashes, clip_on=False)
        ends.append((direction["attribute"].replace("_", " "), MUTED, steps[-1], shares[-1]))
    name_panel(axes, experiment.name, color_of(experiment.index), against="steps (σ)")
    shown = [steps[0], 0, steps[-1]]
    axes.set_xticks(shown, [f"{step:g}".replace("-", "\N{MINUS SIGN}") for step in shown])
    axes.set_xlim(steps[0], steps[-1])
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    label_ends(axes, ends, size=NAMES_SIZE)


def _change(direction: Direction, attribute: str) -> float:
    """Of the share of images in which it is seen, from the first step to the last."""
    shares = direction["predicted"][attribute]
    return float(shares[-1] - shares[0])


def _in_points(change: float) -> str:
    return f"{100 * change:+.0f}".replace("-", "\N{MINUS SIGN}")


def _written(attribute: str) -> str:
    return escape_markdown(attribute.replace("_", " "))
