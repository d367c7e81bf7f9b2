"""The page in Chromium: its figures follow mouse, touch and keyboard, and nothing is requested."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from latentbench import open_study
from latentbench.report.latent import interactive
from latentbench.report.presentation.page import INTERACTIVE, Drawing
from latentbench.report.presentation.style import to_svg
from latentbench.report.rendering.document import to_page
from tests.report.conftest import MakeStudy

pytestmark = pytest.mark.browser
SOURCES = Path(__file__).parents[2] / "report"
# A browser runs no sandbox as root.
ARGUMENTS = ["--no-sandbox"] if os.geteuid() == 0 else []
PHONE = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    assert path, "There is no chromium."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(make_study: MakeStudy, tmp_path: Path, chromium: Any) -> Iterator[Any]:
    """Open a page with the plane, a path and a slider; fail on errors and requests."""
    troubles: list[str] = []
    contexts = []
    study = open_study(make_study())
    figures = (interactive.plane, interactive.path, interactive.class_walks)
    path = tmp_path / "index.html"
    path.write_text(to_page(as_notebook([each(study) for each in figures]), {}, SOURCES))

    def note_request(request: Any) -> None:
        if not request.url.startswith("data:") and request.url != path.as_uri():
            troubles.append(request.url)

    def note_message(message: Any) -> None:
        if message.type == "error":
            troubles.append(message.text)

    def open_page(**options: Any) -> Any:
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.on("request", note_request)
        page.on("console", note_message)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def as_notebook(drawings: list[Drawing]) -> Any:
    cells = []
    for number, drawing in enumerate(drawings, start=1):
        assert drawing.figure is not None
        data = {"image/svg+xml": to_svg(drawing.figure), INTERACTIVE: drawing.interactive}
        caption = new_output("display_data", {"text/markdown": f"**Figure {number}.** A caption."})
        cells.append(new_code_cell(outputs=[new_output("display_data", data), caption]))
    return new_notebook(cells=cells)


def pixels(canvas: Any) -> str:
    return canvas.evaluate("canvas => canvas.toDataURL()")


def wait_until_drawn(figure: Any) -> None:
    """Wait until each canvas with images has pixels that are not transparent."""
    figure.scroll_into_view_if_needed()
    figure.page.wait_for_function(
        """figure => [...figure.querySelectorAll("canvas[role=img]")].every(canvas =>
        canvas.getContext("2d").getImageData(0, 0, 1, 1).data[3] > 0)""",
        arg=figure.element_handle(),
    )


def drag(page: Any, pad: Any, *points: tuple[float, float]) -> None:
    """Press at the first of points in [0, 1], move over the others and release."""
    box = pad.bounding_box()
    for place, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
        if place == 0:
            page.mouse.down()
    page.mouse.up()


def position(pad: Any) -> str:
    return pad.get_attribute("aria-valuetext").replace("\N{NO-BREAK SPACE}", " ")


def test_the_plane_follows_mouse_and_keyboard_for_all_models(opened: Any) -> None:
    page = opened()
    figure = page.locator("figure.moves").nth(0)
    wait_until_drawn(figure)
    pads, images = figure.get_by_role("slider"), figure.locator(".model canvas[role=img]")
    assert pads.count() == images.count() == 3
    before = [pixels(images.nth(place)) for place in range(3)]
    drag(page, pads.nth(1), (0.5, 0.5), (0.9, 0.4), (0.75, 0.25))
    assert {position(pads.nth(place)) for place in range(3)} == {position(pads.nth(0))}
    first = float(pads.nth(0).get_attribute("aria-valuenow"))
    assert first == pytest.approx(1.5, abs=0.1)
    after = [pixels(images.nth(place)) for place in range(3)]
    assert all(old != new for old, new in zip(before, after, strict=True))
    page.mouse.move(0, 0)  # released, the pointer moves nothing
    assert float(pads.nth(0).get_attribute("aria-valuenow")) == first
    # Another start for the directions that are not on the plane.
    figure.get_by_role("combobox").select_option(index=1)
    assert [pixels(images.nth(place)) for place in range(3)] != after
    # Each arrow is a sixteenth of the way from the mean to the edge.
    pads.nth(2).press("Home")
    assert position(pads.nth(0)) == "first direction 0.00 σ, second direction 0.00 σ"
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        pads.nth(2).press(key)
    assert position(pads.nth(0)) == "first direction +0.38 σ, second direction \N{MINUS SIGN}0.19 σ"
    for _ in range(40):
        pads.nth(2).press("ArrowUp")
    assert position(pads.nth(0)).endswith("second direction +3.00 σ")
    assert pads.nth(2).evaluate("pad => getComputedStyle(pad).outlineStyle") == "solid"


def test_the_plane_follows_a_finger(opened: Any) -> None:
    page = opened(**PHONE)
    figure = page.locator("figure.moves").nth(0)
    wait_until_drawn(figure)
    pad = figure.get_by_role("slider").nth(0)
    pad.scroll_into_view_if_needed()
    box, scrolled = pad.bounding_box(), page.evaluate("scrollY")
    session = page.context.new_cdp_session(page)
    for kind, x, y in (("touchStart", 0.5, 0.5), ("touchMove", 0.25, 0.9), ("touchMove", 0.25, 1)):
        point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"] - 1}
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert float(pad.get_attribute("aria-valuenow")) == pytest.approx(-1.5, abs=0.1)
    assert page.evaluate("scrollY") == scrolled
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("place", [1, 2])
def test_sliders_move_all_models_in_step(opened: Any, place: int) -> None:
    page = opened()
    figure = page.locator("figure.moves").nth(place)
    wait_until_drawn(figure)
    slider, choice = figure.get_by_role("slider"), figure.get_by_role("combobox")
    images = figure.locator(".model canvas")
    shown = []
    for key in ("Home", "ArrowRight", "End"):
        slider.press(key)
        shown.append([pixels(images.nth(number)) for number in range(images.count())])
    for start, near, end in zip(*shown, strict=True):
        assert len({start, near, end}) == 3
    text = slider.get_attribute("aria-valuetext").replace("\N{NO-BREAK SPACE}", " ")
    assert text.endswith("100 %" if place == 1 else "+3.0 σ")
    other = choice.locator("option").nth(1)
    choice.select_option(index=1)
    assert slider.get_attribute("aria-valuetext").startswith(other.inner_text())
    assert [pixels(images.nth(number)) for number in range(images.count())] != shown[-1]
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert float(slider.input_value()) == pytest.approx(2, abs=0.1)


def test_positions_show_the_images_that_were_decoded(opened: Any, make_study: MakeStudy) -> None:
    """At the end of the path of the first pair: the pixels of the array."""
    page = opened()
    figure = page.locator("figure.moves").nth(1)
    wait_until_drawn(figure)
    figure.get_by_role("combobox").select_option(index=0)
    figure.get_by_role("slider").press("End")
    drawn = (
        figure.locator(".model canvas")
        .nth(0)
        .evaluate("c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")
    )
    study = open_study(make_study())
    expected = study["vae"].interactive_arrays["path"][0, -1]
    assert drawn[::4] == expected.reshape(-1).tolist()


def test_print_and_readers_without_javascript_have_the_still(opened: Any) -> None:
    page = opened()
    still, box = page.locator("figure > svg").nth(0), page.locator(".interactive").nth(0)
    assert (still.is_visible(), box.is_visible()) == (False, True)
    page.emulate_media(media="print")
    assert (still.is_visible(), box.is_visible()) == (True, False)
    page = opened(java_script_enabled=False)
    assert page.locator("figure > svg").nth(0).is_visible()
    assert page.locator(".interactive").count() == 0
