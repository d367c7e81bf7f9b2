"""Headings stand over something, and the same note is read once in a section."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from latentbench.report import show
from latentbench.report.show import Drawing, Page, Table


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    """What a page displays, in order; of a figure its kind."""
    displayed: list[str] = []
    monkeypatch.setattr(
        show, "_display", lambda kind, content, **_: displayed.append(content if "markdown" in kind else "figure")
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
