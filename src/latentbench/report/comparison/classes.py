"""Samples by class: how they look, whether the classifier recognizes them, how diverse they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from latentbench.artifacts.metrics import LABEL_ACCURACY
from latentbench.report.presentation.formatting import decimals, names_of, percent
from latentbench.report.presentation.image_grids import Panel, panels_figures
from latentbench.report.presentation.page import Drawing, Table
from latentbench.report.presentation.style import INK, color_of, house_style
from latentbench.report.results.quantities import format_number
from latentbench.report.results.tables import ABSENT, REAL, percent_cell, pipe_table
from latentbench.results.study import Experiment, Study

FEWEST = 20  # images that a share or a distance is computed from
_MOST_CLASSES = 20  # shown as images
_IMAGES_PER_CLASS = {1: 10, 2: 8, 3: 7}  # by the number of panels side by side

ACCURACY_SPREAD = "± is the standard deviation over sampling seeds, where there are several."
_ACCURACY = (
    "Share of samples (%) of conditional models{} that the classifier assigns to the requested "
    "class{}. " + ACCURACY_SPREAD
)
_SHARES = (
    "Share of samples (%) of unconditional models{} that the classifier assigns to each class{}. "
    "A class with a small share was dropped by the model, or the classifier does not recognize it."
)
_DIVERSITY = (
    "Diversity within each class{}: the root mean square distance between two samples of the "
    "class, in the classifier's feature space. Samples of a class vary less than real test images "
    "where their value is lower."
)


def samples_by_class(study: Study) -> Drawing:
    """Return a panel of real images and one per model for each dataset, with a row per class."""
    present, notes = study.with_evaluation("class_samples", "class_counts", facts=["classes"])
    if not present:
        return Drawing(None, notes=notes)
    across = min(3, 1 + len(present))
    groups = []
    for dataset, experiments in study.by_dataset(present).items():
        title = f"real images of {dataset}" if study.has_several_datasets else "real images"
        panels = _real_panels(experiments, title, _IMAGES_PER_CLASS[across])
        for experiment in experiments:
            panels.append(_panel(experiment, _IMAGES_PER_CLASS[across]))
        groups.append(panels)
    with house_style():
        figure, *others = panels_figures(groups, across=across)
    description = f"Real images and samples by class, of {names_of(present)}."
    return Drawing(figure, description, notes, others)


def class_tables(study: Study) -> list[tuple[str, Table, str]]:
    """Return the tables of each dataset as name, table and caption.

    They have a row per class and a column per model: accuracy, shares and diversity.
    """
    tables = []
    for dataset, experiments in study.by_dataset().items():
        where = f" on {dataset}" if study.has_several_datasets else ""
        rows = class_rows(experiments)
        if rows.empty:
            continue
        requested, predicted = rows[rows["requested"]], rows[~rows["requested"]]
        accuracy = classifier_accuracy(experiments)
        limit = "" if accuracy is None else f" (of real test images: {percent(accuracy)})"
        if len(requested):
            caption = _ACCURACY.format(where, limit) + _bold(requested)
            table = Table(accuracy_table("Class", requested))
            tables.append((f"class accuracy{where}", table, caption))
        if len(predicted):
            table = _shares(predicted, _real_shares(experiments))
            tables.append((f"class shares{where}", table, _SHARES.format(where, limit)))
        table = _diversity(rows)
        if table.markdown is not None:
            caption = _DIVERSITY.format(where) + absence(table, "a class")
            tables.append((f"class diversity{where}", table, caption))
    return tables


def class_rows(experiments: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per experiment and class of metrics.json.

    `requested` is true where samples were generated for the class, false where the classifier
    assigned them to it.
    """
    rows = stack_rows({each.name: each.evaluation.get("classes") for each in experiments})
    conditional = {each.name: each.evaluation.get("classes_by") == "asked" for each in experiments}
    return rows.assign(requested=rows["experiment"].map(conditional).astype(bool))


def stack_rows(records: Mapping[str, Sequence[Mapping[str, Any]] | None]) -> pd.DataFrame:
    """Return the records of all experiments as rows, with the experiment in the first column."""
    parts = []
    for experiment, own in records.items():
        part = pd.DataFrame.from_records(own or [])
        part.insert(0, "experiment", experiment)
        if len(part):
            parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["experiment"])


def pivot(rows: pd.DataFrame, values: str) -> pd.DataFrame:
    """Return a row per class and a column per experiment, both in the order of the rows."""
    table = rows.pivot(index="name", columns="experiment", values=values)
    table = table.reindex(index=rows["name"].unique(), columns=rows["experiment"].unique())
    return table.astype(float)


def cells_table(title: str, cells: pd.DataFrame) -> str:
    """Return a Markdown table of cells, their index under `title` in the first column."""
    named = cells.rename_axis(index=title, columns=None)
    return pipe_table(named.reset_index(), num_text=1)


def classifier_accuracy(experiments: Sequence[Experiment]) -> float | None:
    """Return the classifier's accuracy on the real test images of these experiments."""
    for experiment in experiments:
        if LABEL_ACCURACY in experiment.floor:
            return experiment.floor[LABEL_ACCURACY]
    return None


def accuracy_table(title: str, rows: pd.DataFrame) -> str:
    """Return the accuracy of each class or attribute in percent, the best of each row in bold.

    `rows` has the columns experiment, name, label_accuracy and label_accuracy_std. Where it has
    a column `real`, the accuracy on real test images stands in the last column.
    """
    cells = pivot(rows, "label_accuracy").map(percent_cell)
    numbers = cells.apply(pd.to_numeric, errors="coerce")
    best = numbers.max(axis="columns").where(numbers.nunique(axis="columns") > 1)
    spreads = pivot(rows, "label_accuracy_std").map(percent_cell)
    has_spread = cells.ne(ABSENT) & spreads.ne(ABSENT)
    cells = cells.mask(numbers.eq(best, axis="index"), "**" + cells + "**")
    cells = cells.mask(has_spread, cells + " ± " + spreads)
    if "real" in rows:
        cells[REAL] = rows.groupby("name")["real"].last().map(percent_cell)
    return cells_table(title, cells)


def absence(table: Table, kind: str) -> str:
    """Return why cells have no number; empty where all have one."""
    if f" {ABSENT} |" not in (table.markdown or ""):
        return ""
    return f" {ABSENT}: fewer than {FEWEST} images of {kind}."


def _bold(rows: pd.DataFrame) -> str:
    return " The best of each row is in bold." if rows["experiment"].nunique() > 1 else ""


def _panel(experiment: Experiment, number: int) -> Panel:
    """Return the samples of a model, with empty places where a class has fewer."""
    images = experiment.evaluation_arrays["class_samples"][:_MOST_CLASSES, :number]
    counts = experiment.evaluation_arrays["class_counts"][:_MOST_CLASSES]
    titles = list(class_rows([experiment])["name"][:_MOST_CLASSES])
    shown = np.arange(images.shape[1]) < counts[:, None]
    return Panel(experiment.name, color_of(experiment.index), images, titles, shown=shown)


def _real_panels(experiments: Sequence[Experiment], title: str, number: int) -> list[Panel]:
    """Return the training images that the first explored model stored, in one panel at most."""
    for experiment in experiments:
        if "data_samples" in experiment.latent_arrays and "data" in experiment.latent:
            images = experiment.latent_arrays["data_samples"][:_MOST_CLASSES, :number]
            classes = pd.DataFrame(experiment.latent["data"]["classes"][:_MOST_CLASSES])
            shown = np.arange(images.shape[1]) < classes["train"].to_numpy()[:, None]
            return [Panel(title, INK, images, list(classes["name"]), shown=shown)]
    return []


def _shares(rows: pd.DataFrame, real: pd.Series) -> Table:
    totals = rows.groupby("experiment")["num_samples"].transform("sum").clip(lower=1)
    shares = pivot(rows.assign(share=rows["num_samples"] / totals), "share")
    if len(real):
        shares[REAL] = real
    return Table(cells_table("Class", shares.map(percent_cell)))


def _real_shares(experiments: Sequence[Experiment]) -> pd.Series:
    """Return the share of test images by class, as an exploration counted them; or nothing."""
    for experiment in experiments:
        classes = pd.DataFrame((experiment.latent.get("data") or {}).get("classes") or [])
        if len(classes) and classes["test"].sum():
            counts = classes.set_index("name")["test"]
            return counts / counts.sum()
    return pd.Series(dtype=float)


def _diversity(rows: pd.DataFrame) -> Table:
    """Return the diversity of classes of which some model has enough samples."""
    places = decimals(rows["diversity"].dropna())
    known = rows.assign(diversity=rows["diversity"].mask(rows["num_samples"] < FEWEST))
    cells = pivot(known, "diversity").dropna(how="all")
    if cells.empty:
        return Table(None)
    cells[REAL] = rows.groupby("name")["real_diversity"].last()
    texts = cells.map(lambda value: ABSENT if np.isnan(value) else format_number(value, places))
    return Table(cells_table("Class", texts))
