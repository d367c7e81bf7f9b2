"""How well models reconstruct real images: errors, best and worst images, inversion curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from latentbench.report.latent.sample_grids import draw_panels
from latentbench.report.presentation import image_grids, line_plots, page, style
from latentbench.results import Experiment, Quantity, Study, Table, formatting, tables
from latentbench.results.quantities import MSE, PSNR, SSIM, format_integer

_NUM_EXTREMES = {1: 6, 2: 4}  # best images of a panel, by the panels next to one another
_EXTREMES = ("best", "worst")
_SPLITS = {"train": "training", "test": "test"}


def methods(study: Study) -> str:
    """Return how each model reconstructs images, by encoding or by inversion, as sentences."""
    sentences = []
    for method in ("encoding", "inversion"):
        models = [each.name for each in study if each.latent.get("method") == method]
        if models:
            sentences.append(f"By {method}: {formatting.join_markdown(models)}.")
    with_ode = [each.name for each in study if each.has_ode]
    if with_ode:
        sentences.append(
            f"By the ODE backwards and forwards: {formatting.join_markdown(with_ode)}. Their "
            "latents are as large as the images, so nothing is left out: the error is that of the "
            "solver's steps."
        )
    for each in study:
        if each.latent.get("method") == "inversion":
            steps, starts = max(each.latent["inversion_steps"]), each.latent["inversion_starts"]
            sentences.append(
                f"Inversion takes {steps} steps of Adam on the latent, from the nearest of "
                f"{starts} random ones."
            )
    return " ".join(dict.fromkeys(sentences))


def scope(study: Study) -> str:
    """Return over how many images errors are means, as a sentence."""
    numbers = sorted(study.reconstruction.query("split == 'test'")["num_images"].unique())
    if not numbers:
        return ""
    images = formatting.join_words(list(map("{:,}".format, numbers)))
    return f"Errors are means over the first {images} images, the same for all models."


def reconstruction_errors(study: Study) -> Table:
    """Return MSE, PSNR and SSIM on training and on test images, a row per model."""
    _, notes = study.with_latent()
    if study.reconstruction.empty:
        return Table(None, notes)
    values = study.reconstruction.set_index(["experiment", "split"])

    def value(experiment: Experiment, split: str, column: str) -> float | None:
        key = (experiment.name, split)
        return float(values.loc[key, column]) if key in values.index else None

    num_images = partial(value, split="test", column="num_images")
    columns = [Quantity("num_images", "Test images", 0, format_integer, num_images)]
    for error in (MSE, PSNR, SSIM):
        for split, title in _SPLITS.items():
            compute = partial(value, split=split, column=error.key)
            name = f"{error.name}, {title}"
            columns.append(replace(error, key=f"{split}_{error.key}", name=name, compute=compute))
    return Table(tables.models_table(study, columns), notes)


def best_and_worst(study: Study) -> page.Drawing:
    """Return the test images with the smallest and the largest error above reconstructions."""
    names = (f"{which}_{what}" for which in _EXTREMES for what in ("real", "decoded", "errors"))
    found, notes = study.with_latent(*names)
    present = [each for each in found if len(each.latent_arrays["best_errors"])]
    across = 1 if len(present) <= 2 else 2
    description = "The best and the worst reconstructions by"
    return draw_panels(study, (present, notes), _extremes, description, across)


def _extremes(experiment: Experiment, across: int) -> image_grids.Panel:
    """Return the best images on the left and the worst on the right, with their errors."""
    arrays = experiment.latent_arrays
    number = min(_NUM_EXTREMES[across], *(len(arrays[f"{which}_errors"]) for which in _EXTREMES))
    images = []
    for what in ("real", "decoded"):
        parts = [arrays[f"{which}_{what}"][:number] for which in _EXTREMES]
        images.append(np.concatenate(parts))
    columns = []
    for which in _EXTREMES:
        thousandths = 1000 * arrays[f"{which}_errors"][:number].astype(float)
        places = max(formatting.decimals(thousandths) - 1, 0)
        columns += [f"{error:.{places}f}" for error in thousandths]
    total = experiment.num_reconstructed("test")
    title = f"{experiment.name} (of {total:,} images)" if total else experiment.name
    color = style.color_of(experiment.index)
    return image_grids.Panel(
        title, color, np.stack(images), ("real", "model"), columns, split=number
    )


def inversion_curves(study: Study) -> page.Drawing:
    """Return the error of inversions by step, a panel per dataset."""
    return _error_curves(study, "inversion", "Error of the inversion by step, by")


def ode_curves(study: Study) -> page.Drawing:
    """Return the error of reconstructions by the steps of the ODE, a panel per dataset."""
    return _error_curves(study, "ode", "Error of the ODE there and back by its steps, by")


def ode_errors(study: Study) -> str:
    """Return how the error falls from the fewest to the most steps of the ODE, as sentences."""
    sentences = []
    for each in study.with_latent("ode_error", facts=["ode_steps"])[0]:
        steps = each.latent["ode_steps"]
        first, *_, last = np.median(each.latent_arrays["ode_error"], axis=0)
        sentences.append(
            f"The median of {each.in_markdown} is {first:.2g} with {steps[0]} steps and "
            f"{last:.2g} with {steps[-1]}."
        )
    return " ".join(sentences)


def _error_curves(study: Study, kind: str, description: str) -> page.Drawing:
    present, notes = study.with_latent(f"{kind}_error", facts=[f"{kind}_steps"])
    if not present:
        return page.Drawing(None, notes=notes)
    groups = study.by_dataset(present)
    figures, panels = line_plots.panels_of_curves(len(groups))
    for (dataset, experiments), axes in zip(groups.items(), panels, strict=True):
        _error_panel(axes, experiments, kind)
        axes.set_title(dataset if study.has_several_datasets else "")
    return page.Drawing.of(figures, description, present, notes)


def _error_panel(axes: Axes, experiments: Sequence[Experiment], kind: str) -> None:
    """Draw the median error over images, and a band for the middle half of them."""
    ends, values = [], []
    for experiment in experiments:
        steps = list(map(float, experiment.latent[f"{kind}_steps"]))
        errors = experiment.latent_arrays[f"{kind}_error"]
        low, middle, high = np.quantile(errors, [0.25, 0.5, 0.75], axis=0)
        color = style.color_of(experiment.index)
        axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(steps, middle, color=color, linestyle=style.dashes_of(experiment.index))
        ends.append((experiment.name, color, steps[-1], float(middle[-1])))
        values += [*low.tolist(), *high.tolist()]
    axes.set_xlim(0, max(end[2] for end in ends))
    axes.set_xlabel("steps")
    axes.set_ylabel("MSE")
    line_plots.scale_y(axes, values)
    line_plots.label_ends(axes, ends, size=line_plots.NAMES_SIZE)
