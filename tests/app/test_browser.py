"""The page in Chromium: every view used, on a tiny study. `make test-app` runs this."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser

Make = Callable[..., Path]
WAIT_MILLISECONDS = 120_000


@dataclass
class Visit:
    """A page, the address of its server, and what the browser requested and reported."""

    page: Any
    url: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def tab(self, name: str) -> Any:
        """Open a tab and return it."""
        self.page.get_by_role("tab", name=name).click()
        return self.page.locator(".q-tab-panel:visible")

    def shown(self, tab: Any, number: int) -> list[str]:
        """Return the sources of the images of the cards of models, once all are there."""
        images = tab.locator(".lb-card .lb-image")
        self.page.wait_for_function(
            """number => {
                const images = [...document.querySelectorAll(".lb-card .lb-image")];
                const visible = images.filter(image => image.offsetParent);
                return visible.length == number
                    && visible.every(image => image.src.startsWith("data:image/png"));
            }""",
            arg=number,
        )
        return [images.nth(place).get_attribute("src") for place in range(number)]

    def wait_for_change(self, tab: Any, before: list[str]) -> list[str]:
        """Return the sources of the images once some of them have changed."""
        self.page.wait_for_function(
            """before => {
                const images = [...document.querySelectorAll(".lb-card .lb-image")];
                const visible = images.filter(image => image.offsetParent);
                return visible.every(image => image.src.startsWith("data:image/png"))
                    && visible.some((image, place) => image.src != before[place]);
            }""",
            arg=before,
        )
        return self.shown(tab, len(before))

    def press(self, slider: Any, key: str, times: int = 1) -> None:
        """Press a key on a slider."""
        slider.locator("[tabindex]").first.focus()
        for _ in range(times):
            self.page.keyboard.press(key)

    def save(self, tab: Any, button: str) -> tuple[str, bytes]:
        """Save a file and return its name and content."""
        with self.page.expect_download() as download:
            tab.get_by_role("button", name=button).click()
        found = download.value
        return found.suggested_filename, Path(found.path()).read_bytes()

    def script(self, tab: Any) -> str:
        """Return the lines of Python of a tab."""
        code = tab.locator(".lb-code")
        if not code.locator("pre").is_visible():
            code.get_by_role("button").first.click()
        code.locator("pre").wait_for()
        return str(code.locator("pre").inner_text())


@pytest.fixture
def url(make_study: Make, tmp_path: Path) -> Iterator[str]:
    """Serve the tiny study and return the address of its page."""
    make_study()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    # NiceGUI would take the server for a test of its own.
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("PYTEST")}
    process = subprocess.Popen(
        [sys.executable, "-m", "latentbench", "app", "tiny"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"TMPDIR": str(temporary)},
    )
    with process:
        try:
            assert process.stderr is not None
            found = None
            lines = []
            while found is None and (line := process.stderr.readline()):
                lines.append(line)
                found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found is not None, "".join(lines)
            wait_until_it_answers(found[0], process)
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
    # Nothing that was uploaded or shown has been written.
    assert list(temporary.iterdir()) == []


@pytest.fixture
def visit(url: str) -> Iterator[Visit]:
    """Open the page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT_MILLISECONDS)
        visit = Visit(page, url)
        page.on("request", lambda request: visit.requests.append(request.url))
        page.on("websocket", lambda socket: visit.requests.append(socket.url))
        page.on("pageerror", lambda error: visit.errors.append(str(error)))
        page.on("console", lambda message: visit.errors.append(message.text))
        page.goto(url)
        yield visit
        browser.close()


def wait_until_it_answers(url: str, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    pytest.fail(f"{url} does not answer")


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def require_same_files(visit: Visit, tab: Any, *buttons: str) -> None:
    """Require that the lines of Python of a tab make the files that it saves."""
    exec(compile(visit.script(tab), "script", "exec"), {})
    for button in buttons:
        name, content = visit.save(tab, button)
        if name.endswith(".png"):
            np.testing.assert_array_equal(pixels(content), pixels(Path(name).read_bytes()))
        else:
            assert content == Path(name).read_bytes()


def use_samples(visit: Visit) -> None:
    tab = visit.tab("Samples")
    images = visit.shown(tab, 3)
    visit.press(tab.get_by_role("slider", name="Truncation"), "PageDown")
    images = visit.wait_for_change(tab, images)
    tab.get_by_role("button", name="Random seed").click()
    visit.wait_for_change(tab, images)
    tab.get_by_role("button", name="Chosen").click()
    visit.press(tab.get_by_role("slider", name="c", exact=True), "PageUp", 2)
    visit.page.get_by_text("1", exact=True).nth(1).wait_for()
    require_same_files(visit, tab, "Save PNG")
    assert "{'a': 0.5, 'c': 0.5}" in visit.script(tab)


def use_directions(visit: Visit) -> None:
    tab = visit.tab("Directions")
    images = visit.shown(tab, 3)
    sliders = {"Attributes": "low", "Dimensions": "Dimension 3", "Principal": "Direction 1"}
    for kind, name in sliders.items():
        tab.get_by_role("button", name=kind).click()
        visit.press(tab.get_by_role("slider", name=name), "PageUp", 3)
        images = visit.wait_for_change(tab, images)
    require_same_files(visit, tab, "Save PNG", "Save GIF")


def use_paths(visit: Visit, picture: Path) -> None:
    tab = visit.tab("Between pictures")
    images = visit.shown(tab, 6)
    tab.locator("input[type=file]").first.set_input_files(picture)
    images = visit.wait_for_change(tab, images)
    step = tab.locator(".lb-step").first.get_attribute("src")
    visit.press(tab.get_by_role("slider", name="Place on the path"), "PageDown")
    visit.page.wait_for_function(
        """step => [...document.querySelectorAll(".lb-step")]
            .some(image => image.offsetParent && image.src != step)""",
        arg=step,
    )
    assert visit.shown(tab, 6) == images
    require_same_files(visit, tab, "Save PNG", "Save GIF")


def use_reconstruction(visit: Visit, picture: Path, bad: Path) -> None:
    tab = visit.tab("Reconstruction")
    images = visit.shown(tab, 4)
    tab.locator("input[type=file]").first.set_input_files(picture)
    visit.wait_for_change(tab, images)
    assert tab.locator("figure", has_text="SSIM").count() == 3
    require_same_files(visit, tab, "Save PNG")
    tab.locator("input[type=file]").first.set_input_files(bad)
    tab.locator(".lb-error", has_text=bad.name).wait_for()


def use_map(visit: Visit) -> None:
    tab = visit.tab("Map of codes")
    tab.locator(".lb-chart canvas").wait_for()
    place = visit.page.evaluate(
        """() => {
            const element = document.querySelector(".lb-chart");
            const chart = getElement(element.id.slice(1)).chart;
            const point = chart.getOption().series[0].data[0].slice(0, 2);
            const [left, top] = chart.convertToPixel({seriesIndex: 0}, point);
            const box = element.getBoundingClientRect();
            return [box.left + left, box.top + top];
        }"""
    )
    visit.page.mouse.click(*place)
    visit.shown(tab, 2)
    require_same_files(visit, tab, "Save PNG")


def test_every_view(visit: Visit, tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    Image.fromarray(levels).save("photo.png")
    Path("bad.png").write_bytes(b"no picture")
    use_samples(visit)
    use_directions(visit)
    use_paths(visit, Path("photo.png"))
    use_reconstruction(visit, Path("photo.png"), Path("bad.png"))
    use_map(visit)
    visit.page.set_viewport_size({"width": 400, "height": 800})
    for name in ("Samples", "Directions", "Between pictures", "Reconstruction", "Map of codes"):
        visit.tab(name)
        fits = visit.page.evaluate("() => document.scrollingElement.scrollWidth <= innerWidth")
        assert fits, name
    hosts = {request.split("/")[2] for request in visit.requests if "://" in request}
    assert hosts == {visit.url.removeprefix("http://")}
    assert visit.errors == []


def test_a_slider_is_answered_at_once(visit: Visit, capsys: pytest.CaptureFixture[str]) -> None:
    """Report the time from a key to the new image of every model; it depends on the load."""
    page = visit.page
    tab = visit.tab("Directions")
    visit.shown(tab, 3)
    slider = tab.get_by_role("slider", name="Direction 1", exact=True)
    slider.locator("[tabindex]").first.focus()
    page.evaluate(
        """() => {
            const images = [...document.querySelectorAll(".lb-card .lb-image")]
                .filter(image => image.offsetParent);
            window.times = []; let start = 0, missing = new Set();
            new MutationObserver(changes => {
                for (const change of changes) missing.delete(change.target);
                if (start && !missing.size) { times.push(performance.now() - start); start = 0; }
            }).observe(document.body, {subtree: true, attributeFilter: ["src"]});
            addEventListener("keydown", () => {
                start = performance.now(); missing = new Set(images);
            }, true);
        }"""
    )
    for number in range(1, 21):
        page.keyboard.press("PageUp" if number % 2 else "PageDown")
        page.wait_for_function("number => times.length == number", arg=number)
    times = page.evaluate("() => times")
    with capsys.disabled():
        print(f"\nA slider is answered in {np.median(times):.0f} ms, at most {max(times):.0f} ms.")  # noqa: T201


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_other_sites_are_refused(url: str, headers: dict[str, str]) -> None:
    request = urllib.request.Request(url, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    caught.value.close()
    assert caught.value.code == 403
