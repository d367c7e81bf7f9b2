"""Images of latents and label embeddings that are shortened, scaled, noisy or random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from latentbench.report.latent.sample_grids import draw_panels
from latentbench.report.presentation import page, style
from latentbench.report.presentation.image_grids import Panel, panels_figures
from latentbench.results import Experiment, Study
from latentbench.results.formatting import NBSP, join_words, percent

# Images in a row of a panel, by how many panels stand next to one another.
_IMAGES = {1: 12, 2: 8, 3: 5}
_LABELS = {1: 13, 2: 10}
_MAX_EMBEDDINGS = {1: 6, 2: 4}
_MAX_MEANS = 13
_MAX_DIRECTIONS = 4
_MAX_LARGE_WALKS = 8  # rows of all models; with more, two models stand next to one another


def truncated(study: Study) -> page.Drawing:
    """Return images of the same latents within ever tighter bounds, a row per bound."""

    def panel(experiment: Experiment, across: int) -> Panel:
        bounds = experiment.latent["truncations"]
        rows = ["plain" if bound is None else f"τ = {bound:g}" for bound in bounds]
        return _panel(experiment, "truncated", _IMAGES[across], rows)

    found = study.with_latent("truncated", facts=["truncations"])
    return draw_panels(study, found, panel, "Samples whose latents have ever tighter bounds, by")


def noise_around_mean(study: Study) -> page.Drawing:
    """Return images of growing noise around the mean latent, a row per standard deviation."""
    return _noise(study, "noise_latent", _IMAGES, "Images of noise around the mean latent, by")


def noise_around_labels(study: Study) -> page.Drawing:
    """Return images of one latent under label embeddings with growing noise."""
    return _noise(study, "noise_embedding", _LABELS, "Images under noisy label embeddings, by")


def _noise(study: Study, array: str, numbers: Mapping[int, int], description: str) -> page.Drawing:
    """Return a row per standard deviation; conditional models have a column per label."""

    def panel(experiment: Experiment, across: int) -> Panel:
        rows = [f"σ = {sigma:g}" for sigma in experiment.latent["sigmas"]]
        columns = experiment.latent.get("label_names") or []
        return _panel(experiment, array, numbers[across], rows, columns)

    found = study.with_latent(array, facts=["sigmas"])
    return draw_panels(study, found, panel, description, max(numbers))


def random_embeddings(study: Study) -> page.Drawing:
    """Return images under random label embeddings, a row per embedding."""

    def panel(experiment: Experiment, across: int) -> Panel:
        facts = experiment.latent["random_embeddings"][: _MAX_EMBEDDINGS[across]]
        rows = list(map(_embedding_label, facts))
        return _panel(experiment, "random_embedding", _IMAGES[across + 1], rows)

    found = study.with_latent("random_embedding", facts=["random_embeddings"])
    return draw_panels(study, found, panel, "Images under random label embeddings, by", 2)


def _panel(
    experiment: Experiment, array: str, number: int, rows: list[str], columns: Sequence[str] = ()
) -> Panel:
    """Return a panel with the first `number` images of each row of an array."""
    images = experiment.latent_arrays[array][: len(rows), :number]
    color = style.color_of(experiment.index)
    return Panel(experiment.name, color, images, rows, columns[:number])


def _embedding_label(embedding: Mapping[str, Any]) -> str:
    """Return `near ship (0.5)` above the class that the classifier sees most."""
    nearest = f"near {embedding['nearest']} ({embedding['distance']:.1f})"
    shares = embedding.get("predicted") or {}
    if not shares:
        return nearest
    most = max(shares, key=shares.__getitem__)
    return f"{nearest}\n{percent(shares[most], 0)} seen as {most}"


def embedding_agreement(study: Study) -> str:
    """Return how often the classifier sees the label of the nearest embedding, as a sentence."""
    shares = []
    for each in study:
        if "embedding_agreement" in each.latent:
            share = percent(each.latent["embedding_agreement"], 0)
            shares.append(f"{share} of the images of {each.in_markdown}")
    return f"The classifier sees the nearest label in {join_words(shares)}." if shares else ""


def means(study: Study) -> page.Drawing:
    """Return images of mean latents, a row per model.

    Conditional models have an image per label, models with an encoder one per class. Models with
    a single image share a row.
    """
    present, notes = study.with_latent("means", facts=["means"])
    if not present:
        return page.Drawing(None, notes=notes)
    single = [each for each in present if len(each.latent["means"]) == 1]
    panels = []
    for group in study.by_dataset(single).values():
        for start in range(0, len(group), _MAX_MEANS):
            line = group[start : start + _MAX_MEANS]
            images = np.stack([each.latent_arrays["means"][0] for each in line])[None]
            panels.append(Panel("", style.INK, images, ["zero"], [each.name for each in line]))
    above: list[str] = []
    for experiment in present:
        titles = experiment.latent["means"][:_MAX_MEANS]
        if len(titles) > 1:
            titles = ["zero" if title == "zero vector" else title for title in titles]
            images = experiment.latent_arrays["means"][None, :_MAX_MEANS]
            columns = titles if titles != above else []  # once above the rows that share them
            color = style.color_of(experiment.index)
            panels.append(Panel("", color, images, [experiment.name], columns, row_color=color))
            above = titles
    figures = panels_figures([panels], across=1)
    return page.Drawing.of(figures, "Images of mean latents, by", present, notes)


def scaled(study: Study) -> page.Drawing:
    """Return real images, and images of their latents times a growing factor."""

    def panel(experiment: Experiment, across: int) -> Panel:
        number = 4 if across == 1 else 2
        real = experiment.latent_arrays["scaled_real"][:number, None]
        images = np.concatenate([real, experiment.latent_arrays["scaled"][:number]], axis=1)
        first, *others = [f"{factor:g}" for factor in experiment.latent["scales"]]
        columns = ["real", f"t{NBSP}={NBSP}{first}", *others]
        color = style.color_of(experiment.index)
        return Panel(experiment.name, color, images, columns=columns, split=1)

    found = study.with_latent("scaled", "scaled_real", facts=["scales"])
    return draw_panels(study, found, panel, "Images of scaled latents of real images, by", 2)


def walks(study: Study) -> page.Drawing:
    """Return images moved along the directions of attributes, a row per attribute."""
    found = study.with_latent("directions", facts=["directions", "direction_steps"])
    number = 2 if len(found[0]) == 1 else 1  # images per attribute

    def panel(experiment: Experiment, _: int) -> Panel:
        directions = experiment.latent["directions"][:_MAX_DIRECTIONS]
        images = experiment.latent_arrays["directions"][: len(directions), :number]
        images = images.reshape(-1, *images.shape[2:])
        rows = []
        for each in directions:
            accuracy, base = percent(each["accuracy"], 0), percent(each["base_rate"], 0)
            label = f"{each['attribute'].replace('_', ' ')}\n{accuracy} (base {base})"
            rows += [label, ""][:number]
        columns = []
        for step in experiment.latent["direction_steps"]:
            text = f"{step:+g}{NBSP}σ" if step else f"0{NBSP}σ"
            columns.append(text.replace("-", "\N{MINUS SIGN}"))
        return Panel(experiment.name, style.color_of(experiment.index), images, rows, columns)

    num_rows = sum(min(len(each.latent["directions"]), _MAX_DIRECTIONS) for each in found[0])
    across = 1 if num_rows <= _MAX_LARGE_WALKS else 2
    return draw_panels(study, found, panel, "Images moved along attributes, by", across)
