"""What print needs beyond the page: where figures stand, and what stays together."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from latentbench.report.presentation.style import to_svg
from latentbench.report.rendering import document
from latentbench.report.rendering.document import to_page
from latentbench.report.rendering.pandoc import convert

SOURCES = Path(__file__).parents[2] / "report"
FLOATING = "#set figure(placement: bottom)"


def pictured():
    picture = new_output(
        "display_data", {"image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg"/>'}
    )
    return new_code_cell(
        outputs=[picture, new_output("display_data", {"text/markdown": "**Figure 1.** A caption."})]
    )


@pytest.fixture
def written(tmp_path):
    """Cells as pandoc writes them, a picture with its caption for each `figure`."""

    def write(*cells: str, to: str = "typst") -> str:
        notebook = new_notebook(
            cells=[pictured() if cell == "figure" else new_markdown_cell(cell) for cell in cells]
        )
        options = ("--from=ipynb+citations-raw_html", f"--to={to}", f"--extract-media={tmp_path}")
        return convert(
            nbformat.writes(notebook),
            [*options, f"--lua-filter={SOURCES / 'page.lua'}"],
            {},
            SOURCES,
        )

    return write


def test_a_figure_moves_where_it_stands_amid_words(written):
    assert written("## Losses", "Words.", "figure", "Words.").count(FLOATING) == 1
    assert written("## Losses", "Words.", "figure", "### More", "Words.").count(FLOATING) == 1
    assert FLOATING not in written("## Losses", "figure", "figure", "Words.")
    assert FLOATING not in written("## Losses", "Words.", "figure", "## Gradients", "Words.")
    assert FLOATING not in written("## Losses", "Words.", "figure", "Words.", to="html5")
    glance = ("# At a glance", "Words.", "figure", "Words.")
    text = written(*glance, "# Comparison", "Words.", "figure", "Words.")
    assert text.index("At a glance") < text.index("#contents") < text.index(FLOATING)
    assert text.count("#contents") == 1


def test_what_leads_in_stays_with_what_it_leads_to(written):
    text = written("On digits:", "The first is best.")
    assert (
        text.index("sticky: true")
        < text.index("On digits:")
        < text.index("]")
        < text.index("The first")
    )
    assert "sticky" in written("## Losses", "Words.", "figure", "## Gradients")
    assert "sticky" not in written("On digits.", "The first is best.")


def test_apostrophes_are_those_of_print():
    notebook = new_notebook(cells=[new_markdown_cell("# The model's\n\nIt is the model's.")])
    assert to_page(notebook, {"title": "A"}, SOURCES).count("model’s") >= 2


@pytest.mark.parametrize("most", [10, 10_000])
def test_images_of_a_large_page_are_smaller(monkeypatch, most):
    monkeypatch.setattr(document, "_MAX_EXACT_BYTES", most)
    figure = Figure(figsize=(1, 1))
    figure.add_axes((0, 0, 1, 1)).imshow(np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
    output = new_output("display_data", {"image/svg+xml": to_svg(figure)})
    notebook = new_notebook(cells=[new_code_cell(outputs=[output])])
    page = to_page(notebook, {"title": "A"}, SOURCES)
    assert ("data:image/avif" in page) is (most == 10)
    assert ("data:image/webp" in page) is (most != 10)
    assert ("AVIF" in re.sub("<[^>]*>", "", page)) is (most == 10)
    assert "webp" in str(notebook)


def test_the_version_is_printed():
    template = f"--template={SOURCES / 'page.typ'}"
    text = convert("Words.", ("--to=typst", template), {"title": "A", "version": "1.2.3"}, SOURCES)
    assert "[latentbench 1.2.3]" in text
