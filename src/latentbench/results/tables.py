"""Tables of models, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import pandas as pd

from latentbench.artifacts.metrics import (
    CLASS_SHARES,
    LABEL_ACCURACY,
    NAMES,
    PRDC,
    Metric,
    feature_column,
)
from latentbench.results.experiment import Experiment, RunGroup
from latentbench.results.formatting import escape_markdown, join_words
from latentbench.results.quantities import (
    ARROWS,
    CPU_SECONDS,
    IMAGES,
    IMAGES_PER_SECOND,
    MEMORY,
    MSE,
    PARAMETERS,
    PSNR,
    SECONDS,
    Quantity,
    decimal_places,
    format_fraction,
    format_number,
)
from latentbench.results.ranking import (
    SMALLEST_P,
    by_prior,
    compare,
    competing,
    depends_on_prior,
    gap_text,
    generative,
    interval_text,
    primary,
    rank,
    score,
    scores_of,
    scores_of_members,
)
from latentbench.results.study import Study

ABSENT = "–"
REAL = "*real images*"
SHARES_ALONE = Quantity(CLASS_SHARES, "FD of class shares", -1)
_MOST_PAIRS = 30
AS_REQUESTED = Quantity(LABEL_ACCURACY, "As requested", 1, format_fraction)

# Columns of `Study.likelihoods` and the titles under which they are shown.
_BOUNDS = {
    "elbo_nats": f"ELBO (nats){ARROWS[1]}",
    "bound_nats": f"Bound (nats){ARROWS[1]}",
    "gap_nats": "Gap (nats)",
    "elbo_bits_per_dimension": f"ELBO (bits/dim){ARROWS[-1]}",
    "bound_bits_per_dimension": f"Bound (bits/dim){ARROWS[-1]}",
}


@dataclass(frozen=True)
class Table:
    """A Markdown pipe table; None if there is nothing to tabulate."""

    markdown: str | None
    notes: Sequence[str] = ()


def distance(metric: Metric) -> Quantity:
    """Return the quantity of a distance to the real images."""
    return Quantity(metric.key, metric.name, -1)


def prdc_quantities(study: Study) -> dict[str, Quantity]:
    """Return precision, recall, density and coverage by name; empty if they were not measured."""
    extractor = study.prdc_extractor
    if extractor is None:
        return {}
    return {
        name: Quantity(feature_column(name, extractor), name.capitalize(), 1, format_fraction)
        for name in PRDC
    }


def summary(study: Study) -> Table:
    """Return a row per model: its speed, its distances and its reconstruction error."""
    _, notes = study.with_rows(study.metrics, "metrics.csv", "evaluate")
    notes += study.notes_on_repeats()
    quantities = [SECONDS, IMAGES_PER_SECOND]
    quantities += map(distance, study.measured_metrics)
    quantities += [SHARES_ALONE, AS_REQUESTED, MSE, PSNR]
    return Table(models_table(study, quantities), notes)


def glance(study: Study) -> Table:
    """Return a row per model: distance, fidelity and coverage of its samples, and its cost."""
    metric, _ = primary(study, generative(study, study.run_groups()))
    if metric is None:
        return Table(None)
    overlap = prdc_quantities(study)
    others = [overlap[name] for name in ("precision", "density", "coverage") if overlap]
    others += [PARAMETERS, IMAGES, CPU_SECONDS, replace(MEMORY, better=0)]
    quantities = [distance(metric), *(replace(each, shows_spread=False) for each in others)]
    return Table(models_table(study, quantities), study.notes_on_repeats())


def published(study: Study) -> Table:
    """Return a row per published value, with what was measured here at the last checkpoint."""
    runs = {run.members[0].name: run for run in study.run_groups()}
    rows = []
    for name, value in study.config.published.items():
        quantity = Quantity(value.metric, NAMES[value.metric], -1)
        found = rank(study, quantity, [runs[name]]) if name in runs else []
        rows.append(
            {
                "Model": escape_markdown(name),
                "Metric": quantity.title,
                "Source": escape_markdown(value.source),
                "Published": f"{value.value:g}",
                "Here": found[0].text if found else ABSENT,
            }
        )
    return Table(pipe_table(pd.DataFrame(rows), num_text=3) if rows else None)


def prdc(study: Study) -> Table:
    """Return a row per model: precision, recall, density and coverage."""
    quantities = prdc_quantities(study)
    return Table(models_table(study, list(quantities.values())) if quantities else None)


def likelihoods(study: Study) -> Table:
    """Return a row per VAE and prior: the ELBO and the importance-weighted bound on test images.

    Numbers are means over trainings.
    """
    if study.likelihoods.empty:
        return Table(None)
    lines = []
    for (name, prior), rows in study.likelihoods.groupby(["experiment", "prior"], sort=False):
        line = {"Dataset": escape_markdown(study[name].dataset), "Model": escape_markdown(name)}
        line["Prior"] = escape_markdown(study[name].prior_name(prior))
        for column, title in _BOUNDS.items():
            error = rows[f"{column}_std_error"].astype(float).mean()
            line[title] = _with_error(
                rows[column].mean(), rows[column].std() if len(rows) > 1 else error
            )
        lines.append(line)
    table = pd.DataFrame(lines)
    if not study.has_several_datasets:
        table = table.drop(columns="Dataset")
    return Table(pipe_table(table, num_text=table.shape[1] - len(_BOUNDS)))


def _with_error(mean: float, error: float) -> str:
    """Return a mean ± its error, with two digits of the error; without one, the mean alone."""
    if not error > 0:
        return format_number(mean, 3)
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{format_number(mean, places)} ± {format_number(error, places)}"


def likelihoods_caption(study: Study) -> str:
    """Return what the table of `likelihoods` shows; empty without one."""
    rows = study.likelihoods
    if rows.empty:
        return ""
    images, draws = (
        join_words([f"{number:,}" for number in sorted(rows[column].unique())])
        for column in ("num_images", "num_draws")
    )
    spread = "standard error over images"
    if rows["training"].nunique() > rows["experiment"].nunique():
        spread += "; of several trainings, the standard deviation over these"
    return (
        f"The log-likelihood of {images} test images after the last epoch, bounded from below by "
        f"the ELBO and by importance weighting with {draws} draws per image [@burda2016], "
        "in nats per image and in bits per dimension. Both are computed from the same draws, and "
        "the gap is their difference by image. The density of a model has the prior that its "
        f"latents are drawn from. ± is the {spread}."
    )


def comparisons(study: Study) -> Table:
    """Return a row per pair of models with repeats: their difference in distance and its test.

    With more than 30 pairs on a dataset, only those with the closest model are shown.
    """
    rows = []
    for dataset, runs in study.runs_by_dataset().items():
        _, order = primary(study, generative(study, runs))
        tests = compare(order)
        pairs = [pair for pair in combinations(order, 2) if tests.between(*pair)]
        if len(pairs) > _MOST_PAIRS:
            pairs = [pair for pair in pairs if pair[0] is order[0]]
        for one, other in pairs:
            test = tests.between(other, one)
            assert test is not None
            p_value = f"{test.p_value:.3f}" if test.p_value >= SMALLEST_P else f"< {SMALLEST_P}"
            row = {"Dataset": escape_markdown(dataset)} if study.has_several_datasets else {}
            row |= {
                "Model": other.in_markdown,
                "Against": one.in_markdown,
                "Metric": other.quantity.name,
                "Difference": gap_text(one, other),
                "95 % CI": interval_text(one, other, test),
                "p": f"**{p_value}**" if test.is_significant else p_value,
                "Hedges' g": format_number(test.effect_size, 1),
            }
            rows.append(row)
    if not rows:
        return Table(None)
    return Table(pipe_table(pd.DataFrame(rows), num_text=3 + study.has_several_datasets))


def models_table(study: Study, quantities: Sequence[Quantity]) -> str:
    """Return a row per experiment, then per set of repeats, then of real images; the best in bold.

    Numbers of an experiment are means over its trainings. It has a row per prior that its samples
    were measured with; what does not depend on the prior is in the first.
    """
    several = study.has_several_datasets
    has_priors = any(depends_on_prior(study, quantity) for quantity in quantities)
    shown = [quantity for quantity in quantities if len(scores_of(study, quantity))]
    rows = []
    for dataset, runs in study.runs_by_dataset().items():
        experiments = study.by_dataset()[dataset]
        lines = _lines(study, experiments, runs, has_priors=has_priors)
        table = pd.DataFrame(
            {quantity.title: _cells(study, quantity, lines, runs) for quantity in shown},
            index=lines,
        )
        if any(quantity.key in each.floor for quantity in shown for each in experiments):
            table.loc[REAL] = [_real(study, quantity, experiments) for quantity in shown]
        rows.append(table.rename_axis("Model").reset_index())
        if several:
            rows[-1].insert(0, "Dataset", escape_markdown(dataset))
    return pipe_table(pd.concat(rows), num_text=1 + several)


def best_in_bold(study: Study) -> str:
    """Return a sentence on bold numbers, with a space before it; nothing without rivals."""
    if all(len(runs) < 2 for runs in study.runs_by_dataset().values()):
        return ""
    column = "each column by dataset" if study.has_several_datasets else "each column"
    if not study.has_repeats:
        return f" The best number of {column} is in bold: of these trainings, not of the models."
    return (
        f" The best number of {column} is in bold, repeats as one, with those that Welch's test "
        "does not distinguish from it. Numbers of one training have no test."
    )


def percent_cell(share: float | None) -> str:
    """Return a share in percent without its unit, which the table's header gives."""
    return ABSENT if share is None or math.isnan(share) else f"{100 * share:.1f}"


def pipe_table(table: pd.DataFrame, *, num_text: int) -> str:
    """Return a table of Markdown cells; the first columns are text and set left, others right."""
    align = ["left"] * num_text + ["right"] * (table.shape[1] - num_text)
    return str(table.to_markdown(index=False, colalign=align, disable_numparse=True))


def _lines(
    study: Study,
    experiments: Sequence[Experiment],
    runs: Sequence[RunGroup],
    *,
    has_priors: bool,
) -> dict[str, RunGroup]:
    """Return the rows of a table by their labels: experiments, then sets of repeats."""
    alone = [study.trainings_of(experiment) for experiment in experiments]
    names = {run.name for run in alone}
    groups = [run for run in runs if run.name not in names]
    if has_priors:
        alone, groups = by_prior(study, alone), by_prior(study, groups)
    lines = {run.in_markdown: run for run in alone}
    return lines | {f"*{run.in_markdown}*": run for run in groups}


def _cells(
    study: Study, quantity: Quantity, lines: Mapping[str, RunGroup], runs: Sequence[RunGroup]
) -> pd.Series:
    """Return a cell per line, with the mean over its trainings.

    Experiments that differ in the seed alone compete as one, by their mean. The best is bold, with
    every cell that prints like it and those that no test distinguishes from it, unless that is all.
    """
    is_of_samples = depends_on_prior(study, quantity)
    tables = {run.prior: scores_of(study, quantity, run.prior) for run in lines.values()}
    own = pd.concat([scores_of_members(tables[run.prior], run) for run in lines.values()])
    places = decimal_places(list(own["mean"]), list(own["std"]))
    best = _best(study, quantity, runs)
    has_spread = bool(own["std"].notna().any())
    cells = {}
    for label, run in lines.items():
        if run.prior not in (None, run.members[0].prior) and not is_of_samples:
            cells[label] = ""
            continue
        value = score(tables[run.prior], run)
        text = ABSENT if value is None else quantity.format(value[0], places(value[0]))
        name = run.name if is_of_samples else replace(run, prior=None).name
        if name in best:
            text = f"**{text}**"
        # Repeats may agree exactly in what has no spread within a training.
        has_std = value and not math.isnan(value[1]) and (value[1] or has_spread)
        if value and has_std and quantity.shows_spread:
            text += f" ± {quantity.format(value[1], places(value[0]))}"
        cells[label] = text
    return pd.Series(cells)


def _best(study: Study, quantity: Quantity, runs: Sequence[RunGroup]) -> set[str]:
    """Return the names of the runs that are bold; none where nothing is better than another."""
    order = rank(study, quantity, competing(study, quantity, runs))
    if quantity.better == 0 or not order:
        return set()
    leaders = {each.name for each in compare(order).leaders(order)}
    best = {each.name for each in order if each.mean_text == order[0].mean_text} | leaders
    return best if len(best) < len(order) else set()


def _real(study: Study, quantity: Quantity, experiments: Sequence[Experiment]) -> str:
    """Return the cell of real images; empty where the quantity is not one of theirs."""
    measured = [each.floor for each in experiments if quantity.key in each.floor]
    if not measured:
        return ""
    mean, std = measured[0][quantity.key], measured[0].get(f"{quantity.key}_std")
    own = scores_of(study, quantity).reindex([each.name for each in experiments]).dropna(how="all")
    places = decimal_places(list(own["mean"]), list(own["std"]))
    text = quantity.format(mean, places(mean))
    return (
        text
        if std is None or not quantity.shows_spread
        else f"{text} ± {quantity.format(std, places(mean))}"
    )
