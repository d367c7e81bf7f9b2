"""The background chapter: its figures are drawn, its computed ones are right, its citations lead somewhere."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from latentbench.report.background import model_diagrams, toy_examples
from latentbench.report.presentation.style import SMALL_SIZE, to_svg

DRAWN = (
    *(model_diagrams.encoders, model_diagrams.codes, model_diagrams.game),
    *(
        toy_examples.losses,
        toy_examples.divergences,
        toy_examples.frechet_blindness,
        toy_examples.diffusion,
    ),
)
REPORT = Path(__file__).parents[2] / "report"


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_each_figure_draws_the_same_and_is_described(draw):
    drawing = draw()
    assert len(drawing.description) > 80
    svg = to_svg(drawing.figure)
    assert svg.startswith("<svg")
    assert svg == to_svg(draw().figure)


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_words_are_legible_and_inside_the_figure(draw):
    figure = draw().figure
    figure.draw_without_rendering()
    assert (
        min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= SMALL_SIZE
    )
    extent, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(extent.x0, extent.y0) > -0.02
    assert extent.x1 < width + 0.02
    assert extent.y1 < height + 0.02


@pytest.mark.parametrize(
    "draw", [model_diagrams.encoders, model_diagrams.game], ids=lambda draw: draw.__name__
)
def test_words_of_diagrams_do_not_overlap(draw):
    figure = draw().figure
    figure.draw_without_rendering()
    extents = [
        text.get_window_extent()
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible()
    ]
    pairs = [(one, other) for place, one in enumerate(extents) for other in extents[:place]]
    assert not any(one.overlaps(other) for one, other in pairs)


def test_codes_of_the_vae_fill_the_prior_and_those_of_the_autoencoder_do_not():
    codes = model_diagrams.vae_codes().reshape(-1, 2)
    assert np.abs(codes.mean(axis=0)).max() < 0.15
    assert np.cov(codes.T) == pytest.approx(np.eye(2), abs=0.2)
    assert model_diagrams.share_near(model_diagrams.vae_codes()) > 0.9
    assert model_diagrams.share_near(model_diagrams.autoencoder_codes()) < 0.2


def test_gradients_of_losses_are_their_slopes():
    logits, step = np.linspace(-5, 5, 41), 1e-5
    above, below = (toy_examples.generator_losses(logits + shift) for shift in (step, -step))
    for name, gradient in toy_examples.generator_gradients(logits).items():
        assert gradient == pytest.approx((above[name] - below[name]) / (2 * step), abs=1e-6)


def test_losses_saturate_where_the_chapter_says():
    gradients = {
        name: values[0]
        for name, values in toy_examples.generator_gradients(np.array([-20.0])).items()
    }
    assert gradients["minimax"] == pytest.approx(0, abs=1e-6)
    assert gradients["non-saturating"] == pytest.approx(-1, abs=1e-6)
    assert gradients["hinge"] == -1


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0, 4.0])
def test_divergences_of_shifted_densities(shift):
    grid, p, q = toy_examples.bumps(shift)
    step = grid[1] - grid[0]
    assert p.sum() * step == pytest.approx(1, abs=1e-6)
    assert toy_examples.wasserstein(p, q, step) == pytest.approx(shift, abs=1e-4)
    divergence = toy_examples.jensen_shannon(p, q, step)
    if shift == 0:
        assert divergence == 0
    else:
        assert 0 < divergence <= math.log(2) + 1e-9
    if shift >= 4:
        assert divergence == pytest.approx(math.log(2), abs=1e-6)


def test_jensen_shannon_of_disjoint_densities_is_log_2():
    p, q = np.array([1.0, 1, 0, 0]), np.array([0.0, 0, 1, 1])
    assert toy_examples.jensen_shannon(p, q, 0.5) == pytest.approx(math.log(2))


def test_frechet_distance_sees_two_moments_only():
    real, clusters, shifted = toy_examples.clouds()
    assert toy_examples.frechet(real, clusters) == pytest.approx(0, abs=1e-9)
    # Of clouds that differ by a step alone it is the step's square; on a line also that of the stds.
    assert toy_examples.frechet(real, real + np.array([3.0, 4.0])) == pytest.approx(25)
    assert toy_examples.frechet(real, 3 * real) == pytest.approx(
        4 * (real.mean(axis=0) ** 2).sum() + 4 * np.trace(np.cov(real.T))
    )
    assert toy_examples.frechet(real, shifted) > 0.5


@pytest.mark.parametrize("step", [0, 1, 100, 500, toy_examples.DIFFUSION_STEPS])
def test_densities_of_the_diffusion_integrate_to_one_and_match_its_paths(step):
    grid = np.linspace(-8, 8, 8_001)
    density, width = toy_examples.diffusion_marginal(grid, step), grid[1] - grid[0]
    assert density.sum() * width == pytest.approx(1, abs=1e-6)
    paths = toy_examples.diffusion_paths(20_000)[step]
    mean = (grid * density).sum() * width
    assert paths.mean() == pytest.approx(mean, abs=0.04)
    assert paths.var() == pytest.approx(((grid - mean) ** 2 * density).sum() * width, rel=0.04)


def test_diffusion_ends_in_noise():
    grid = np.linspace(-4, 4, 101)
    last = toy_examples.diffusion_marginal(grid, toy_examples.DIFFUSION_STEPS)
    assert last == pytest.approx(toy_examples.normal_density(grid, 0.0, 1.0), abs=0.01)


def test_variances_of_both_gradient_estimators_are_those_of_the_chapter():
    """Of z² under N(μ, 1), at the means that the text names; normal moments by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    for mean, expected in ((1, 30), (3, 222)):
        by_path, by_score = 2 * (mean + nodes), (mean + nodes) ** 2 * nodes
        for estimates, variance in ((by_path, 4), (by_score, expected)):
            assert weights @ estimates == pytest.approx(2 * mean)
            assert weights @ estimates**2 - (2 * mean) ** 2 == pytest.approx(variance)
        assert expected == mean**4 + 14 * mean**2 + 15


def notebook() -> dict:
    return json.loads((REPORT / "background.ipynb").read_text(encoding="utf-8"))


def sources(kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook()["cells"] if cell["cell_type"] == kind]


def keys_defined() -> list[str]:
    return re.findall(
        r"^@\w+\{(\w+),$",
        (REPORT / "references.bib").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )


def test_every_citation_leads_to_one_entry_and_every_entry_is_cited():
    written = [*REPORT.glob("*.ipynb"), *Path(model_diagrams.__file__).parents[1].rglob("*.py")]
    background = _cited("\n".join(sources("markdown") + sources("code")))
    defined = keys_defined()
    assert len(background) > 40
    assert background <= set(defined)
    assert len(defined) == len(set(defined))
    assert set(defined) <= _cited("\n".join(path.read_text(encoding="utf-8") for path in written))


def _cited(text: str) -> set[str]:
    return set(re.findall(r"(?<!\w)@(\w+)", text))


def test_every_entry_says_who_what_and_when():
    text = (REPORT / "references.bib").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=@)", text)
    assert len(entries) == len(keys_defined()) == text.count("\n@") + 1
    for entry in entries:
        assert all(
            re.search(rf"^  {field} = {{", entry, flags=re.MULTILINE)
            for field in ("author", "title", "year")
        )


def test_the_notebook_compiles_is_empty_and_shows_each_figure_once():
    cells = notebook()["cells"]
    assert [cell["id"] for cell in cells] == [
        f"cell-{number}" for number in range(1, len(cells) + 1)
    ]
    assert cells[0]["metadata"] == {"tags": ["parameters"]}
    for cell in cells:
        assert cell.get("outputs", []) == []
    for source in sources("code"):
        compile(source, "background.ipynb", "exec")
    shown = re.findall(r"(?:model_diagrams|toy_examples)\.(\w+)\(\)", "\n".join(sources("code")))
    assert sorted(shown) == sorted(draw.__name__ for draw in DRAWN)
