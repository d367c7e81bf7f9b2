"""Tables computed from results, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latentbench.artifacts.layout import OVERLAPS, overlap_column
from latentbench.report.quantities import NBSP, count, decimals, duration, listed
from latentbench.report.results import LABEL_ACCURACY, Contender, Experiment, Score, Study, mean_score
from latentbench.report.show import Table

ABSENT = "–"
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


def summary(study: Study) -> Table:
    """A row per model: its cost, its distances to the real images, its reconstruction error; best in bold."""
    _, notes = study.having("metrics.csv", "evaluate", lambda e: e.checkpoints)
    return Table(models_table(study, _columns(study)), notes)


def overlap(study: Study) -> Table:
    """Precision, recall, density and coverage, a row per model; nothing where they were not measured."""
    extractor = study.overlap_extractor
    if extractor is None:
        return Table(None)
    keys = {quantity: overlap_column(quantity, extractor) for quantity in OVERLAPS}
    columns = [
        Column(f"{quantity.capitalize()}{NBSP}↑", measured(key), 1, three_decimals, metric=key)
        for quantity, key in keys.items()
    ]
    return Table(models_table(study, columns))


def models_table(study: Study, columns: Sequence[Column]) -> str:
    """A row per model, one per set of repeats, and that of real images."""
    groups = study.by_dataset()
    columns = [column for column in columns if any(column.value(e) for e in study.experiments)]
    header = ["Model", *(column.title for column in columns)]
    rows: list[list[str]] = []
    for dataset, experiments in groups.items():
        repeats = [contender for contender in study.contenders(experiments) if len(contender.members) > 1]
        labels = [e.name for e in experiments] + [f"*{r.name}, {len(r.members)} trainings*" for r in repeats]
        labels += ["*real images*"] * any(column.metric in e.floor for column in columns for e in experiments)
        cells = [_cells(column, experiments, repeats)[: len(labels)] for column in columns]
        rows += [[*[dataset] * (len(groups) > 1), *row] for row in zip(labels, *cells, strict=True)]
    if len(groups) > 1:
        header.insert(0, "Dataset")
    return pipe_table(header, rows, texts=1 + (len(groups) > 1))


def architectures(study: Study) -> list[tuple[str, Table]]:
    """Networks, a row per layer, for one image, under the names of those who have them; last, what is missing."""
    present, notes = study.having("architecture.csv", "train", lambda e: e.layers)
    missing = [("others", Table(None, notes))] if notes else []
    owners: dict[str, list[Experiment]] = {}
    for experiment in present:
        owners.setdefault(repr(experiment.layers), []).append(experiment)
    named = [(listed([f"**{e.name}**" for e in alike]), _layers(alike[0])) for alike in owners.values()]
    return [*named, *missing]


def _layers(experiment: Experiment) -> Table:
    rows: list[list[str]] = []
    before = ""
    for layer in experiment.layers:
        shown = [layer["kind"], *(layer[key] for key in ("kernel", "stride", "padding", "output"))]
        counts = [f"{int(layer[key]):,}" if int(layer[key]) else "" for key in ("parameters", "multiply_adds")]
        rows.append([layer["network"] if layer["network"] != before else "", *shown, *counts])
        before = layer["network"]
    total = [sum(int(layer[key]) for layer in experiment.layers) for key in ("parameters", "multiply_adds")]
    rows.append(["*all*", *[""] * 5, *(f"{number:,}" for number in total)])
    header = ["Network", "Layer", "Kernel", "Stride", "Padding", "Output", "Parameters", "Multiply-adds"]
    return Table(pipe_table(header, rows, texts=6))


def settings(study: Study) -> tuple[Table, Table]:
    """Settings that differ between the experiments, and those that all share."""
    present, notes = study.having("config.yaml", "configure", lambda e: e.settings)
    flat = {e.name: flatten(e.settings or {}) for e in present}
    differing, shared = _compared(flat, code=True)
    if len(present) == 1:
        notes = [*notes, "One experiment alone has nothing to differ from."]
    return Table(differing, notes), Table(shared)


def provenance(study: Study) -> tuple[Table, Table]:
    """What made the results: what differs between the experiments, and what all share."""
    present, notes = study.having("provenance.json", "train", lambda e: e.provenance)
    differing, shared = _compared({e.name: _origin(e) for e in present}, code=False)
    return Table(differing, notes), Table(shared)


def pipe_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int) -> str:
    """The first `texts` columns are set left, the others, which are numbers, right."""
    rules = [":---" if place < texts else "---:" for place in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rules, *rows])


def _columns(study: Study) -> list[Column]:
    return [
        Column("Parameters", _parameters, 0, lambda value, _: count(value)),
        Column(f"Training{NBSP}↓", of_provenance("seconds"), -1, lambda value, _: duration(value)),
        Column(f"Images/s{NBSP}↑", of_provenance("images_per_second"), 1, lambda value, _: f"{value:,.0f}"),
        Column(f"Memory (MB){NBSP}↓", of_provenance("peak_memory_mb"), -1, lambda value, _: f"{value:,.0f}"),
        *(Column(f"{metric.name}{NBSP}↓", measured(metric.key), -1, metric=metric.key) for metric in study.metrics),
        Column(f"Class asked{NBSP}↑", measured(LABEL_ACCURACY), 1, three_decimals),
        Column(f"MSE{NBSP}↓", reconstructed("mse"), -1),
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


def _over_trainings(column: Column, repeats: Contender) -> Score | None:
    """The mean over repeats and its standard deviation; None unless all of them have the quantity."""
    scores = [score for member in repeats.members if (score := column.value(member)) is not None]
    return mean_score(scores) if len(scores) == len(repeats.members) else None


def _cells(column: Column, experiments: Sequence[Experiment], repeats: Sequence[Contender] = ()) -> list[str]:
    """One column: a cell per experiment, one per set of repeats, then that of the real images.

    Every cell that reads like the best is bold, if there is anything to beat.
    """
    scores = [column.value(experiment) for experiment in experiments]
    found = [score for score in scores if score is not None]
    places = _places([score.mean for score in found])
    floor = next((e.floor[column.metric] for e in experiments if column.metric in e.floor), None)
    real = "" if floor is None else column.written(floor, places(floor))
    together = [_over_trainings(column, each) for each in repeats]
    if not found:
        return [*[ABSENT] * (len(scores) + len(together)), real]
    best_mean = max(found, key=lambda score: column.better * score.mean).mean
    best = column.written(best_mean, places(best_mean))
    cells = []
    for score in scores:
        if score is None:
            cells.append(ABSENT)
            continue
        text = column.written(score.mean, places(score.mean))
        is_best = column.better != 0 and len(found) > 1 and text == best
        spread = "" if score.std is None else f" ± {column.written(score.std, places(score.mean))}"
        cells.append(f"**{text}**{spread}" if is_best else f"{text}{spread}")
    for score in together:
        if score is None:
            cells.append(ABSENT)
        else:
            spread = f" ± {column.written(score.std, places(score.mean))}" if score.std else ""
            cells.append(column.written(score.mean, places(score.mean)) + spread)
    return [*cells, real]


def _places(values: Sequence[float]) -> Callable[[float], int]:
    """The decimal places of each number of a column: the same ones, unless the column spans orders of magnitude."""
    sizes = [abs(value) for value in values if value]
    if sizes and max(sizes) > _WIDE * min(sizes):
        return lambda value: decimals([value])
    same = decimals(values)
    return lambda _: same


def _compared(values: Mapping[str, Mapping[str, str]], *, code: bool) -> tuple[str | None, str | None]:
    """A table of the rows in which the columns of `values` differ, and one of those that all share."""
    keys = dict.fromkeys(key for column in values.values() for key in column)
    differing, shared = [], []
    for key in keys:
        cells = [column.get(key, ABSENT) for column in values.values()]
        title = f"`{key}`" if code else key
        if len(set(cells)) > 1:
            differing.append([title, *cells])
        else:
            shared.append([title, cells[0]])
    rows = [["", *values], *differing]
    if len(values) > len(differing):  # the longer side runs down the page
        rows = [list(column) for column in zip(*rows, strict=True)]
    return (
        pipe_table(rows[0], rows[1:], texts=len(rows[0])) if differing else None,
        pipe_table(["", "All models" if len(values) > 1 else next(iter(values))], shared, texts=2) if shared else None,
    )


def flatten(section: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """`{model: {width: 32}}` as `{model.width: 32}`, without the names of experiment and study."""
    flat: dict[str, str] = {}
    # The objective goes first: it is what decides which settings there are.
    for key, value in sorted(section.items(), key=lambda item: item[0] != "objective"):
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{above}{key}.")
        elif above or key not in {"name", "study"}:
            flat[f"{above}{key}"] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return flat


def _origin(experiment: Experiment) -> dict[str, str]:
    record = experiment.provenance or {}
    packages = record.get("packages") or {}
    commit = f"`{str(record.get('commit'))[:12]}`" if record.get("commit") else "not from a git repository"
    digest = record.get("data_digest")
    rows = {
        "Commit": commit + (" with uncommitted changes" if record.get("uncommitted_changes") else ""),
        "Command": _code(record.get("command")),
        "Seed": record.get("seed"),
        "Data digest": _code(digest[:16]) if digest else None,
        "Device": record.get("device"),
        "Processor": record.get("processor"),
        "Cores": record.get("cores"),
        "CPU threads used": record.get("threads"),
        "Precision": record.get("precision"),
        "System": record.get("system"),
        "Python": record.get("python"),
        **{str(name): version for name, version in packages.items()},
    }
    return {key: str(value).replace("|", "\\|") for key, value in rows.items() if value is not None}


def _code(text: Any) -> str | None:
    return f"`{text}`" if text else None
