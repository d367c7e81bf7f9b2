"""How diffusion models turn noise into images."""

from __future__ import annotations

import numpy as np

from latentbench.report.latent.sample_grids import draw_panels
from latentbench.report.presentation import page, style
from latentbench.report.presentation.image_grids import Panel
from latentbench.results import Experiment, Study

_ARRAYS = ("denoising_states", "denoising_estimates")
_ROWS = ("noisy", "expected")
_MAX_LATENTS = {1: 3, 2: 2}  # by how many panels stand next to one another
_MAX_TIMES = {1: 9, 2: 6}


def steps(study: Study) -> page.Drawing:
    """Return noisy images from noise to image, each above the image that is expected from it."""
    found = [each for each in study if each.latent.get("denoising")]

    def panel(experiment: Experiment, across: int) -> Panel:
        states, estimates = (experiment.latent_arrays[name] for name in _ARRAYS)
        number = min(len(states), _MAX_LATENTS[across])
        times = experiment.latent["denoising"]["times"]
        shown = np.linspace(0, len(times) - 1, min(_MAX_TIMES[across], len(times))).round()
        places = shown.astype(int)
        # A row of noisy images and one of expected images per latent.
        images = np.stack([states[:number, places], estimates[:number, places]], axis=1)
        rows = images.reshape(-1, *images.shape[2:])
        columns = [f"{times[place]:.2g}" for place in places]
        color = style.color_of(experiment.index)
        return Panel(experiment.name, color, rows, _ROWS * number, columns)

    description = "Noisy images from noise to image, and the image expected from each, of"
    return draw_panels(study, (found, []), panel, description, max_across=2)
