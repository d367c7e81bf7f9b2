"""Tables computed from results, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentbench.artifacts.metrics import LABEL_ACCURACY, Metric, prdc_metrics
from latentbench.report.presentation.formatting import NBSP, count, decimals, duration
from latentbench.report.presentation.page import Table
from latentbench.report.results.study import (
    Experiment,
    RunGroup,
    Score,
    Study,
    mean_score,
)

ABSENT = "–"
NONE = "none"  # of a setting that is left open
_WIDE = 1_000  # of largest to smallest


def plain(value: float, places: int) -> str:
    return f"{value:,.{places}f}".replace("-", "\N{MINUS SIGN}")


def three_decimals(value: float, _: int) -> str:
    """Of shares and similarities, which lie between 0 and 1."""
    return plain(value, 3)


@dataclass(frozen=True)
class Column:
    """A quantity of each experiment. `better` is 1 where more is better, -1 where less is, 0 where neither.

    `metric` is its key where it is one: real images have it too.
    """

    title: str
    value: Callable[[Experiment], Score | None]
    better: int
    written: Callable[[float, int], str] = plain
    metric: str = ""

    @property
    def name(self) -> str:
        """Its title without the arrow."""
        return self.title.partition(NBSP)[0]


def summary(study: Study) -> Table:
    """A row per model: its cost, its distances to the real images, its reconstruction error; best in bold."""
    _, notes = study.with_files("metrics.csv", "evaluate", lambda e: e.checkpoints)
    return Table(models_table(study, _columns(study)), notes)


def overlap(study: Study) -> Table:
    """Precision, recall, density and coverage, a row per model; nothing where they were not measured."""
    columns = overlap_columns(study)
    return Table(models_table(study, list(columns.values())) if columns else None)


def overlap_columns(study: Study) -> dict[str, Column]:
    """By quantity; empty where they were not measured."""
    extractor = study.overlap_extractor
    if extractor is None:
        return {}
    return {
        metric.long_name: Column(
            f"{metric.name}{NBSP}↑", measured(metric.key), 1, three_decimals, metric=metric.key
        )
        for metric in prdc_metrics(extractor)
    }


def models_table(study: Study, columns: Sequence[Column]) -> str:
    """A row per model, one per set of repeats, and that of real images."""
    groups = study.by_dataset()
    columns = [column for column in columns if any(column.value(e) for e in study.experiments)]
    header = ["Model", *(column.title for column in columns)]
    rows: list[list[str]] = []
    for dataset, experiments in groups.items():
        run_groups = study.run_groups(experiments)
        labels = [e.name for e in experiments] + [
            f"*{c.name}*" for c in run_groups if len(c.members) > 1
        ]
        labels += ["*real images*"] * any(
            column.metric in e.floor for column in columns for e in experiments
        )
        cells = [_cells(column, experiments, run_groups)[: len(labels)] for column in columns]
        rows += [[*[dataset] * (len(groups) > 1), *row] for row in zip(labels, *cells, strict=True)]
    if len(groups) > 1:
        header.insert(0, "Dataset")
    return pipe_table(header, rows, texts=1 + (len(groups) > 1))


def pipe_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int) -> str:
    """The first `texts` columns are set left, the others, which are numbers, right."""
    rules = [":---" if place < texts else "---:" for place in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rules, *rows])


def _columns(study: Study) -> list[Column]:
    return [
        Column("Parameters", _parameters, 0, lambda value, _: count(value)),
        Column(f"Training{NBSP}↓", of_provenance("seconds"), -1, lambda value, _: duration(value)),
        Column(
            f"Images/s{NBSP}↑",
            of_provenance("images_per_second"),
            1,
            lambda value, _: f"{value:,.0f}",
        ),
        Column(
            f"Memory (MB){NBSP}↓",
            of_provenance("peak_memory_mb"),
            -1,
            lambda value, _: f"{value:,.0f}",
        ),
        *(distance_column(metric) for metric in study.metrics),
        AS_ASKED,
        SQUARED_ERROR,
        Column(f"PSNR (dB){NBSP}↑", reconstructed("psnr"), 1, lambda value, _: f"{value:.1f}"),
    ]


def measured(key: str) -> Callable[[Experiment], Score | None]:
    return lambda experiment: experiment.score(key)


def of_provenance(key: str) -> Callable[[Experiment], Score | None]:
    return lambda experiment: _finite((experiment.provenance or {}).get(key))


def reconstructed(key: str, split: str = "test") -> Callable[[Experiment], Score | None]:
    return lambda experiment: _finite(experiment.reconstruction(split).get(key))


def _parameters(experiment: Experiment) -> Score | None:
    networks = (experiment.provenance or {}).get("parameters")
    return _finite(sum(networks.values())) if networks else None


def _finite(value: Any) -> Score | None:
    return Score(float(value)) if isinstance(value, int | float) and math.isfinite(value) else None


AS_ASKED = Column(
    f"As asked{NBSP}↑", measured(LABEL_ACCURACY), 1, three_decimals, metric=LABEL_ACCURACY
)
SQUARED_ERROR = Column(f"MSE{NBSP}↓", reconstructed("mse"), -1)


def distance_column(metric: Metric) -> Column:
    return Column(f"{metric.name}{NBSP}↓", measured(metric.key), -1, metric=metric.key)


def score_of(column: Column, run_group: RunGroup) -> Score | None:
    """Of repeats the mean and the standard deviation over them; None unless all of them have the quantity."""
    scores = [score for member in run_group.members if (score := column.value(member)) is not None]
    if len(scores) < len(run_group.members):
        return None
    return mean_score(scores) if len(scores) > 1 else scores[0]


def _cells(
    column: Column, experiments: Sequence[Experiment], run_groups: Sequence[RunGroup]
) -> list[str]:
    """One column: a cell per experiment, one per set of repeats, then that of the real images.

    Among the contenders every cell that reads like the best is bold, if there is anything to beat: repeats compete as
    one, by their mean.
    """
    scores = [column.value(experiment) for experiment in experiments]
    found = [score for score in scores if score is not None]
    places = places_of(found)
    floor = next((e.floor[column.metric] for e in experiments if column.metric in e.floor), None)
    real = "" if floor is None else column.written(floor, places(floor))
    singles = [experiment.name for experiment in experiments]
    competing = {run_group.name: score_of(column, run_group) for run_group in run_groups}
    together = {name: score for name, score in competing.items() if name not in singles}
    best = _best(column, [score for score in competing.values() if score is not None], places)
    cells = []
    for name, score in [*zip(singles, scores, strict=True), *together.items()]:
        if score is None:
            cells.append(ABSENT)
            continue
        text = _mean(column, score, places)
        bold = f"**{text}**" if name in competing and text == best else text
        cells.append(
            bold
            + _spread(column, score, places, measured=any(each.std is not None for each in found))
        )
    return [*cells, real]


def _mean(column: Column, score: Score, places: Callable[[float], int]) -> str:
    return column.written(score.mean, places(score.mean))


def _spread(column: Column, score: Score, places: Callable[[float], int], *, measured: bool) -> str:
    """Nothing where it is not known, or where trainings do not differ in what has none within a training."""
    if score.std is None or (score.std == 0 and not measured):
        return ""
    return f" ± {column.written(score.std, places(score.mean))}"


def _best(column: Column, competing: Sequence[Score], places: Callable[[float], int]) -> str | None:
    """As it is written; None where there is nothing to beat."""
    if column.better == 0 or len({_mean(column, score, places) for score in competing}) < 2:
        return None
    return _mean(column, max(competing, key=lambda score: column.better * score.mean), places)


def places_of(scores: Sequence[Score]) -> Callable[[float], int]:
    """The decimal places of each number of a column: the same ones, unless the column spans orders of magnitude."""
    sizes = [abs(score.mean) for score in scores if score.mean]
    if sizes and max(sizes) > _WIDE * min(sizes):
        return lambda value: decimals([value])
    same = decimals(sizes)
    spreads = [score.std for score in scores if score.std]
    # One more where no spread at all would be seen.
    same += bool(spreads) and round(max(spreads), same) == 0
    return lambda _: same


def flatten(section: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """`{model: {width: 32}}` as `{model.width: 32}` in words, without the names of experiment and study."""
    flat: dict[str, str] = {}
    # The objective goes first: it is what decides which settings there are.
    for key, value in sorted(section.items(), key=lambda item: item[0] != "name"):
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{above}{key}.")
        elif above or key not in {"name", "study"}:
            flat[f"{above}{key}"] = _setting(value)
    return flat


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_setting, value))
    if value is None or isinstance(value, bool):
        return {None: NONE, True: "yes", False: "no"}[value]
    return np.format_float_positional(value, trim="0") if isinstance(value, float) else str(value)
