"""The data that the models learned from: images of each class, their mean, how many there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from latentbench.artifacts.paths import LATENT_ARRAYS, LATENT_FACTS, SPLITS
from latentbench.report.comparison.classes import share_in_percent
from latentbench.report.presentation.image_grids import Images, Panel, panels_figures
from latentbench.report.presentation.page import Drawing
from latentbench.report.presentation.style import INK, house_style
from latentbench.results.formatting import NBSP, escape_markdown, join_words
from latentbench.results.study import Experiment, Study
from latentbench.results.tables import ABSENT, Table, pipe_table

_MOST_CLASSES, _FIRST_CLASSES = 26, 20  # all are shown up to so many; of more the first
_MOST_ROWS = 8  # classes that have a row each; more have a column each
_ACROSS = 16  # images in a row where there are no classes
_LONGEST_NAME = 24  # letters
_MOST_COUNTED = 20  # classes in a table
_INDENT = "\N{EM SPACE}"
_TITLES = {"train": "Training", "test": "Test"}

# By the source in params.yaml. Files can be other pictures in the same format (verify: false).
_ORIGINS = {
    "glyphs": "digits typeset from the fonts that come with matplotlib, each in a random font, size, stroke, place, "
    "turn and slant, with some noise",
    "folder": "a folder or zip of pictures",
    "mnist": "files in MNIST's format: handwritten digits [@lecun1998]",
    "fashion_mnist": "files in Fashion-MNIST's format: clothes, shoes and bags, harder than digits [@xiao2017]",
    "emnist": "files in EMNIST's format: handwritten letters and digits [@cohen2017]",
    "cifar10": "files in CIFAR-10's format: photographs of ten kinds of things and animals [@krizhevsky2009]",
    "celeba": "files in CelebA's format: faces, each with forty attributes [@liu2015]",
}


def origins(study: Study) -> str:
    """Where the pictures of each dataset come from, with the paper that introduced them."""
    described, _ = _described(study)
    told = {
        dataset: origin
        for dataset, facts in described.items()
        if (origin := _ORIGINS.get(facts.get("source", "")))
    }
    return "\n\n".join(
        f"**{escape_markdown(dataset)}** is {origin}." for dataset, origin in told.items()
    )


def preparation(study: Study) -> str:
    """What was made of the pictures, by dataset, and which datasets turned out to have the same."""
    described, _ = _described(study)
    owners: dict[str, list[str]] = {}
    for dataset, facts in described.items():
        if facts.get("settings"):  # results of before have none
            owners.setdefault(_prepared(facts["settings"]), []).append(
                f"**{escape_markdown(dataset)}**"
            )
    told = [
        f"Pictures of {join_words(datasets)} were {words}" for words, datasets in owners.items()
    ]
    return "\n\n".join([*told, *_identical(study)])


def _prepared(settings: Mapping[str, Any]) -> str:
    crop, pad, side = settings["crop"], settings["pad"], settings["image_size"]
    steps = [
        f"cut to the central square of {crop} pixels"
        if crop
        else "cut to their largest central square"
    ]
    steps += [f"given {pad} black pixels on each side"] * bool(pad)
    steps.append(
        f"brought to {_square(side)} pixels in {'color' if settings['channels'] == 3 else 'gray'}"
    )
    sentences = [f"{join_words(steps)}."]
    if settings["max_train_images"]:
        sentences.append(
            f"Of those for training {settings['max_train_images']:,} at most are used, chosen by the seed."
        )
    if settings.get("test_fraction"):
        sentences.append(
            f"Without a test folder {100 * settings['test_fraction']:g}{NBSP}% are held out for testing."
        )
    return " ".join(sentences)


def _identical(study: Study) -> list[str]:
    """Sentences on datasets whose prepared pictures and labels are the same, bit by bit."""
    same: dict[str, list[str]] = {}
    for dataset, experiments in study.by_dataset().items():
        for digest in {(e.provenance or {}).get("data_digest", "") for e in experiments} - {""}:
            same.setdefault(digest, []).append(f"**{escape_markdown(dataset)}**")
    return [
        f"{join_words(names)} hold the same pictures and labels."
        for names in same.values()
        if len(names) > 1
    ]


def samples(study: Study) -> Drawing:
    """Training images of each class, a panel per dataset; some of all where there are no classes."""
    return _drawn(study, _samples_panel, "Training images by class")


def means(study: Study) -> Drawing:
    """The mean training image of each class, a panel per dataset; that of all where there are no classes."""
    return _drawn(study, _means_panel, "The mean training image of each class")


def counts(study: Study) -> Table:
    """A row per dataset: its images, their size, channels and classes; under it a row per class, if they are few."""
    described, notes = _described(study)
    if not described:
        return Table(None, notes)
    rows = [row for facts in described.values() for row in _counted(facts)]
    header = [
        "Dataset",
        "Size",
        "Channels",
        "Classes",
        *(f"{_TITLES[split]} images" for split in SPLITS),
    ]
    return Table(pipe_table(header, rows, texts=1), notes)


def attributes(study: Study) -> Table:
    """The share of images that have each attribute, a row per attribute; nothing where there are none."""
    described, notes = _described(study)
    several = len(described) > 1
    rows = [
        [
            *[_plain(dataset)] * several,
            _plain(each["name"].replace("_", " ")),
            *(share_in_percent(each[s]) for s in SPLITS),
        ]
        for dataset, facts in described.items()
        for each in facts["attributes"]
    ]
    if not rows:
        return Table(None, notes)
    header = [
        *["Dataset"] * several,
        "Attribute",
        *(f"{_TITLES[split]} images, %" for split in SPLITS),
    ]
    return Table(pipe_table(header, rows, texts=1 + several), notes)


def _drawn(study: Study, panel: Callable[[Experiment, bool], Panel], what: str) -> Drawing:
    chosen, notes = {}, []
    for dataset, experiments in study.by_dataset().items():
        found = [
            e
            for e in experiments
            if _facts(e) and {"data_samples", "data_means"} <= e.explored.keys()
        ]
        if found:
            chosen[dataset] = found[0]
        else:
            notes.append(_missing(f"images of {dataset}", LATENT_ARRAYS))
    if not chosen:
        return Drawing(None, notes=notes)
    panels = [panel(experiment, len(study.by_dataset()) > 1) for experiment in chosen.values()]
    with house_style():
        figure, *others = panels_figures([panels], across=1)
    return Drawing(figure, f"{what}, of {', '.join(chosen)}.", notes, others)


def _described(study: Study) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """What exploration says of each dataset, the same whichever model was explored; and on which it says nothing."""
    described, notes = {}, []
    for dataset, experiments in study.by_dataset().items():
        facts = next((found for e in experiments if (found := _facts(e))), None)
        if facts is None:
            notes.append(_missing(f"counts of the images of {dataset}", LATENT_FACTS))
        else:
            described[dataset] = facts
    return described, notes


def _missing(what: str, file: str) -> str:
    return f"There are no {what} in {file} yet; `latentbench explore` writes them."


def _facts(experiment: Experiment) -> Mapping[str, Any] | None:
    return (experiment.exploration or {}).get("data")


def _samples_panel(experiment: Experiment, several: bool) -> Panel:
    images = experiment.explored["data_samples"]
    names, title = _shown_classes(experiment, several)
    numbers = _numbers(experiment)
    if not names:
        images, shown = _in_rows(images[0][: numbers[0]])
        return Panel(title, INK, images, shown=shown)
    images = images[: len(names)]
    shown = np.arange(images.shape[1]) < np.array(numbers)[: len(names), None]
    if len(names) <= _MOST_ROWS:
        return Panel(title, INK, images, rows=names, shown=shown)
    return Panel(title, INK, images.swapaxes(0, 1), columns=names, shown=shown.T)


def _means_panel(experiment: Experiment, several: bool) -> Panel:
    names, title = _shown_classes(experiment, several)
    names = names or ["all images"]
    images = experiment.explored["data_means"][None, : len(names)]
    shown = np.array(_numbers(experiment))[None, : len(names)] > 0
    return Panel(title, INK, images, columns=names, shown=shown)


def _shown_classes(experiment: Experiment, several: bool) -> tuple[list[str], str]:
    """Their names, and a title over them: which dataset it is, where there are others, and whether these are all."""
    facts = _facts(experiment) or {}
    names = [_shortened(each["name"]) for each in facts["classes"]]
    all_shown = len(names) <= _MOST_CLASSES
    shown = names if all_shown else names[:_FIRST_CLASSES]
    part = "" if all_shown else f"the first {len(shown)} of {len(names)} classes"
    return shown, ", ".join(filter(None, [experiment.dataset * several, part]))


def _numbers(experiment: Experiment) -> list[int]:
    """Training images of each class, or of all together."""
    facts = _facts(experiment) or {}
    return [each["train"] for each in facts["classes"]] or [facts["images"]["train"]]


def _in_rows(images: Images) -> tuple[Images, Images]:
    """Images (number, …) as (rows, _ACROSS, …), and which of these places are taken."""
    across = min(_ACROSS, len(images))
    rows = -(-len(images) // across)
    places = np.zeros((rows * across, *images.shape[1:]), images.dtype)
    places[: len(images)] = images
    taken = np.arange(rows * across) < len(images)
    return places.reshape(rows, across, *images.shape[1:]), taken.reshape(rows, across)


def _counted(facts: Mapping[str, Any]) -> list[list[str]]:
    classes: Sequence[Mapping[str, Any]] = facts["classes"]
    whole = [
        _square(facts["image_size"]),
        str(facts["channels"]),
        str(len(classes) or ABSENT),
        *(f"{facts['images'][s]:,}" for s in SPLITS),
    ]
    rows = [[_plain(facts["name"]), *whole]]
    if len(classes) <= _MOST_COUNTED:
        rows += [
            [f"{_INDENT}*{_plain(c['name'])}*", "", "", "", *(f"{c[s]:,}" for s in SPLITS)]
            for c in classes
        ]
    return rows


def _square(side: int) -> str:
    return f"{side}{NBSP}×{NBSP}{side}"


def _plain(name: str) -> str:
    """As it stands in a cell of a table."""
    return name.replace("|", "\\|")


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
