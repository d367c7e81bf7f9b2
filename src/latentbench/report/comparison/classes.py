"""Samples by class or attribute: how they look, whether they are as requested, how they vary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from latentbench.artifacts.metrics import LABEL_ACCURACY
from latentbench.report.presentation import page, style
from latentbench.report.presentation.image_grids import Panel, panels_figures
from latentbench.results import Experiment, Study, Table
from latentbench.results.formatting import decimals, escape_markdown
from latentbench.results.quantities import format_number
from latentbench.results.tables import ABSENT, REAL, percent_cell, pipe_table

FEWEST = 20  # images that a share or a distance is computed from
_MOST_CLASSES = 20  # shown as images
_FEW_MODELS = 5  # in lines of three panels; more in lines of five
_IMAGES_PER_CLASS = {1: 10, 2: 8, 3: 7, 5: 4}  # by the number of panels side by side


def samples_by_class(study: Study) -> page.Drawing:
    """Return a panel of real images and one per model for each dataset, with a row per class."""
    present, notes = study.with_evaluation("class_samples", "class_counts", facts=["classes"])
    if not present:
        return page.Drawing(None, notes=notes)
    across = min(3, 1 + len(present)) if len(present) <= _FEW_MODELS else 5
    groups = []
    for dataset, experiments in study.by_dataset(present).items():
        title = f"real images of {dataset}" if study.has_several_datasets else "real images"
        number = _IMAGES_PER_CLASS[across]
        models = [_panel(experiment, number) for experiment in experiments]
        groups.append([*_real_panels(experiments, title, number), *models])
    figures = panels_figures(groups, across=across)
    return page.Drawing.of(figures, "Real images and samples by class, of", present, notes)


def class_rows(study: Study) -> pd.DataFrame:
    """Return a row per experiment and class of metrics.json.

    `requested` is true where samples were generated for the class, false where the classifier
    assigned them to it.
    """
    rows = stack_rows(study, lambda each: each.evaluation.get("classes"))
    by = {each.name: each.evaluation.get("classes_by") for each in study}
    return rows.assign(requested=rows["experiment"].map(by).eq("requested"))


def attribute_rows(study: Study) -> pd.DataFrame:
    """Return a row per experiment and attribute of metrics.json, requested or not."""
    rows = stack_rows(study, lambda each: each.evaluation.get("attributes"))
    if rows.empty:
        return rows
    names = rows["name"].str.replace(r"\\?_", " ", regex=True)
    return rows.assign(name=names.where(rows["requested"].astype(bool), "*not* " + names))


def stack_rows(study: Study, records: Callable[[Experiment], Any]) -> pd.DataFrame:
    """Return the records of all experiments, with `experiment` and, as Markdown, ` on mnist`."""
    found = []
    for each in study:
        where = f" on {escape_markdown(each.dataset)}" if study.has_several_datasets else ""
        found.append({"experiment": each.name, "where": where, "rows": records(each) or []})
    rows = pd.json_normalize(found, "rows", ["experiment", "where"])
    return rows.assign(name=rows["name"].map(escape_markdown)) if "name" in rows else rows


def pivot(rows: pd.DataFrame, values: str) -> pd.DataFrame:
    """Return a row per class and a column per experiment, in the order of the rows, as Markdown."""
    table = rows.pivot(index="name", columns="experiment", values=values)
    table = table.reindex(index=rows["name"].unique(), columns=rows["experiment"].unique())
    return table.rename(columns=escape_markdown)


def cells_table(title: str, cells: pd.DataFrame) -> Table:
    """Return the cells as a table with their index, under `title`, in the first column."""
    named = cells.rename_axis(index=title, columns=None)
    return Table(pipe_table(named.reset_index(), num_text=1))


def accuracy(title: str, rows: pd.DataFrame) -> Table:
    """Return the accuracy of each class or attribute in percent, the best of each row in bold.

    Where `rows` has a column `real`, the accuracy on real test images is the last column.
    """
    if rows.empty:
        return Table(None)
    cells = pivot(rows, LABEL_ACCURACY).map(percent_cell)
    numbers = cells.apply(pd.to_numeric, errors="coerce")
    best = numbers.max(axis="columns").where(numbers.nunique(axis="columns") > 1)
    spreads = pivot(rows, f"{LABEL_ACCURACY}_std").map(percent_cell)
    has_spread = cells.ne(ABSENT) & spreads.ne(ABSENT)
    cells = cells.mask(numbers.eq(best, axis="index"), "**" + cells + "**")
    cells = cells.mask(has_spread, cells + " ± " + spreads)
    if "real" in rows:
        cells[REAL] = rows.groupby("name")["real"].last().map(percent_cell)
    return cells_table(title, cells)


def shares(rows: pd.DataFrame, study: Study) -> Table:
    """Return the share of samples that the classifier assigns to each class, and of test images."""
    if rows.empty:
        return Table(None)
    totals = rows.groupby("experiment")["num_samples"].transform("sum").clip(lower=1)
    cells = pivot(rows.assign(share=rows["num_samples"] / totals), "share")
    for name in rows["experiment"].unique():
        counted = pd.DataFrame((study[name].latent.get("data") or {}).get("classes") or [])
        if len(counted) and counted["test"].sum():
            names = counted["name"].map(escape_markdown)
            cells[REAL] = counted.set_index(names)["test"] / counted["test"].sum()
    return cells_table("Class", cells.map(percent_cell))


def diversity(rows: pd.DataFrame) -> Table:
    """Return the diversity within each class of which some model has enough samples."""
    known = rows.assign(diversity=rows["diversity"].mask(rows["num_samples"] < FEWEST))
    cells = pivot(known, "diversity").dropna(how="all")
    if cells.empty:
        return Table(None)
    cells[REAL] = rows.groupby("name")["real_diversity"].last()
    places = decimals(rows["diversity"].dropna())
    texts = cells.map(lambda value: ABSENT if pd.isna(value) else format_number(value, places))
    return cells_table("Class", texts)


def _panel(experiment: Experiment, number: int) -> Panel:
    """Return the samples of a model, with empty places where a class has fewer."""
    images = experiment.evaluation_arrays["class_samples"][:_MOST_CLASSES, :number]
    counts = experiment.evaluation_arrays["class_counts"][:_MOST_CLASSES]
    titles = [str(row["name"]) for row in experiment.evaluation["classes"][:_MOST_CLASSES]]
    shown = np.arange(images.shape[1]) < counts[:, None]
    return Panel(experiment.name, style.color_of(experiment.index), images, titles, shown=shown)


def _real_panels(experiments: Sequence[Experiment], title: str, number: int) -> list[Panel]:
    """Return the training images that the first explored model stored, in one panel at most."""
    for experiment in experiments:
        if "data_samples" in experiment.latent_arrays and "data" in experiment.latent:
            images = experiment.latent_arrays["data_samples"][:_MOST_CLASSES, :number]
            classes = pd.DataFrame(experiment.latent["data"]["classes"][:_MOST_CLASSES])
            shown = np.arange(images.shape[1]) < classes["train"].to_numpy()[:, None]
            return [Panel(title, style.INK, images, list(classes["name"]), shown=shown)]
    return []
