"""The data that models learned from: their origin, numbers of images, examples and means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from latentbench.artifacts.paths import VALIDATION
from latentbench.config.few_images import advice, lacks_augmentation
from latentbench.report.presentation import page, style
from latentbench.report.presentation.image_grids import Panel, panels_figures
from latentbench.results import Experiment, Study, Table
from latentbench.results.formatting import NBSP, escape_markdown, join_markdown, join_words
from latentbench.results.latent_space import attribute_title
from latentbench.results.tables import ABSENT, percent_cell, pipe_table

_MAX_CLASSES, _FIRST_CLASSES = 26, 20  # in figures: all up to so many; of more, the first
_MAX_ROWS = 8  # classes with a row each; more have a column each
_MAX_COUNTED = 20  # classes in the table of counts
_MAX_PER_COLUMN = 6  # images, so that the means fit below them on a page
_IMAGES_PER_ROW = 16  # of images without classes
_MAX_NAME = 24  # letters of a class in a figure
_SPLITS = {"train": "Training images", "test": "Test images", VALIDATION: "Validation images"}


def origins(study: Study, sources: Mapping[str, str]) -> str:
    """Return where the images of each dataset come from, by the source in params.yaml."""
    paragraphs = []
    for dataset, experiment in _described(study)[0].items():
        origin = sources.get(experiment.latent["data"].get("source", ""))
        if origin:
            paragraphs.append(f"{_bold(dataset)} is {origin}.")
    return "\n\n".join(paragraphs)


def preparation(study: Study) -> str:
    """Return how the images of each dataset were prepared, and which datasets are identical."""
    prepared: dict[str, list[str]] = {}
    for dataset, experiment in _described(study)[0].items():
        settings = experiment.latent["data"].get("settings")
        if settings:
            prepared.setdefault(_preparation(settings), []).append(_bold(dataset))
    paragraphs = [f"Images of {join_words(names)} were {text}" for text, names in prepared.items()]
    digests = [(each.provenance.get("data_digest"), _bold(each.dataset)) for each in study]
    table = pd.DataFrame(digests, columns=["digest", "dataset"]).drop_duplicates()
    for _, names in table.groupby("digest", sort=False)["dataset"]:
        if len(names) > 1:
            paragraphs.append(f"{join_words(list(names))} hold the same images and labels.")
    return "\n\n".join(paragraphs)


def counts(study: Study) -> Table:
    """Return a row per dataset, and one per class if these are few: numbers and size of images."""
    described, notes = _described(study)
    tables = [_counts(experiment.latent["data"]) for experiment in described.values()]
    if not tables:
        return Table(None, notes)
    return Table(pipe_table(_titled(pd.concat(tables)), num_text=1), notes)


def few_images(study: Study) -> str:
    """Return what it means that datasets have few training images, as Markdown; else nothing."""
    paragraphs = []
    for dataset, experiment in _described(study)[0].items():
        unaugmented = []
        for each in study:
            is_plain = lacks_augmentation(each.settings.get("model", {}))
            if each.dataset == dataset and is_plain:
                unaugmented.append(each.name)
        images = experiment.latent["data"]["images"]
        sentences = advice(
            images["train"],
            unaugmented=unaugmented,
            num_validation=images.get(VALIDATION, 0),
            budget=study.config.budget,
        )
        if sentences:
            text = " ".join(map(escape_markdown, sentences))
            paragraphs.append(f"{_bold(dataset)}: {text}")
    return "\n\n".join(paragraphs)


def attributes(study: Study) -> Table:
    """Return the share of images that have each attribute, a row per attribute."""
    described, notes = _described(study)
    rows = []
    for dataset, experiment in described.items():
        for attribute in experiment.latent["data"]["attributes"]:
            shares = {split: percent_cell(attribute[split]) for split in _SPLITS.keys() & attribute}
            names = {"Dataset": escape_markdown(dataset)}
            names["Attribute"] = attribute_title(attribute["name"])
            rows.append(names | shares)
    if not rows:
        return Table(None, notes)
    table = _titled(pd.DataFrame(rows), unit=", %")
    if len(described) > 1:
        return Table(pipe_table(table, num_text=2), notes)
    return Table(pipe_table(table.drop(columns="Dataset"), num_text=1), notes)


def samples(study: Study) -> page.Drawing:
    """Return training images of each class, a panel per dataset."""
    return _draw(study, _samples_panel, "Training images by class")


def means(study: Study) -> page.Drawing:
    """Return the mean training image of each class, a panel per dataset."""
    return _draw(study, _means_panel, "Mean training image of each class")


def _described(study: Study) -> tuple[dict[str, Experiment], list[str]]:
    """Return for each dataset an experiment whose exploration describes it, and notes."""
    explored, _ = study.with_latent("data_samples", "data_means", facts=["data"])
    described = {dataset: each[0] for dataset, each in study.by_dataset(explored).items()}
    missing = [dataset for dataset in study.config.datasets if dataset not in described]
    if missing:
        return described, [f"{join_markdown(missing)}: no images yet. Run `latentbench explore`."]
    return described, []


def _preparation(settings: Mapping[str, Any]) -> str:
    crop, pad, color = settings["crop"], settings["pad"], settings["channels"] == 3
    square = f"the central {_square(crop)} pixels" if crop else "their largest central square"
    steps = [f"cropped to {square}"]
    if pad:
        steps.append(f"padded with {pad} black pixels on each side")
    size = _square(settings["image_size"])
    steps.append(f"resized to {size} pixels in {'color' if color else 'gray'}")
    text = f"{join_words(steps)}."
    if settings["max_train_images"]:
        text += f" At most {settings['max_train_images']:,} images, chosen by the seed, train."
    if settings.get("validation_fraction"):
        kept = f"{100 * settings['validation_fraction']:g}{NBSP}%"
        text += f" Of the training images, {kept} are kept for validation: only searches use these."
    if settings.get("test_fraction"):
        held_out = f"{100 * settings['test_fraction']:g}{NBSP}%"
        text += f" Without a test folder, {held_out} of the images are held out for testing."
    return text


def _bold(dataset: str) -> str:
    return f"**{escape_markdown(dataset)}**"


def _square(side: int) -> str:
    return f"{side}{NBSP}×{NBSP}{side}"


def _counts(facts: Mapping[str, Any]) -> pd.DataFrame:
    splits = list(facts["images"])
    classes = pd.DataFrame(facts["classes"], columns=["name", *splits])
    classes["name"] = classes["name"].map(escape_markdown)
    whole = pd.DataFrame([{"name": escape_markdown(facts["name"])} | facts["images"]])
    whole["Size"], whole["Channels"] = _square(facts["image_size"]), str(facts["channels"])
    whole["Classes"] = str(len(classes) or ABSENT)
    if len(classes) <= _MAX_COUNTED:
        whole = pd.concat([whole, classes.assign(name="&emsp;*" + classes["name"] + "*")])
    whole[splits] = whole[splits].map("{:,}".format)
    rows = whole[["name", "Size", "Channels", "Classes", *splits]].fillna("")
    return rows.rename(columns={"name": "Dataset"})


def _titled(table: pd.DataFrame, unit: str = "") -> pd.DataFrame:
    """Return the table with the titles of its splits; a cell is empty where there is no split."""
    titles = {split: f"{title}{unit}" for split, title in _SPLITS.items()}
    others = [column for column in table.columns if column not in titles]
    splits = [split for split in titles if split in table.columns]
    return table[[*others, *splits]].fillna("").rename(columns=titles)


def _draw(study: Study, panel: Callable[[Experiment, str], Panel], what: str) -> page.Drawing:
    described, notes = _described(study)
    if not described:
        return page.Drawing(None, notes=notes)
    panels = []
    for dataset, experiment in described.items():
        title = dataset if study.has_several_datasets else ""
        panels.append(panel(experiment, title))
    figure, *others = panels_figures([panels], across=1)
    return page.Drawing(figure, f"{what}, of {', '.join(described)}.", notes, others)


def _samples_panel(experiment: Experiment, dataset: str) -> Panel:
    """Return a row or a column per class; places of a class with fewer images stay empty."""
    images = experiment.latent_arrays["data_samples"]
    names, numbers, title = _shown_classes(experiment, dataset)
    if not experiment.latent["data"]["classes"]:
        images = images[0, : numbers[0]]
        across = min(_IMAGES_PER_ROW, len(images))
        padding = -len(images) % across
        shown = np.pad(np.ones(len(images), bool), (0, padding)).reshape(-1, across)
        images = np.pad(images, ((0, padding), (0, 0), (0, 0), (0, 0)))
        return Panel(title, style.INK, images.reshape(-1, across, *images.shape[1:]), shown=shown)
    images = images[: len(names)]
    shown = np.arange(images.shape[1]) < numbers[:, None]
    if len(names) <= _MAX_ROWS:
        return Panel(title, style.INK, images, rows=names, shown=shown)
    images, shown = images[:, :_MAX_PER_COLUMN], shown[:, :_MAX_PER_COLUMN]
    return Panel(title, style.INK, images.swapaxes(0, 1), columns=names, shown=shown.T)


def _means_panel(experiment: Experiment, dataset: str) -> Panel:
    names, numbers, title = _shown_classes(experiment, dataset)
    images = experiment.latent_arrays["data_means"][None, : len(names)]
    return Panel(title, style.INK, images, columns=names, shown=numbers[None] > 0)


def _shown_classes(experiment: Experiment, title: str) -> tuple[list[str], Any, str]:
    """Return names and numbers of training images of the classes to show, and the title.

    Without classes, all images are one.
    """
    facts = experiment.latent["data"]
    classes = pd.DataFrame(facts["classes"] or [{"name": "all images"} | facts["images"]])
    shown = classes if len(classes) <= _MAX_CLASSES else classes[:_FIRST_CLASSES]
    if len(shown) < len(classes):
        part = f"the first {len(shown)} of {len(classes)} classes"
        title = f"{title}, {part}" if title else part
    cut = shown["name"].str[: _MAX_NAME - 1] + "…"
    names = shown["name"].where(shown["name"].str.len() <= _MAX_NAME, cut)
    return names.tolist(), shown["train"].to_numpy(), title
