"""What a report opens with: samples of every model, and a caption for their numbers."""

from __future__ import annotations

import math

import numpy as np

from latentbench.report.presentation import page, style
from latentbench.report.presentation.image_grids import Images, Row, rows_figures, strip
from latentbench.results import Study, ranking, tables

_HEIGHT = 3.2  # inches of all rows together, of all datasets
_WIDTH = 6.0  # inches of a row without its label
_FEWEST, _MOST = 10, 18  # images in a row


def samples(study: Study, num_datasets: int = 1) -> page.Drawing:
    """Return a row of real images, and a row of samples per model; of one of several datasets."""
    present, notes = study.with_latent("samples")
    if not present:
        return page.Drawing(None, notes=notes)
    number = math.ceil((1 + len(present)) * _WIDTH * num_datasets / _HEIGHT)
    number = min(max(number, _FEWEST), _MOST)
    rows = []
    real = _real_images(study)[:number]
    if len(real) == number:
        rows.append(Row("real", style.MUTED, strip(real)))
    for each in present:
        images = each.latent_arrays["samples"][:number]
        rows.append(Row(each.name, style.color_of(each.index), strip(images)))
    return page.Drawing.of(rows_figures([rows]), "Real images and samples of", present, notes)


def _real_images(study: Study) -> Images:
    """Return training images (number, height, width, channel), one of each class in turn."""
    for each in study:
        images, facts = each.latent_arrays.get("data_samples"), each.latent.get("data")
        if images is not None and facts:
            counts = [one["train"] for one in facts["classes"]] or [facts["images"]["train"]]
            exists = np.arange(images.shape[1])[:, None] < np.array(counts)
            return np.asarray(images.swapaxes(0, 1)[exists])
    return np.empty((0, 1, 1, 1), np.uint8)


def caption(study: Study) -> str:
    """Return what the columns of the table are."""
    metric, _ = ranking.primary(study, ranking.generative(study, study.run_groups()))
    distance = f"{metric.name} is the {metric.long_name} to real images. " if metric else ""
    fidelity = ""
    if study.prdc_extractor:
        fidelity = (
            "Precision and density measure how real samples look, coverage how much of the real "
            f"images they cover, over features of {study.prdc_extractor_name}. "
        )
    spread = "trainings, or over sets of samples of a model trained once"
    if not study.has_repeats:
        spread = "sets of samples"
    return (
        f"The models after their last epoch; ± is the standard deviation over {spread}. "
        f"{distance}{fidelity}"
        "Cost is that of one training: images seen, processor time and the most memory of a "
        f"process.{tables.best_in_bold(study)}"
    )
