"""What a model makes of latents and labels that no training image has: shortened, scaled, disturbed, random."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from latentbench.report.latent.sample_grids import names, rows_by_dataset
from latentbench.report.presentation.formatting import NBSP, join_words
from latentbench.report.presentation.image_grids import Images, Panel, panels_figures
from latentbench.report.presentation.page import Drawing
from latentbench.report.presentation.style import INK, color_of, house_style
from latentbench.results.study import Experiment, Study

# Images in a row of a panel, by how many panels stand beside one another.
_COLUMNS = {1: 12, 2: 8, 3: 5}
_MOST_KINDS = 13
_LABELS = {1: 13, 2: 10}
_MOST_EMBEDDINGS = {1: 6, 2: 4}
_MOST_DIRECTIONS = 4
_MOST_LARGE_WALKS = 8  # of all models; more are drawn smaller, two models beside one another


def truncated(study: Study) -> Drawing:
    """The same latents nearer and nearer to the mean, a row per bound."""

    def panel(experiment: Experiment, across: int) -> Panel:
        bounds = [
            _fact(experiment, "truncations")[row]
            for row in range(len(experiment.explored["truncated"]))
        ]
        rows = ["plain" if bound is None else f"τ = {bound:g}" for bound in bounds]
        return _panel(
            experiment, experiment.explored["truncated"][:, : _COLUMNS[across]], rows=rows
        )

    what = "Generated images, and under them those of the same latents within bounds ever closer to zero, by"
    return _drawn(study, (["truncated"], ["truncations"]), panel, what)


def means(study: Study) -> Drawing:
    """The image in the middle of the latent space: of each label, or of each class's mean code; a row per model."""
    present, notes = study.with_latent("means", facts=["means"])
    if not present:
        return Drawing(None, notes=notes)
    titles = {
        e.name: [title.replace("zero vector", "zero") for title in _fact(e, "means")]
        for e in present
    }
    # Of models with one image each, the images stand in a row and the models' names over them.
    single = [experiment for experiment in present if len(titles[experiment.name]) == 1]
    panels = [
        Panel(
            "",
            INK,
            np.stack([e.explored["means"][0] for e in line])[None],
            rows=["zero"],
            columns=[e.name for e in line],
        )
        for group in study.by_dataset(single).values()
        for line in (
            group[start : start + _MOST_KINDS] for start in range(0, len(group), _MOST_KINDS)
        )
    ]
    before: Sequence[str] = ()
    for experiment in present:
        if experiment in single:
            continue
        images = experiment.explored["means"][:_MOST_KINDS]
        own = titles[experiment.name][: len(images)]
        # The titles stand over the first of the rows that share them.
        shown = own if own != before else []
        color = color_of(experiment.index)
        panels.append(
            Panel("", color, images[None], rows=[experiment.name], columns=shown, row_color=color)
        )
        before = own
    with house_style():
        figure, *others = panels_figures([panels], across=1)
    return Drawing(figure, f"Images of mean latents, by {names(present)}.", notes, others)


def scaled(study: Study) -> Drawing:
    """Real images, and those of their codes times a growing factor."""

    def panel(experiment: Experiment, across: int) -> Panel:
        number = 4 if across == 1 else 2
        real, models = (
            experiment.explored["scaled_real"][:number],
            experiment.explored["scaled"][:number],
        )
        factors = [f"{factor:g}" for factor in _fact(experiment, "scales")]
        columns = ["real", f"t{NBSP}={NBSP}{factors[0]}", *factors[1:]]
        return _panel(
            experiment, np.concatenate([real[:, None], models], axis=1), columns=columns, split=1
        )

    what = "Real images, and images of their codes times factors t, by"
    return _drawn(study, (["scaled", "scaled_real"], ["scales"]), panel, what, most_across=2)


def noise_around_mean(study: Study) -> Drawing:
    """Images of ever stronger noise around the mean latent; conditional models have a column per label."""

    def panel(experiment: Experiment, across: int) -> Panel:
        images, kinds = _kinds(experiment, "noise_latent", _COLUMNS[across])
        return _panel(experiment, images, rows=_sigmas(experiment), columns=kinds)

    return _drawn(
        study, (["noise_latent"], ["sigmas"]), panel, "Images of noise around the mean latent, by"
    )


def noise_around_labels(study: Study) -> Drawing:
    """Images of one latent under label embeddings with ever stronger noise on them."""

    def panel(experiment: Experiment, across: int) -> Panel:
        images, kinds = _kinds(experiment, "noise_embedding", _LABELS[across])
        return _panel(experiment, images, rows=_sigmas(experiment), columns=kinds)

    what = "Images under disturbed label embeddings, by"
    return _drawn(study, (["noise_embedding"], ["sigmas"]), panel, what, most_across=2)


def random_embeddings(study: Study) -> Drawing:
    """Images under random embeddings, a row each, with the nearest label and what the classifier sees."""

    def panel(experiment: Experiment, across: int) -> Panel:
        described = _fact(experiment, "random_embeddings")[: _MOST_EMBEDDINGS[across]]
        images = experiment.explored["random_embedding"][: len(described), : _COLUMNS[across + 1]]
        return _panel(experiment, images, rows=[_described(each) for each in described])

    what = "Images under random label embeddings, by"
    return _drawn(study, (["random_embedding"], ["random_embeddings"]), panel, what, most_across=2)


def embedding_agreement(study: Study) -> str:
    """How often the nearest label and the classifier agree, of each conditional model that it can be asked of."""
    present, _ = study.with_latent(facts=["embedding_agreement"])
    shares = [
        f"{100 * _fact(e, 'embedding_agreement'):.0f}{NBSP}% of the images of {e.name}"
        for e in present
    ]
    return f"The classifier sees the nearest label in {join_words(shares)}." if shares else ""


def walks(study: Study) -> Drawing:
    """Images moved along the directions in which attributes change, a row per attribute."""
    arrays, facts = ["directions"], ["directions", "direction_steps"]
    walked_by, _ = study.with_latent(*arrays, facts=facts)

    def panel(experiment: Experiment, _across: int) -> Panel:
        described = _fact(experiment, "directions")[:_MOST_DIRECTIONS]
        # Of one model alone there is room for two images.
        walked = experiment.explored["directions"][
            : len(described), : 2 if len(walked_by) == 1 else 1
        ]
        rows = [text for each in described for text in [_direction(each), ""][: walked.shape[1]]]
        steps = [
            f"{step:+g}{NBSP}σ".replace("-", "\N{MINUS SIGN}")
            for step in _fact(experiment, "direction_steps")
        ]
        images = walked.reshape(-1, *walked.shape[2:])
        return _panel(
            experiment, images, rows=rows, columns=[step.replace("+0", "0") for step in steps]
        )

    what = "Images walked along directions of attributes, by"
    rows = sum(len(_fact(experiment, "directions")[:_MOST_DIRECTIONS]) for experiment in walked_by)
    return _drawn(
        study, (arrays, facts), panel, what, most_across=1 if rows <= _MOST_LARGE_WALKS else 2
    )


def _drawn(
    study: Study,
    needed: tuple[Sequence[str], Sequence[str]],
    panel: Callable[[Experiment, int], Panel],
    what: str,
    *,
    most_across: int = 3,
) -> Drawing:
    """A panel per model that has the arrays and facts needed; `panel` is told how many stand beside one another."""
    arrays, facts = needed
    present, notes = study.with_latent(*arrays, facts=facts)
    if not present:
        return Drawing(None, notes=notes)
    groups = rows_by_dataset(study, present)
    across = min(most_across, max(map(len, groups)))
    panels = [[panel(experiment, across) for experiment in group] for group in groups]
    with house_style():
        figure, *others = panels_figures(panels, across=across)
    return Drawing(figure, f"{what} {names(present)}.", notes, others)


def _panel(
    experiment: Experiment,
    images: Images,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    split: int = 0,
) -> Panel:
    return Panel(experiment.name, color_of(experiment.index), images, rows, columns, split)


def _fact(experiment: Experiment, name: str) -> Any:
    """Of explore.json."""
    return (experiment.exploration or {})[name]


def _kinds(experiment: Experiment, array: str, number: int) -> tuple[Images, list[str]]:
    """The first columns of noisy images, and the labels over them; unconditional models have no labels."""
    kinds = (experiment.exploration or {}).get("label_names") or []
    return experiment.explored[array][:, :number], kinds[:number]


def _sigmas(experiment: Experiment) -> list[str]:
    return [f"σ = {sigma:g}" for sigma in _fact(experiment, "sigmas")]


def _direction(described: Mapping[str, Any]) -> str:
    """An attribute, and under it what the probe gets right and the base rate."""
    accuracy, base = (f"{100 * described[key]:.0f}{NBSP}%" for key in ("accuracy", "base_rate"))
    return f"{described['attribute'].replace('_', ' ')}\n{accuracy} (base {base})"


def _described(embedding: Mapping[str, Any]) -> str:
    """`near ship (0.5)` over what most of its images are recognized as."""
    nearest = f"near {embedding['nearest']} ({embedding['distance']:.1f})"
    seen = embedding.get("predicted") or {}
    if not seen:
        return nearest
    most = max(seen, key=lambda name: seen[name])
    return f"{nearest}\n{100 * seen[most]:.0f}{NBSP}% seen as {most}"
