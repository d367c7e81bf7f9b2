"""Grids of images per model: random samples, and reconstructions below real images."""

from __future__ import annotations

import math
from collections.abc import Callable

from latentbench.report.presentation import image_grids, page, style
from latentbench.report.presentation.image_grids import Panel, Row, strip
from latentbench.results import Experiment, RunGroup, Study, formatting

_MAX_SAMPLES, _MAX_OF_MANY = 36, 16  # of a model, and of each of many
_MANY_PANELS = 9
_ACROSS = (3, 4, 5)  # squares of samples in a line: the fewest that fit on a page
_MAX_RECONSTRUCTIONS = 12
_MAX_TOGETHER = 12  # models below the same real images

Found = tuple[list[Experiment], list[str]]  # experiments and notes on those that lack something


def draw_panels(
    study: Study,
    found: Found,
    make_panel: Callable[[Experiment, int], Panel],
    description: str,
    max_across: int = 3,
) -> page.Drawing:
    """Return a panel per experiment, with models of one dataset next to one another.

    `make_panel` gets an experiment and how many panels stand next to one another. The names of
    the models follow the description.
    """
    present, notes = found
    if not present:
        return page.Drawing(None, notes=notes)
    groups = list(study.by_dataset(present).values())
    if max(map(len, groups)) == 1:
        groups = [present]
    across = min(max_across, max(map(len, groups)))
    panels = []
    for group in groups:
        panels.append([make_panel(experiment, across) for experiment in group])
    figures = image_grids.panels_figures(panels, across=across)
    return page.Drawing.of(figures, description, present, notes)


def samples(study: Study) -> page.Drawing:
    """Return a square of samples per model and prior; each place holds the same noise in all.

    Models of one dataset stand next to one another.
    """
    present, notes = study.with_latent("samples")
    if not present:
        return page.Drawing(None, notes=notes)
    groups = []
    for experiments in study.by_dataset(present).values():
        panels: list[Panel] = []
        most = _MAX_SAMPLES if len(present) <= _MANY_PANELS else _MAX_OF_MANY
        for experiment in experiments:
            panels += _sample_panels(experiment, most)
        groups.append(panels)
    if max(map(len, groups)) == 1:
        groups = [[panel for panels in groups for panel in panels]]
    for across in _ACROSS:
        lines = sum(math.ceil(len(group) / across) for group in groups)
        if lines * (style.WIDTH / across + image_grids.TITLE_HEIGHT) <= style.TALLEST:
            break
    figures = image_grids.panels_figures(groups, across=min(across, max(map(len, groups))))
    return page.Drawing.of(figures, "Grids of samples:", present, notes)


def _sample_panels(experiment: Experiment, most: int) -> list[Panel]:
    """Return samples of the own prior and, where it was fitted, of N(0, I)."""
    arrays = {experiment.name: experiment.latent_arrays["samples"]}
    standard = experiment.latent_arrays.get("samples_standard")
    if standard is not None:
        own, other = (
            RunGroup((experiment,), prior=prior).name for prior in (experiment.prior, "standard")
        )
        arrays = {own: experiment.latent_arrays["samples"], other: standard}
    panels = []
    for name, images in arrays.items():
        side = max(1, math.isqrt(min(len(images), most)))
        square = images[: side**2].reshape(side, side, *images.shape[1:])
        panels.append(Panel(name, style.color_of(experiment.index), square))
    return panels


def reconstructions(study: Study) -> page.Drawing:
    """Return rows of real images, each with the reconstructions of the models below it."""
    present, notes = study.with_latent("reconstruction_real", "reconstruction_decoded")
    if not present:
        return page.Drawing(None, notes=notes)
    mse = study.reconstruction.query("split == 'test'").set_index("experiment")["mse"]
    groups = []
    for experiments in study.by_dataset(present).values():
        for start in range(0, len(experiments), _MAX_TOGETHER):
            shown = experiments[start : start + _MAX_TOGETHER]
            real = shown[0].latent_arrays["reconstruction_real"][:_MAX_RECONSTRUCTIONS]
            rows = [Row("real", style.MUTED, strip(real))]
            for each in shown:
                images = each.latent_arrays["reconstruction_decoded"][:_MAX_RECONSTRUCTIONS]
                error = mse.get(each.name)
                remark = "" if error is None else f"MSE {error:.{formatting.decimals([error])}f}"
                rows.append(Row(each.name, style.color_of(each.index), strip(images), remark))
            groups.append(rows)
    return page.Drawing.of(image_grids.rows_figures(groups), "Reconstructions by", present, notes)
