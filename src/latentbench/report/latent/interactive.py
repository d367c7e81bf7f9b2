"""Figures that follow the reader's hand on the page, each with a still for paper and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from latentbench.report.latent.sample_grids import draw_panels
from latentbench.report.presentation import image_grids, page, style
from latentbench.report.presentation.image_grids import Panel, Row
from latentbench.report.presentation.interactive import Frames, Group, content, sprite
from latentbench.results import Experiment, Study
from latentbench.results.formatting import (
    NBSP,
    escape_markdown,
    join_markdown,
    join_words,
    percent,
)

_MAX_DOTS = 500  # codes of a model on its map
_MAX_LARGE = 6  # models; with more, the panels of a still are smaller
_MAX_PATHS = 12  # models below the same pair

_BLENDED = "Between the decoded positions, the nearest images are blended."
_PLANE_HINT = f"Drag over a map, or use the arrow keys; Home returns to the center. {_BLENDED}"
_SLIDER_HINT = f"Drag the slider, or use the arrow keys. {_BLENDED}"


def plane(study: Study) -> page.Drawing:
    """Return a figure to drag over: the plane of the first two principal directions."""
    found = study.with_interactive("plane", facts=["plane_positions"])
    is_large = len(found[0]) <= _MAX_LARGE

    def panel(experiment: Experiment, _: int) -> Panel:
        images = experiment.interactive_arrays["plane"][0]
        positions = experiment.latent["plane_positions"]
        shown = np.linspace(0, len(positions) - 1, 5 if is_large else 3).astype(int)
        labels = [_sigmas(positions[place]) for place in shown]
        images = images[np.ix_(shown[::-1], shown)]
        return Panel(
            experiment.name, style.color_of(experiment.index), images, labels[::-1], labels
        )

    still = draw_panels(
        study, found, panel, "Images on the plane of two directions, by", 3 if is_large else 5
    )
    groups = []
    for dataset, experiments in study.by_dataset(found[0]).items():
        models = []
        for each in experiments:
            # Pictures have their first row at the top, the plane its largest value.
            images = each.interactive_arrays["plane"][:, ::-1]
            models.append(Frames(each.name, each.index, images, {"dots": _dots(each)}))
        about = {
            "label": "Other directions",
            "choices": ["of a real image", "of the mean"],
            "real": sprite(experiments[0].interactive_arrays["plane_real"][None, None]),
            "extent": experiments[0].latent["plane_positions"][-1],
            "classes": experiments[0].latent.get("class_names") or [],
            "colors": style.CLASS_COLORS,
        }
        groups.append(Group(models, about | _title(study, dataset)))
    return _moving(still, "plane", _PLANE_HINT, groups)


def plane_of_noise(study: Study) -> str:
    """Return how the directions of models with an ODE are found, as a sentence."""
    names = [each.name for each in study if each.has_ode]
    if not names:
        return ""
    return (
        f" The codes of {join_markdown(names)} are noise, so their directions are found as "
        "those without an encoder, from test images and their codes."
    )


def plane_labels(study: Study) -> str:
    """Return the labels under which conditional models decode the plane, as a sentence."""
    present, _ = study.with_interactive("plane", facts=["plane_label"])
    labels = []
    for each in present:
        if each.latent["plane_label"]:
            labels.append(f"{escape_markdown(each.latent['plane_label'])} ({each.in_markdown})")
    if not labels:
        return ""
    return f" Conditional models have the label of the image: {join_words(labels)}."


def _dots(experiment: Experiment) -> list[list[float]]:
    """Return first and second position and class of codes; empty without an encoder."""
    codes = experiment.interactive_arrays.get("plane_codes")
    if codes is None:
        return []
    labels = experiment.interactive_arrays["plane_labels"]
    dots = []
    for (first, second), label in zip(
        codes[:_MAX_DOTS].tolist(), labels[:_MAX_DOTS].tolist(), strict=True
    ):
        dots.append([round(first, 2), round(second, 2), label])
    return dots


def path(study: Study) -> page.Drawing:
    """Return a figure with a slider: from one real image to another, for a choice of pairs."""
    present, notes = study.with_interactive("path", facts=["pairs"])
    groups, rows = [], []
    for dataset, experiments in study.by_dataset(present).items():
        real = experiments[0].latent_arrays["interpolation_real"]
        pairs = experiments[0].latent["pairs"]
        models = []
        for each in experiments:
            images = each.interactive_arrays["path"][:, None]
            models.append(Frames(each.name, each.index, images))
        choices = []
        for number, pair in enumerate(pairs, start=1):
            between = f": {pair['from']} to {pair['to']}" if pair["from"] else ""
            choices.append(f"pair {number}{between}")
        about = _scale("Pair", choices, 0, 100, "%") | {
            "real": sprite(real),
            "chosen": len(pairs) - 1,
        }
        groups.append(Group(models, about | _title(study, dataset)))
        rows.append(_path_rows(experiments[:_MAX_PATHS], len(pairs) - 1))
    if not groups:
        return page.Drawing(None, notes=notes)
    figures = image_grids.rows_figures(rows)
    still = page.Drawing.of(figures, "A path between two real images by", present, notes)
    return _moving(still, "slider", _SLIDER_HINT, groups)


def _path_rows(experiments: Sequence[Experiment], pair: int) -> list[Row]:
    """Return a row per model: a real image, nine points of the path, the other real image."""
    rows = []
    for each in experiments:
        first, last = each.latent_arrays["interpolation_real"][pair]
        images = each.interactive_arrays["path"][pair]
        shown = images[np.linspace(0, len(images) - 1, 9).astype(int)]
        strips = map(image_grids.strip, (first[None], shown, last[None]))
        joined = image_grids.join(list(strips), gap=0.4 * shown.shape[2])
        rows.append(Row(each.name, style.color_of(each.index), joined))
    return rows


def class_walks(study: Study) -> page.Drawing:
    """Return a figure with a slider: images moved along the direction of a class."""
    found = study.with_interactive("directions", facts=["class_directions"])

    def panel(experiment: Experiment, _: int) -> Panel:
        rows = [each["class"] for each in experiment.latent["class_directions"]]
        images = experiment.interactive_arrays["directions"][:, 0, ::2]
        columns = [_sigmas(step) for step in np.linspace(-3, 3, images.shape[1])]
        return Panel(experiment.name, style.color_of(experiment.index), images, rows, columns)

    still = draw_panels(study, found, panel, "Images moved along classes, by")
    return _moving(
        still, "slider", _SLIDER_HINT, _walks(study, found[0], "class_directions", "class")
    )


def with_walks(study: Study, still: page.Drawing) -> page.Drawing:
    """Return a still of walks along attributes as a figure with a slider."""
    present, _ = study.with_interactive("directions", facts=["directions"])
    return _moving(still, "slider", _SLIDER_HINT, _walks(study, present, "directions", "attribute"))


def _walks(study: Study, present: Sequence[Experiment], fact: str, what: str) -> list[Group]:
    groups = []
    for dataset, experiments in study.by_dataset(present).items():
        places: dict[str, dict[str, int]] = {}
        for each in experiments:
            for place, direction in enumerate(each.latent[fact]):
                places.setdefault(direction[what], {})[each.name] = place
        models = []
        for each in experiments:
            remarks = []
            for direction in each.latent[fact]:
                shares = percent(direction["accuracy"], 0), percent(direction["base_rate"], 0)
                remarks.append(f"{shares[0]} (base {shares[1]})")
            images = each.interactive_arrays["directions"]
            about = {
                "places": [own.get(each.name) for own in places.values()],
                "remarks": remarks,
            }
            models.append(Frames(each.name, each.index, images, about))
        choices = [name.replace("_", " ") for name in places]
        about = _scale(what.capitalize(), choices, -3, 3, "σ")
        groups.append(Group(models, about | _title(study, dataset)))
    return groups


def mixes(study: Study) -> page.Drawing:
    """Return a figure with a slider: the same latents under labels between two labels."""
    found = study.with_interactive("mixes", facts=["mixes"])

    def panel(experiment: Experiment, _: int) -> Panel:
        images = experiment.interactive_arrays["mixes"]
        shown = np.linspace(0, len(images) - 1, min(len(images), 4)).astype(int)
        rows = []
        for place in shown:
            pair = experiment.latent["mixes"][place]
            rows.append(f"{pair['from']} to\n{pair['to']}")
        columns = [percent(share, 0) for share in np.linspace(0, 1, images.shape[2])[::2]]
        color = style.color_of(experiment.index)
        return Panel(experiment.name, color, images[shown, 0, ::2], rows, columns)

    still = draw_panels(study, found, panel, "The same latents between two labels, by", 2)
    groups = []
    for dataset, experiments in study.by_dataset(found[0]).items():
        places: dict[tuple[str, str], dict[str, int]] = {}
        for each in experiments:
            for place, pair in enumerate(each.latent["mixes"]):
                places.setdefault((pair["from"], pair["to"]), {})[each.name] = place
        number = min(each.interactive_arrays["mixes"].shape[1] for each in experiments)
        models = []
        for each in experiments:
            images = each.interactive_arrays["mixes"][:, :number]
            rows = [own.get(each.name) for own in places.values()]
            models.append(Frames(each.name, each.index, images, {"places": rows}))
        choices = [f"{start} to {end}".replace("_", " ") for start, end in places]
        about = _scale("Labels", choices, 0, 100, "%")
        groups.append(Group(models, about | _title(study, dataset)))
    return _moving(still, "slider", _SLIDER_HINT, groups)


def _moving(still: page.Drawing, kind: str, hint: str, groups: Sequence[Group]) -> page.Drawing:
    if still.figure is None or not groups:
        return still
    return replace(still, interactive=content(kind, hint, groups))


def _scale(
    label: str, choices: Sequence[str], start: float, end: float, unit: str
) -> dict[str, Any]:
    """Return the choices of a slider and the values at its ends, for report/interactive.js."""
    values = {"from": start, "to": end, "unit": f"{NBSP}{unit}"}
    return {"label": label, "choices": choices, **values}


def _title(study: Study, dataset: str) -> dict[str, Any]:
    return {"title": dataset} if study.has_several_datasets else {}


def _sigmas(position: float) -> str:
    """Return a position in standard deviations: `−1.5`."""
    return f"{position:+g}".replace("-", "\N{MINUS SIGN}") if position else "0"
