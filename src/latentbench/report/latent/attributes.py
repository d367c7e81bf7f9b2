"""Walks along the directions of attributes: what they change in the eyes of the classifier."""

from __future__ import annotations

from matplotlib.axes import Axes

from latentbench.report.presentation import line_plots, page, style
from latentbench.results import Experiment, Study, Table, formatting, latent_space, tables


def walk_curves(study: Study) -> page.Drawing:
    """Return how often the classifier sees each attribute along its direction, by model."""
    found, notes = study.with_latent("directions", facts=["directions"])
    present = [experiment for experiment in found if latent_space.classified_directions(experiment)]
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
    changes = latent_space.walk_changes(study)
    if changes.empty:
        return Table(None, notes)
    text = changes["change"].map(latent_space.percentage_points)
    own = changes["direction"] == changes["attribute"]
    changes["change"] = text.mask(own, "**" + text + "**")
    names = list(changes["direction"].unique())
    table = changes.pivot_table(
        "change", ["experiment", "direction"], "attribute", aggfunc="first", sort=False
    )
    table = table.reindex(columns=names).fillna(tables.ABSENT).reset_index()
    models = table["experiment"].map(formatting.escape_markdown)
    table["experiment"] = models.mask(models.duplicated(), "")
    table["direction"] = table["direction"].map(latent_space.attribute_title)
    table.columns = ["Model", "Direction", *map(latent_space.attribute_title, names)]
    return Table(tables.pipe_table(table, num_text=2), notes)


def _walk_panel(axes: Axes, experiment: Experiment) -> None:
    steps = experiment.latent["direction_steps"]
    color = style.color_of(experiment.index)
    ends = []
    directions = latent_space.classified_directions(experiment)
    for direction, dashes in zip(directions, style.DASHES * 3, strict=False):
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
