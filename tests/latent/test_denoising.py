"""The path from noise to image, and the loss of a prediction from each pixel alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from latentbench.latent.explorations.denoising import loss_of_pixels
from latentbench.rng import numpy_generator

Explore = Callable[..., Any]


def test_the_path_ends_with_the_sample(explore: Explore) -> None:
    arrays, facts, _ = explore("diffusion", model={"sampling_steps": 3})
    states, estimates = arrays["denoising_states"], arrays["denoising_estimates"]
    assert states.shape == estimates.shape == (3, 4, 32, 32, 1)
    assert states.dtype == estimates.dtype == np.uint8
    assert facts["denoising"]["times"] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    # At time 0 noisy, expected and generated image are the same, up to rounding to levels.
    assert np.array_equal(states[:, -1], estimates[:, -1])
    np.testing.assert_allclose(states[:, -1].astype(int), arrays["samples"][:3], atol=1)


def test_long_paths_are_thinned(explore: Explore) -> None:
    arrays, facts, _ = explore("diffusion", model={"sampling_steps": 20})
    assert arrays["denoising_states"].shape[1] == len(facts["denoising"]["times"]) == 9
    assert facts["denoising"]["steps"] == 20
    assert facts["denoising"]["times"][0] == 1
    assert facts["denoising"]["times"][-1] == 0


@pytest.mark.parametrize("objective", ["vae", "dcgan"])
def test_models_in_one_step_have_no_path(objective: str, explore: Explore) -> None:
    arrays, facts, _ = explore(objective)
    assert "denoising" not in facts
    assert "denoising_states" not in arrays


def test_the_loss_of_pixels_is_that_of_the_best_line() -> None:
    """Regression of ε - x on x_t leaves this variance, for pixels of any distribution."""
    random = numpy_generator(0, "pixels")
    stds = np.array([0.2, 0.7])
    images = stds * random.choice([-1.0, 1.0], size=(200_000, 2))
    noise = random.normal(size=images.shape)
    times = np.array([0.1, 0.5, 0.9])
    left = []
    for time in times:
        mixed = (1 - time) * images + time * noise
        slopes = (mixed * (noise - images)).mean(axis=0) / (mixed**2).mean(axis=0)
        left.append(((noise - images - slopes * mixed) ** 2).mean())
    assert loss_of_pixels(stds**2, times) == pytest.approx(np.array(left), rel=0.02)


def test_the_loss_of_pixels_at_both_ends() -> None:
    """The noise at t = 0, the image at t = 1; a constant pixel gives its noise away."""
    variances = np.array([0.0, 0.25, 0.5, 0.25])
    assert loss_of_pixels(variances, np.array([0.0, 1.0])) == pytest.approx([0.75, 0.25])
