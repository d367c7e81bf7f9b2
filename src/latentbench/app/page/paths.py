"""The tab of paths between two pictures."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from latentbench.app.explorer import Picture
from latentbench.app.page.controls import LabelControls, PicturePicker, group, slider
from latentbench.app.page.inverting import InvertingPanel
from latentbench.app.page.workspace import NO_IMAGE, data_url, image, set_image
from latentbench.app.views.paths import (
    FRAME_MILLISECONDS,
    METHODS,
    NUM_POINTS,
    STRIDE,
    Paths,
)
from latentbench.data.image_grid import Images

_TITLES = {"linear": "straight", "spherical": "spherical"}


class PathsPanel(InvertingPanel):
    """Straight and spherical paths: a step of them by a slider, and the whole as a strip."""

    title = "Between pictures"
    file_stem = "paths"
    card_width = "lb-card lb-card-row"

    def build_controls(self) -> None:
        """Build the controls."""
        self._urls: dict[str, list[list[str]]] = {}
        self._start = PicturePicker("From", self.workspace, 0, self.latest.request)
        self._end = PicturePicker("To", self.workspace, 1, self.latest.request)
        with group("Step"):
            self._place = slider("Place on the path", (0, 1, 1 / (NUM_POINTS - 1)), 0.5, self._move)
        self._labels = LabelControls(
            "Labels of uploads, for conditional models", self.workspace, self.latest.request
        )

    def build_card(self, name: str) -> dict[str, Any]:
        """Return the current step and the strip of each method."""
        found: dict[str, Any] = {}
        for method in METHODS:
            with ui.element("div").classes("lb-path"):
                step = image(f"Step of the {_TITLES[method]} path of {name}", "lb-step")
                with ui.element("div").classes("lb-strip-box"):
                    ui.label(_TITLES[method]).classes("lb-muted")
                    strip = image(f"The {_TITLES[method]} path of {name}", "lb-image lb-strip")
            found[method] = (step, strip)
        return found

    def read(self) -> Paths | None:
        """Return the view of the controls."""
        if self._start.picture is None or self._end.picture is None:
            return None
        return Paths(self._start.picture, self._end.picture, self._labels.labels)

    def pictures(self, view: Paths) -> list[Picture]:
        """Return both ends."""
        return [view.start, view.end]

    def set_images(self, name: str, images: Images) -> None:
        """Show the strips, and keep each step for the slider."""
        self._urls[name] = []
        for path in images:
            self._urls[name].append([data_url(point[None], columns=1) for point in path])
        for (_, strip), path in zip(self.images[name].values(), images, strict=True):
            chosen = path[::STRIDE]
            set_image(strip, data_url(chosen, columns=len(chosen)))
        self._show_step(name)

    def set_waiting(self, name: str) -> None:
        """Empty the card of a model."""
        self._urls.pop(name, None)
        for elements in self.images[name].values():
            for element in elements:
                set_image(element, NO_IMAGE)

    def picture(self) -> Any:
        """Return the strips."""
        return self.view.picture(self.workspace.explorer, self.shown)

    def frames(self) -> tuple[list[Any], int]:
        """Return the steps, forth and back."""
        return self.view.frames(self.workspace.explorer, self.shown), FRAME_MILLISECONDS

    def _move(self) -> None:
        for name in self._urls:
            if name in self.images:
                self._show_step(name)

    def _show_step(self, name: str) -> None:
        place = round(float(self._place.value) * (NUM_POINTS - 1))
        for (step, _), urls in zip(self.images[name].values(), self._urls[name], strict=True):
            set_image(step, urls[place])
