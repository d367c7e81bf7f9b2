"""Headings stand over something, and the same note is read once in a section."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure

from latentbench.report.presentation import page
from latentbench.report.presentation.page import Drawing, Page
from latentbench.report.presentation.style import COLORS
from latentbench.results.tables import Table


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    """What a page displays, in order; of a figure its kind."""
    displayed: list[str] = []
    monkeypatch.setattr(
        page,
        "_display",
        lambda kind, content, **_: displayed.append(content if "markdown" in kind else "figure"),
    )
    return displayed


def test_optional_heading_waits_for_something_under_it(shown):
    page = Page()
    page.section("Empty", optional=True)
    page.figure("nothing", Drawing(None, notes=["There is none."]), "Caption.")
    page.table("nothing", Table(None), "Caption.")
    page.text("")
    page.section("Full", optional=True)
    page.figure("nothing", Drawing(None, notes=["There is none."]), "Caption.")
    page.figure("something", Drawing(Figure(), notes=["There is none."]), "Caption.")
    assert shown == ["## Full", "figure", "**Figure 1.** Caption.", "*There is none.*"]


def test_note_is_read_once_in_a_section(shown):
    page = Page()
    for heading in ("One", "Other"):
        page.section(heading)
        for _ in range(2):
            page.figure("nothing", Drawing(None, notes=["There is none."]), "Caption.")
    assert shown == ["## One", "*There is none.*", "## Other", "*There is none.*"]


def test_what_continues_a_figure_has_the_next_number(shown):
    page = Page("4")
    page.figure("long", Drawing(Figure(), continued=[Figure(), Figure()]), "Caption.")
    page.figure("next", Drawing(Figure()), "Another.")
    page.figure("long", Drawing(Figure(), continued=[Figure()]), "Caption.")
    assert [text for text in shown if text != "figure"] == [
        "**Figure 4.1.** Caption.",
        "**Figure 4.2.** Figure 4.1, continued.",
        "**Figure 4.3.** Figure 4.1, continued.",
        "**Figure 4.4.** Another.",
        "**Figure 4.1.** Caption.",
        "**Figure 4.2.** Figure 4.1, continued.",
    ]
    assert shown.count("figure") == 6


def test_a_plot_of_a_frame_is_a_figure_in_the_style_of_the_report(shown):
    page = Page()
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 3.0]})
    axes = frame.plot()
    page.figure("plot", axes, "Caption.")
    page.table("frame", frame, "Caption.")
    assert [line.get_color() for line in axes.lines] == list(COLORS[:2])
    assert shown[:2] == ["figure", "**Figure 1.** Caption."]
    assert "2.0" in shown[2]
    assert not plt.get_fignums()
