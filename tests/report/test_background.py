"""The background chapter: its figures, the numbers in them and its citations."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from scipy.stats import norm

from latentbench.report.background import flows, model_diagrams, toy_examples
from latentbench.report.presentation.style import SMALL_SIZE, to_svg

DIAGRAMS = (model_diagrams.encoders, model_diagrams.gan, model_diagrams.diffusion)
FIGURES = (
    *DIAGRAMS,
    model_diagrams.codes,
    toy_examples.losses,
    toy_examples.game,
    toy_examples.divergence_curves,
    toy_examples.frechet_examples,
    flows.flow,
    flows.weights,
)
REPORT = Path(__file__).parents[2] / "report"


def name_of(draw):
    return draw.__name__


@pytest.mark.parametrize("draw", FIGURES, ids=name_of)
def test_figures_are_reproducible(draw):
    svg = to_svg(draw())
    assert svg.startswith("<svg")
    assert svg == to_svg(draw())


@pytest.mark.parametrize("draw", FIGURES, ids=name_of)
def test_text_is_legible_and_inside_the_figure(draw):
    figure = draw()
    figure.draw_without_rendering()
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
    assert min(sizes) >= SMALL_SIZE
    extent, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(extent.x0, extent.y0) > -0.02
    assert extent.x1 < width + 0.02
    assert extent.y1 < height + 0.02


@pytest.mark.parametrize("draw", DIAGRAMS, ids=name_of)
def test_text_in_diagrams_does_not_overlap(draw):
    figure = draw()
    figure.draw_without_rendering()
    extents = []
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            extents.append(text.get_window_extent())
    for place, one in enumerate(extents):
        assert not any(one.overlaps(other) for other in extents[:place])


def test_codes_of_the_vae_follow_the_prior_and_those_of_the_autoencoder_do_not():
    codes = model_diagrams.vae_codes().reshape(-1, 2)
    assert np.abs(codes.mean(axis=0)).max() < 0.15
    assert np.cov(codes.T) == pytest.approx(np.eye(2), abs=0.2)
    assert model_diagrams.fraction_near(model_diagrams.vae_codes()) > 0.9
    assert model_diagrams.fraction_near(model_diagrams.autoencoder_codes()) < 0.2


def test_gradients_are_the_derivatives_of_the_losses():
    logits, step = np.linspace(-5, 5, 41), 1e-5
    above, below = (toy_examples.generator_losses(logits + shift) for shift in (step, -step))
    for name, gradient in toy_examples.generator_gradients(logits).items():
        assert gradient == pytest.approx((above[name] - below[name]) / (2 * step), abs=1e-6)


def test_gradients_at_very_negative_logits():
    gradients = toy_examples.generator_gradients(np.array([-20.0]))
    assert gradients["minimax"] == pytest.approx(0, abs=1e-6)
    assert gradients["non-saturating"] == pytest.approx(-1, abs=1e-6)
    assert gradients["hinge"] == -1


@pytest.mark.parametrize("step_size", [0.01, 0.2, 1.0])
def test_simultaneous_steps_of_the_game_spiral_outward(step_size):
    path = toy_examples.game_path(step_size, 60, alternating=False)
    radius = np.hypot(*path.T)
    assert radius == pytest.approx((1 + step_size**2) ** (np.arange(61) / 2))
    turns = np.diff(np.unwrap(np.arctan2(path[:, 1], path[:, 0])))
    assert turns == pytest.approx(math.atan(step_size))


@pytest.mark.parametrize("step_size", [0.01, 0.2, 1.0, 1.9])
def test_alternating_steps_of_the_game_stay_on_an_ellipse(step_size):
    x, y = toy_examples.game_path(step_size, 2_000, alternating=True).T
    assert x**2 + y**2 - step_size * x * y == pytest.approx(1)
    # The axes of the ellipse are the diagonals.
    radius = np.hypot(x, y)
    assert radius.max() < (1 - step_size / 2) ** -0.5 + 1e-9
    assert radius.min() > (1 + step_size / 2) ** -0.5 - 1e-9


@pytest.mark.parametrize("period", [3, 7, 40])
def test_orbits_of_alternating_steps_close(period):
    step_size = 2 * math.sin(math.pi / period)
    path = toy_examples.game_path(step_size, 2 * period, alternating=True)
    assert path[period:] == pytest.approx(path[: period + 1])
    assert np.hypot(*(path[1:period] - path[0]).T).min() > 0.1


def test_alternating_steps_that_are_too_large_diverge():
    path = toy_examples.game_path(2.1, 60, alternating=True)
    assert np.hypot(*path[-1]) > 1e3


def test_the_shown_game_ends_where_it_started():
    steps, step_size = toy_examples.GAME_STEPS, toy_examples.GAME_STEP_SIZE
    path = toy_examples.game_path(step_size, steps, alternating=True)
    assert path[-1] == pytest.approx(path[0])
    assert (1 + step_size**2) ** (steps / 2) == pytest.approx(2.7, abs=0.06)  # in the notebook


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0, 4.0])
def test_divergences_of_shifted_gaussians(shift):
    grid, p, _ = toy_examples.shifted_gaussians(shift)
    assert p.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-6)
    jensen_shannon, wasserstein = toy_examples.divergences(shift)
    assert wasserstein == pytest.approx(shift, abs=1e-4)
    assert 0 <= jensen_shannon <= math.log(2) + 1e-9
    assert (jensen_shannon == 0) == (shift == 0)
    if shift >= 4:
        assert jensen_shannon == pytest.approx(math.log(2), abs=1e-6)


def test_frechet_distance_depends_on_two_moments():
    real, clusters, shifted = toy_examples.clouds()
    distance = toy_examples.frechet_distance
    assert distance(real, clusters) == pytest.approx(0, abs=1e-9)
    # For clouds that differ by a shift it is the squared shift.
    assert distance(real, real + np.array([3.0, 4.0])) == pytest.approx(25)
    scaled = 4 * (real.mean(axis=0) ** 2).sum() + 4 * np.trace(np.cov(real.T))
    assert distance(real, 3 * real) == pytest.approx(scaled)
    assert distance(real, shifted) > 0.5


@pytest.mark.parametrize("time", [0.05, 0.5, 0.95])
def test_the_velocity_is_the_mean_over_data(time):
    """The mean of ε - x_0 over the data x_0 that may have become x_t, by quadrature."""
    values, states = np.linspace(-4, 4, 80_001), np.array([-1.2, 0.1, 0.9])
    for state, velocity in zip(states, flows.velocity(states, time), strict=True):
        noise = (state - (1 - time) * values) / time
        posterior = flows.density(values, 0.0) * norm.pdf(noise)
        mean = ((noise - values) * posterior).sum() / posterior.sum()
        assert velocity == pytest.approx(mean, abs=1e-6)


def test_paths_map_noise_to_data():
    errors = flows.solver_errors(np.array([256, 512, 1024]), second_order=True)
    assert errors[0] < 1e-3
    assert errors[:-1] / errors[1:] == pytest.approx(np.array([4, 4]), rel=0.25)
    first_order = flows.solver_errors(np.array([512, 1024]), second_order=False)
    assert first_order[0] / first_order[1] == pytest.approx(2, rel=0.25)


def test_the_least_loss_is_the_variance_of_what_is_not_seen():
    values = np.linspace(-4, 4, 8_001)
    data = flows.density(values, 0.0) * (values[1] - values[0])
    variance = data @ values**2 - (data @ values) ** 2
    assert flows.least_loss(1e-3) == pytest.approx(1, abs=0.01)
    assert flows.least_loss(1.0) == pytest.approx(variance, rel=1e-3)
    assert all(flows.least_loss(time) < 1 + variance for time in (0.2, 0.5, 0.8))


def test_weights_of_noise_levels():
    levels = np.linspace(-8, 8, 4_001)
    sigma, std = np.exp(levels), flows.DATA_STD
    found = flows.noise_weights(levels)
    assert found["EDM"] == pytest.approx(norm.pdf(levels, -1.2, 1.2), abs=1e-6)
    # The density of log σ for uniform t = σ / (1 + σ), over t² and times the linear error.
    time = sigma / (1 + sigma)
    expected = time * (1 - time) / time**2 * sigma**2 * std**2 / (sigma**2 + std**2)
    ratio = found["flow, uniform t"] / expected
    assert ratio == pytest.approx(np.full(len(levels), ratio[0]))
    for values in found.values():
        assert np.trapezoid(values, levels) == pytest.approx(1)
    # DDPM's levels are from √(1e-4) to that of its last step, with hardly any signal.
    ddpm = found["DDPM"]
    assert not ddpm[sigma < 0.009].any()
    assert not ddpm[sigma > 200].any()


def test_variances_of_the_gradient_estimators():
    """z² under N(μ, 1), at the means in the text; normal moments by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    for mean, expected in ((1, 30), (3, 222)):
        by_path, by_score = 2 * (mean + nodes), (mean + nodes) ** 2 * nodes
        for estimates, variance in ((by_path, 4), (by_score, expected)):
            assert weights @ estimates == pytest.approx(2 * mean)
            assert weights @ estimates**2 - (2 * mean) ** 2 == pytest.approx(variance)
        assert expected == mean**4 + 14 * mean**2 + 15


def cells() -> list[dict]:
    return json.loads((REPORT / "background.ipynb").read_text(encoding="utf-8"))["cells"]


def sources(kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in cells() if cell["cell_type"] == kind]


def references() -> str:
    return (REPORT / "references.bib").read_text(encoding="utf-8")


def keys_defined() -> list[str]:
    return re.findall(r"^@\w+\{(\w+),$", references(), flags=re.MULTILINE)


def cited(text: str) -> set[str]:
    return set(re.findall(r"(?<!\w)@(\w+)", text))


def test_citations_and_references_match():
    written = [*REPORT.glob("*.ipynb"), *Path(model_diagrams.__file__).parents[1].rglob("*.py")]
    background = cited("\n".join(sources("markdown") + sources("code")))
    defined = keys_defined()
    assert len(background) > 40
    assert background <= set(defined)
    assert len(defined) == len(set(defined))
    assert set(defined) <= cited("\n".join(path.read_text(encoding="utf-8") for path in written))


def test_references_have_author_title_and_year():
    entries = re.split(r"\n(?=@)", references())
    assert len(entries) == len(keys_defined())
    for entry in entries:
        for field in ("author", "title", "year"):
            assert re.search(rf"^  {field} = {{", entry, flags=re.MULTILINE)


def test_notebook_shows_each_figure_once():
    assert cells()[0]["metadata"] == {"tags": ["parameters"]}
    for number, cell in enumerate(cells(), start=1):
        assert cell["id"] == f"cell-{number}"
        assert cell.get("outputs", []) == []
    code = "\n".join(sources("code"))
    compile(code, "background.ipynb", "exec")
    shown = re.findall(r"(?:flows|model_diagrams|toy_examples)\.(\w+)\(\)", code)
    assert sorted(shown) == sorted(draw.__name__ for draw in FIGURES)
