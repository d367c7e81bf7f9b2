"""Walks along the directions of attributes: what they change in the eyes of the classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from latentbench.report.presentation import line_plots, page, style
from latentbench.results import Experiment, Quantity, RunGroup, Study, Table, formatting, tables

_MAX_DIRECTIONS = 6


@style.house_style()
def walk_curves(study: Study) -> page.Drawing:
    """Return how often the classifier sees each attribute along its direction, by model."""
    found, notes = study.with_latent("directions", facts=["directions"])
    present = [experiment for experiment in found if _classified(experiment)]
    if not present:
        return page.Drawing(None, notes=notes)
    figures, panels = line_plots.panels_of_curves(len(present))
    for experiment, axes in zip(present, panels, strict=True):
        _walk_panel(axes, experiment)
    description = "The share of images in which the classifier sees an attribute, by step, of"
    return page.Drawing.of(figures, description, present, notes)


def walk_table(study: Study) -> Table:
    """Return a row per model and direction: the changes of all attributes along it."""
    _, notes = study.with_latent()
    changes = walk_changes(study)
    if changes.empty:
        return Table(None, notes)
    text = changes["change"].map(_in_points)
    own = changes["direction"] == changes["attribute"]
    changes["change"] = text.mask(own, "**" + text + "**")
    names = list(changes["direction"].unique())
    table = changes.pivot_table(
        "change", ["experiment", "direction"], "attribute", aggfunc="first", sort=False
    )
    table = table.reindex(columns=names).fillna(tables.ABSENT).reset_index()
    models = table["experiment"].map(formatting.escape_markdown)
    table["experiment"] = models.mask(models.duplicated(), "")
    table["direction"] = table["direction"].map(_title)
    table.columns = ["Model", "Direction", *map(_title, names)]
    return Table(tables.pipe_table(table, num_text=2), notes)


def walk_quantities(study: Study, runs: Sequence[RunGroup]) -> list[Quantity]:
    """Return a quantity per attribute: how its share of images changes along its direction."""
    members = [member.name for run in runs for member in run.members]
    changes = walk_changes(study)
    own = changes[changes["experiment"].isin(members)].query("direction == attribute")
    return [_walk_quantity(str(name), rows) for name, rows in own.groupby("attribute", sort=False)]


def _walk_quantity(attribute: str, changes: pd.DataFrame) -> Quantity:
    values: dict[str, float] = changes.set_index("experiment")["change"].to_dict()

    def compute(experiment: Experiment) -> float | None:
        return values.get(experiment.name)

    return Quantity(f"walk_{attribute}", _title(attribute), 1, _in_points, compute)


def walk_changes(study: Study) -> pd.DataFrame:
    """Return a row per experiment, direction and attribute that the classifier knows.

    `change` is the share of images with the attribute at the last step less that at the first.
    """
    present, _ = study.with_latent("directions", facts=["directions"])
    rows = []
    for experiment in present:
        for direction in _classified(experiment):
            for attribute, shares in direction["predicted"].items():
                names = (experiment.name, direction["attribute"], attribute)
                rows.append((*names, float(shares[-1] - shares[0])))
    return pd.DataFrame(rows, columns=["experiment", "direction", "attribute", "change"])


def _classified(experiment: Experiment) -> Sequence[Mapping[str, Any]]:
    """Return the directions whose images the classifier has seen."""
    directions = experiment.latent["directions"]
    return [direction for direction in directions if direction.get("predicted")][:_MAX_DIRECTIONS]


def _walk_panel(axes: Axes, experiment: Experiment) -> None:
    steps = experiment.latent["direction_steps"]
    color = style.color_of(experiment.index)
    ends = []
    for direction, dashes in zip(_classified(experiment), style.DASHES * 3, strict=False):
        attribute = direction["attribute"]
        shares = direction["predicted"][attribute]
        axes.plot(steps, shares, color=color, linestyle=dashes, clip_on=False)
        ends.append((attribute.replace("_", " "), style.MUTED, steps[-1], shares[-1]))
    line_plots.name_panel(axes, experiment.name, color, against="steps (σ)")
    ticks = [steps[0], 0, steps[-1]]
    axes.set_xticks(ticks, [f"{step:g}".replace("-", "\N{MINUS SIGN}") for step in ticks])
    axes.set_xlim(steps[0], steps[-1])
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    line_plots.label_ends(axes, ends, size=line_plots.NAMES_SIZE)


def _in_points(change: float, _: int = 0) -> str:
    """Return a change in percentage points with its sign: `+12`."""
    return f"{100 * change:+.0f}".replace("-", "\N{MINUS SIGN}")


def _title(attribute: str) -> str:
    return formatting.escape_markdown(attribute.replace("_", " "))
