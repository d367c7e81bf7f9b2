"""Samples class by class: how they look, whether they are recognized, how diverse they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from latentbench.artifacts.metrics import LABEL_ACCURACY
from latentbench.report.latent.sample_grids import names
from latentbench.report.presentation.formatting import decimals, percent
from latentbench.report.presentation.image_grids import Panel, panels_figures
from latentbench.report.presentation.page import Drawing, Table
from latentbench.report.presentation.style import INK, color_of, house_style
from latentbench.report.results.columns import ABSENT, pipe_table
from latentbench.report.results.study import Experiment, Study

# Images of a class, by how many models stand beside one another.
_COLUMNS = {1: 10, 2: 8, 3: 7}
_MOST_CLASSES = 20
FEWEST = 20  # images that a share or a distance is told of

Rows = Mapping[str, Mapping[str, Any]]  # by class


def samples_by_class(study: Study) -> Drawing:
    """Per dataset a panel of real images and one per model, a row per class."""
    present, notes = study.with_evaluation("class_samples", "class_counts", facts=["classes"])
    if not present:
        return Drawing(None, notes=notes)
    across = min(3, 1 + len(present))
    groups = []
    for dataset, experiments in study.by_dataset().items():
        where = f" of {dataset}" if len(study.by_dataset()) > 1 else ""
        here = [e for e in experiments if e in present]
        real = [
            _real_panel(e, f"real images{where}", _COLUMNS[across])
            for e in here
            if "data" in _facts(e)
        ][:1]
        groups.append([*real, *(_panel(experiment, _COLUMNS[across]) for experiment in here)])
    with house_style():
        figure, *others = panels_figures(groups, across=across)
    return Drawing(figure, f"Real images and samples by class, of {names(present)}.", notes, others)


def class_tables(study: Study) -> list[tuple[str, Table, str]]:
    """A name, a table of a row per class and a column per model, and its caption, by quantity and dataset."""
    tables = []
    for dataset, experiments in study.by_dataset().items():
        where = f" on {dataset}" if len(study.by_dataset()) > 1 else ""
        rows = {e.name: rows_of(e) for e in experiments if rows_of(e)}
        asked = {e.name: rows[e.name] for e in experiments if e.name in rows and _is_asked(e)}
        recognized = {name: rows[name] for name in rows if name not in asked}
        limit, diversity = _limit(classifier_accuracy(experiments)), _diversity(rows)
        tables += [
            (
                f"class accuracy{where}",
                _accuracy(asked),
                _ACCURACY.format(where, limit) + _bold(asked),
            ),
            (
                f"class shares{where}",
                _shares(recognized, _real_shares(experiments)),
                _SHARES.format(where, limit),
            ),
            (
                f"class diversity{where}",
                diversity,
                _DIVERSITY.format(where) + absence(diversity, "a class"),
            ),
        ]
    return [each for each in tables if each[1].markdown is not None]


def classifier_accuracy(experiments: Sequence[Experiment]) -> float | None:
    """The share of real test images whose class the classifier of their dataset recognizes."""
    return next((e.floor[LABEL_ACCURACY] for e in experiments if LABEL_ACCURACY in e.floor), None)


ACCURACY_SPREAD = "± is the standard deviation over sampling seeds, where there are several."
_ACCURACY = (
    "The share of samples (%) of conditional models{} that the classifier recognizes as the class asked for{}. "
    + ACCURACY_SPREAD
)
_SHARES = (
    "The share of samples (%) of models that cannot be asked for a class{} that the classifier recognizes as each. "
    "A class that hardly occurs is one that the model has dropped or that the classifier does not recognize{}."
)
_DIVERSITY = (
    "Diversity within each class{}: the root mean square distance between two samples of the class in the "
    "classifier's feature space, beside that of real test images. Where it is below theirs, samples of the class are "
    "more alike than images are."
)


def absence(table: Table, kind: str) -> str:
    """What a cell without a number says, where there is one."""
    if f"| {ABSENT} |" not in (table.markdown or ""):
        return ""
    return f" {ABSENT} stands where there are fewer than {FEWEST} images of {kind}."


def _limit(accuracy: float | None) -> str:
    return "" if accuracy is None else f" (of real test images {percent(accuracy)} are recognized)"


def _bold(models: Mapping[str, Rows]) -> str:
    return " The best of each row is in bold." * (len(models) > 1)


def rows_of(experiment: Experiment) -> dict[str, Mapping[str, Any]]:
    """What metrics.json says of each class, by its name."""
    return {str(row["name"]): row for row in (experiment.metrics or {}).get("classes") or []}


def by_class(
    models: Mapping[str, Rows], written: Callable[[Mapping[str, Any]], str]
) -> list[list[str]]:
    """A row per class with its name, and a cell per model."""
    classes = dict.fromkeys(name for rows in models.values() for name in rows)
    return [
        [name, *(written(rows[name]) if name in rows else ABSENT for rows in models.values())]
        for name in classes
    ]


def share_in_percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.1f}"


def _is_asked(experiment: Experiment) -> bool:
    return (experiment.metrics or {}).get("classes_by") == "requested"


def _panel(experiment: Experiment, number: int) -> Panel:
    """The empty places of a class with few samples stay empty."""
    images = experiment.examined["class_samples"][:_MOST_CLASSES, :number]
    counts = experiment.examined["class_counts"][:_MOST_CLASSES]
    titles = list(rows_of(experiment))[:_MOST_CLASSES]
    shown = np.arange(images.shape[1]) < counts[:, None]
    return Panel(experiment.name, color_of(experiment.index), images, titles, shown=shown)


def _facts(experiment: Experiment) -> Mapping[str, Any]:
    return (experiment.exploration or {}) if "data_samples" in experiment.explored else {}


def _real_panel(experiment: Experiment, title: str, number: int) -> Panel:
    """Training images that the exploration of any model of a dataset left, the same for all of them."""
    images = experiment.explored["data_samples"][:_MOST_CLASSES, :number]
    classes = _facts(experiment)["data"]["classes"][:_MOST_CLASSES]
    shown = np.arange(images.shape[1]) < np.array([each["train"] for each in classes])[:, None]
    return Panel(title, INK, images, [each["name"] for each in classes], shown=shown)


def _accuracy(models: Mapping[str, Rows]) -> Table:
    return Table(accuracy_table("Class", models) if models else None)


def accuracy_table(what: str, models: Mapping[str, Rows], *, real: Rows | None = None) -> str:
    """How often each kind of sample is recognized, the best of the models in bold; real images in the last column."""

    def written(row: Mapping[str, Any]) -> str:
        spread, accuracy = row.get("label_accuracy_std"), row.get("label_accuracy")
        return share_in_percent(accuracy) + (
            f" ± {share_in_percent(spread)}" if None not in (spread, accuracy) else ""
        )

    lines = [_bold_best(line) for line in by_class(models, written)]
    if not real:
        return pipe_table([what, *models], lines, texts=1)
    lines = [[*line, written(real[line[0]])] for line in lines]
    return pipe_table([what, *models, "*real images*"], lines, texts=1)


def _bold_best(line: list[str]) -> list[str]:
    """Every cell that reads like the best is bold, if there is anything to beat."""
    values = {cell.partition(" ")[0] for cell in line[1:]} - {ABSENT}
    if len(values) < 2:
        return line
    best = max(values, key=float)
    bold = [
        f"**{best}**{cell.removeprefix(best)}" if cell.partition(" ")[0] == best else cell
        for cell in line[1:]
    ]
    return [line[0], *bold]


def _shares(models: Mapping[str, Rows], real: Mapping[str, float]) -> Table:
    """With real test images in the last column, where their classes were counted."""
    if not models:
        return Table(None)
    totals = {
        name: sum(row["num_samples"] for row in rows.values()) or 1 for name, rows in models.items()
    }
    shares = {
        name: {title: {"share": row["num_samples"] / totals[name]} for title, row in rows.items()}
        for name, rows in models.items()
    }
    if real:
        shares["*real images*"] = {title: {"share": share} for title, share in real.items()}
    return Table(
        pipe_table(
            ["Class", *shares],
            by_class(shares, lambda row: share_in_percent(row["share"])),
            texts=1,
        )
    )


def _real_shares(experiments: Sequence[Experiment]) -> dict[str, float]:
    """Of the test split by class, from what the exploration of any model counted."""
    for experiment in experiments:
        counted = ((experiment.exploration or {}).get("data") or {}).get("classes") or []
        total = sum(each["test"] for each in counted)
        if total:
            return {str(each["name"]): each["test"] / total for each in counted}
    return {}


def _diversity(models: Mapping[str, Rows]) -> Table:
    """With real images in the last column; all models were held against the same ones. Classes of which no model has
    enough samples are left out."""
    if not models:
        return Table(None)
    found = [
        row["diversity"]
        for rows in models.values()
        for row in rows.values()
        if row.get("diversity")
    ]
    places = decimals(found)

    def written(value: float | None) -> str:
        return ABSENT if value is None else f"{value:,.{places}f}"

    real: dict[str, float | None] = {}
    for rows in models.values():
        real |= {name: row.get("real_diversity") for name, row in rows.items()}
    lines = by_class(
        models, lambda row: written(row.get("diversity") if row["num_samples"] >= FEWEST else None)
    )
    lines = [[*line, written(real[line[0]])] for line in lines if {*line[1:]} != {ABSENT}]
    if not lines:
        return Table(None)
    return Table(pipe_table(["Class", *models, "*real images*"], lines, texts=1))
