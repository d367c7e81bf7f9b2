"""The tab of directions: sliders that move one latent of each model."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from latentbench.app.explorer import Picture
from latentbench.app.page.controls import (
    LabelControls,
    PicturePicker,
    group,
    integer,
    seed_input,
    slider,
)
from latentbench.app.page.inverting import InvertingPanel
from latentbench.app.page.workspace import Workspace
from latentbench.app.views.directions import FRAME_MILLISECONDS, LARGEST, Directions
from latentbench.data.image_grid import Images

_STARTS = {"seed": "Random", "mean": "Mean", "picture": "Picture"}
_PER_PAGE = 8  # dimensions with a slider at a time
_LIMITS = (-LARGEST, LARGEST, 0.1)


class DirectionsPanel(InvertingPanel):
    """A start, and sliders along principal directions, attributes and single dimensions."""

    title = "Directions"
    file_stem = "latent"

    def __init__(self, workspace: Workspace) -> None:
        self._amounts: dict[str, dict[Any, float]] = {}
        self._sliders: list[Any] = []
        self._last: tuple[str, Any] | None = None
        super().__init__(workspace)

    def build_controls(self) -> None:
        """Build the controls."""
        explorer = self.workspace.explorer
        changed = self.latest.request
        self._amounts = {"principal": {}, "attributes": {}, "dimensions": {}}
        with group("Start"):
            self._start = ui.toggle(_STARTS, value="seed", on_change=self._picture_chosen)
            self._start.props("dense no-caps unelevated size=sm spread").classes("w-full")
            with ui.element("div").classes("w-full") as random:
                self._seed = seed_input(0, changed)
            random.bind_visibility_from(self._start, "value", value="seed")
            with ui.element("div").classes("w-full") as real:
                self._picker = PicturePicker("Picture", self.workspace, 0, self._picture_chosen)
            real.bind_visibility_from(self._start, "value", value="picture")
        kinds = self._kinds()
        with ui.element("section").classes("lb-group"):
            with ui.row().classes("items-center no-wrap w-full"):
                self._kind = ui.toggle(kinds, value=next(iter(kinds)))
                self._kind.props("dense no-caps unelevated size=sm spread").classes("grow")
                reset = ui.button(icon="restart_alt", on_click=self._reset)
                reset.props('flat dense round aria-label="Set all sliders to 0"')
                reset.tooltip("Set all sliders to 0")
            for kind in kinds:
                with ui.element("div").classes("w-full lb-scroll") as box:
                    getattr(self, f"_build_{kind}")()
                box.bind_visibility_from(self._kind, "value", value=kind)
            ui.label("In standard deviations of each model's latents.").classes("lb-muted")
        self._labels = LabelControls("Labels of conditional models", self.workspace, changed)
        self._most = max(model.latent_dim for model in explorer.models.values())

    def read(self) -> Directions | None:
        """Return the view of the controls."""
        start = self._start.value
        if start == "picture" and self._picker.picture is None:
            return None
        moved = {}
        for kind, amounts in self._amounts.items():
            moved[kind] = {key: amount for key, amount in amounts.items() if amount}
        return Directions(
            seed=integer(self._seed, 0, 2**31),
            start="mean" if start == "mean" else "seed",
            picture=self._picker.picture if start == "picture" else None,
            labels=self._labels.labels,
            moving=self._last,
            **moved,
        )

    def pictures(self, view: Directions) -> list[Picture]:
        """Return the picture to start from, if there is one."""
        return [] if view.picture is None else [view.picture]

    def picture(self) -> Any:
        """Return the images side by side."""
        return self.view.picture_of(self.workspace.explorer, self.shown)

    def frames(self) -> tuple[list[Any], int]:
        """Return a sweep along the direction of the slider that was moved last."""
        found = self.view.frames(self.workspace.explorer, list(self.shown))
        return found, FRAME_MILLISECONDS

    def columns(self, images: Images) -> int:
        """Return that there is one image."""
        return len(images)

    def _kinds(self) -> dict[str, str]:
        explorer = self.workspace.explorer
        kinds = {}
        if any("principal_directions" in explorer.arrays(name) for name in explorer.models):
            kinds["principal"] = "Principal"
        if any(explorer.directions(name) for name in explorer.models):
            kinds["attributes"] = "Attributes"
        return kinds | {"dimensions": "Dimensions"}

    def _build_principal(self) -> None:
        explorer = self.workspace.explorer
        arrays = [explorer.arrays(name) for name in explorer.models]
        most = max(len(each.get("principal_directions", ())) for each in arrays)
        for index in range(most):
            self._direction("principal", index, f"Direction {index + 1}")

    def _build_attributes(self) -> None:
        explorer = self.workspace.explorer
        names: dict[str, None] = {}
        for name in explorer.models:
            names.update(dict.fromkeys(explorer.directions(name)))
        for attribute in names:
            self._direction("attributes", attribute, attribute.replace("_", " "))

    def _build_dimensions(self) -> None:
        models = self.workspace.explorer.models.values()
        most = max(model.latent_dim for model in models)
        box = ui.element("div").classes("w-full")

        def build(page: int) -> None:
            box.clear()
            first = (page - 1) * _PER_PAGE
            with box:
                for index in range(first, min(first + _PER_PAGE, most)):
                    self._direction("dimensions", index, f"Dimension {index + 1}")

        build(1)
        if most > _PER_PAGE:
            pages = ui.pagination(1, -(-most // _PER_PAGE), direction_links=True)
            pages.props("dense max-pages=5 size=sm")
            pages.on_value_change(lambda event: build(event.value))

    def _direction(self, kind: str, key: Any, title: str) -> None:
        def changed() -> None:
            self._amounts[kind][key] = round(float(moved.value), 4)
            self._last = (kind, key)
            self.latest.request()

        self._last = self._last or (kind, key)
        moved = slider(title, _LIMITS, self._amounts[kind].get(key, 0.0), changed)
        self._sliders.append((kind, key, moved))

    def _picture_chosen(self) -> None:
        """Decode the picture under its own labels, until the user moves these."""
        picture = self._picker.picture
        if self._start.value == "picture" and picture is not None and picture.labels is not None:
            self._labels.choose(picture.labels)
        self.latest.request()

    def _reset(self) -> None:
        for kind, key, moved in self._sliders:
            if not moved.is_deleted:
                moved.set_value(0.0)
            self._amounts[kind][key] = 0.0
        for amounts in self._amounts.values():
            amounts.clear()
        self.latest.request()
