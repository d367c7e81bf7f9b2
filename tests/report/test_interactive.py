"""Figures that follow the reader's hand: their data, their stills, their page."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from latentbench import open_study
from latentbench.artifacts.files import read_arrays
from latentbench.artifacts.paths import INTERACTIVE_ARRAYS, LATENT_FACTS
from latentbench.report.latent import interactive, perturbation
from latentbench.report.presentation import interactive as sprites
from latentbench.report.presentation.interactive import Frames, Group, content, sprite
from latentbench.report.presentation.page import INTERACTIVE, Drawing
from latentbench.report.rendering.document import split_interactive, to_page, to_pdf
from tests.report.conftest import MANY, SIX, assert_on_the_page, change, give_datasets
from tests.report.synthetic_results import CLASSES

SOURCES = Path(__file__).parents[2] / "report"
SVG = "image/svg+xml"


def pixels_of(uri: str) -> np.ndarray:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def of(drawing: Drawing) -> list[dict[str, Any]]:
    assert isinstance(drawing.figure, Figure)
    assert drawing.interactive is not None
    return drawing.interactive["groups"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sprite_has_the_images_row_by_row(channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, channels), dtype=np.uint8)
    pixels = pixels_of(sprite(images))
    assert pixels.shape == (8, 15, 3)
    for row, column in np.ndindex(2, 3):
        found = pixels[4 * row : 4 * row + 4, 5 * column : 5 * column + 5]
        np.testing.assert_array_equal(found, np.broadcast_to(images[row, column], (4, 5, 3)))


@pytest.mark.parametrize(("kind", "rows"), [("plane", 2), ("slider", 5)])
def test_large_sprites_are_compressed_and_thinned(monkeypatch, kind, rows):
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 16, 16, 3), dtype=np.uint8)
    groups = [Group([Frames("noise", 0, images)])]
    whole = content(kind, "", groups)["groups"][0]
    assert (whole["rows"], whole["positions"]) == (5, 5)
    monkeypatch.setattr(sprites, "MAX_SIZE", len(whole["models"][0]["sprite"]) - 1)
    lossy = content(kind, "", groups)["groups"][0]
    assert (lossy["rows"], lossy["positions"]) == (5, 5)
    monkeypatch.setattr(sprites, "MAX_SIZE", 1)
    thinned = content(kind, "", groups)["groups"][0]
    assert (thinned["rows"], thinned["positions"]) == (rows, 2)
    assert pixels_of(thinned["models"][0]["sprite"]).shape == (2 * 16 * rows, 32, 3)


def test_the_plane_has_its_largest_values_at_the_top(make_study):
    folder = make_study()
    [group] = of(interactive.plane(open_study(folder)))
    assert [model["name"] for model in group["models"]] == ["vae", "dcgan", "wgan-gp"]
    assert [model["color"] for model in group["models"]] == [1, 2, 3]
    assert group["extent"] == 3
    images = read_arrays(folder / "dcgan" / INTERACTIVE_ARRAYS)["plane"]
    top = pixels_of(group["models"][1]["sprite"])[: group["height"], : group["width"], :1]
    np.testing.assert_array_equal(top, images[0, -1, 0])
    assert [bool(model["dots"]) for model in group["models"]] == [True, False, False]
    assert all(len(dot) == 3 for dot in group["models"][0]["dots"])


def test_models_of_a_pair_share_their_real_images(make_study):
    [group] = of(interactive.path(open_study(make_study())))
    assert len(group["choices"]) == 6
    assert group["choices"][5].endswith(f"{CLASSES[4]} to {CLASSES[9]}")
    height, width = group["height"], group["width"]
    assert pixels_of(group["real"]).shape == (6 * height, 2 * width, 3)


def test_a_model_without_a_direction_has_no_row_for_it(make_study):
    folder = make_study({"vae": (30.0, 0.4), "vae_1": (20.0, 0.4)})
    for name, attributes in (("vae", ["Smiling", "Male"]), ("vae_1", ["Male", "Blond_Hair"])):
        directions = []
        for attribute in attributes:
            directions.append({"attribute": attribute, "accuracy": 0.9, "base_rate": 0.5})
        change(folder / name / LATENT_FACTS, directions=directions)
    study = open_study(folder)
    [group] = of(interactive.with_walks(study, perturbation.walks(study)))
    assert group["choices"] == ["Smiling", "Male", "Blond Hair"]
    assert [model["places"] for model in group["models"]] == [[0, 1, None], [None, 0, 1]]
    assert group["rows"] == 4


def test_classes_and_mixes_belong_to_different_models(make_study):
    study = open_study(make_study(SIX))
    [classes] = of(interactive.class_walks(study))
    assert [model["name"] for model in classes["models"]] == ["dcgan", "wgan-gp"]
    assert classes["choices"] == CLASSES[:2]
    [mixes] = of(interactive.mixes(study))
    assert all(model["name"].startswith("conditional-") for model in mixes["models"])
    assert mixes["choices"] == [f"{CLASSES[0]} to {CLASSES[1]}", f"{CLASSES[0]} to {CLASSES[2]}"]
    assert mixes["rows"] == 2
    assert CLASSES[1] in interactive.plane_labels(study)


def test_each_dataset_moves_on_its_own(make_study):
    folder = make_study()
    give_datasets(folder, vae="faces")
    groups = of(interactive.plane(open_study(folder)))
    assert [group["title"] for group in groups] == ["faces", "glyphs"]
    assert [len(group["models"]) for group in groups] == [1, 2]


def test_studies_without_the_arrays_have_no_such_figures(make_study):
    folder = make_study()
    for path in folder.glob(f"*/{INTERACTIVE_ARRAYS}"):
        path.unlink()
    study = open_study(folder)
    drawn = [figure(study) for figure in (interactive.plane, interactive.path, interactive.mixes)]
    assert [drawing.figure for drawing in drawn] == [None, None, None]
    still = perturbation.walks(study)
    assert interactive.with_walks(study, still) is still


@pytest.mark.parametrize(
    "figure", [interactive.plane, interactive.path, interactive.class_walks, interactive.mixes]
)
def test_stills_of_many_models_fit_on_the_page(make_study, figure):
    drawing = figure(open_study(make_study(MANY, side=16, channels=3)))
    for each in (drawing.figure, *drawing.continued):
        assert_on_the_page(each)


@pytest.fixture
def notebook():
    """A figure that moves, and its continuation."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9"/></svg>'
    outputs = []
    for figure in ({"kind": "slider", "groups": [], "hint": "</script><b>"}, {}):
        outputs.append(new_output("display_data", {SVG: svg, INTERACTIVE: figure}))
        outputs.append(new_output("display_data", {"text/markdown": "**Figure 1.** A caption."}))
    return new_notebook(cells=[new_code_cell(outputs=outputs)])


def test_the_page_has_the_data_of_its_figures_and_one_script(notebook):
    page = to_page(notebook, {"title": "A"}, SOURCES)
    assert re.findall(r'data-interactive="(\d)"', page) == ["0", "1"]
    data = re.findall(r'<script type="application/json" id="interactive-\d">(.*?)</script>', page)
    assert [json.loads(each) for each in data] == [
        {"kind": "slider", "groups": [], "hint": "</script><b>"},
        {},
    ]
    [script] = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    policy = html.unescape(policy)
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert page.count("<script") == 3


def test_paper_and_notebooks_have_the_still_alone(notebook):
    stills, figures = split_interactive(notebook)
    assert len(figures) == 2
    assert INTERACTIVE not in str(stills)
    assert str(stills).count("<rect") == 2
    assert INTERACTIVE in str(notebook)
    assert to_pdf(notebook, {"title": "A"}, SOURCES).startswith(b"%PDF")
