"""The searches for settings: what was tried for each model, and what was selected."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from latentbench.artifacts.metrics import METRICS
from latentbench.results import Study, Table
from latentbench.results.formatting import NBSP, escape_markdown, join_words
from latentbench.results.frames import setting_text
from latentbench.results.quantities import decimal_places, format_number
from latentbench.results.tables import pipe_table


def table(study: Study) -> Table:
    """Return a row per trial: its values and its distance to the validation images."""
    searches = study.searches
    if searches.empty:
        return Table(None)
    places = decimal_places(list(searches["mean"].dropna()), list(searches["std"].dropna()))
    rows = searches.assign(Model=searches["experiment"].map(escape_markdown))
    rows["Tried"] = [_values(values) for values in searches["values"]]
    rows["Distance ↓"] = [
        _distance(mean, std, places, is_selected=is_selected)
        for mean, std, is_selected in searches[["mean", "std", "is_selected"]].itertuples(
            index=False
        )
    ]
    return Table(pipe_table(rows[["Model", "Tried", "Distance ↓"]], num_text=2))


def budget(study: Study) -> str:
    """Return how many combinations of settings were tried for each model."""
    counts = study.searches["experiment"].value_counts()
    tried = {each.name: int(counts.get(each.name, 0)) for each in study}
    numbers = set(tried.values())
    if len(numbers) == 1:
        return f"All models have the same budget: {numbers.pop()} combinations each."
    models: dict[int, list[str]] = {}
    for name, number in tried.items():
        models.setdefault(number, []).append(escape_markdown(name))
    parts = [f"{number} for {join_words(names)}" for number, names in sorted(models.items())]
    return (
        f"The budgets differ. Combinations tried: {'; '.join(parts)}. A model with fewer may be "
        "worse for that alone."
    )


def caption(study: Study) -> str:
    """Return what the distances are, and between which images."""
    searched = [each for each in study if each.selection]
    facts = searched[0].selection
    names = {metric.key: metric.name for metric in METRICS}
    images = {each.dataset: _validation_images(each.selection) for each in searched}
    if len(images) > 1:
        shown = [f"{text} of {escape_markdown(name)}" for name, text in images.items()]
    else:
        shown = list(images.values())
    return (
        "Settings that were tried before the reported trainings. Each combination was trained "
        f"once, with a seed that no reported training has. {names[facts['metric']]} is of "
        f"{facts['num_seeds']} × {facts['num_samples']:,} samples to {join_words(shown)}. Nothing "
        "else uses these images: no model was trained on them, and no reported number was measured "
        "with them. The reported trainings have the settings of the distance in bold."
    )


def _validation_images(facts: Mapping[str, Any]) -> str:
    """Return the number of validation images, and the share of each class."""
    text = f"{facts['num_images']:,} validation images"
    counts = list(facts["class_counts"].values())
    if not counts:
        return text
    smallest, largest = (
        f"{100 * number / sum(counts):.3g}" for number in (min(counts), max(counts))
    )
    shares = smallest if smallest == largest else f"{smallest} to {largest}"
    return f"{text} ({len(counts)} classes with {shares}{NBSP}% each)"


def _values(values: dict[str, object]) -> str:
    return "; ".join(f"`{key}` {escape_markdown(setting_text(own))}" for key, own in values.items())


def _distance(mean: float, std: float, places: Callable[[float], int], *, is_selected: bool) -> str:
    if math.isnan(mean):
        return "diverged"
    text = format_number(mean, places(mean))
    text = f"**{text}**" if is_selected else text
    return text if math.isnan(std) else f"{text} ± {format_number(std, places(mean))}"
