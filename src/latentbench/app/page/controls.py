"""Controls: sliders, labels, and a picture from the test set or an upload."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from nicegui import run, ui

from latentbench.app.explorer import Labels, Picture
from latentbench.app.page.workspace import Workspace, data_url, image, set_image
from latentbench.app.uploads import MAX_BYTES, read_upload
from latentbench.errors import LatentbenchError

_MAX_SEED = 9999


def group(title: str) -> Any:
    """Return a titled group of controls, to be entered with `with`."""
    element = ui.element("section").classes("lb-group")
    with element:
        ui.label(title).classes("lb-group-title")
    return element


def slider(
    title: str,
    limits: tuple[float, float, float],
    value: float,
    on_change: Callable[[], None],
) -> Any:
    """Return a slider of smallest, largest value and step, with its title and value."""
    smallest, largest, step = limits
    with ui.element("div").classes("lb-slider"):
        name = ui.label(title).classes("lb-slider-title").tooltip(title)
        name.props(f'data-title="{_attribute(title)}"')
        number = ui.label().classes("lb-slider-value")
        moved = ui.slider(min=smallest, max=largest, step=step, value=value)
        moved.props(f'dense aria-label="{_attribute(title)}"')
    number.bind_text_from(moved, "value", lambda found: f"{found:g}")
    moved.on_value_change(on_change)
    # A double click on the title sets the slider back.
    name.on("dblclick", lambda: moved.set_value(value))
    return moved


def seed_input(value: int, on_change: Callable[[], None]) -> Any:
    """Return a number input with a button for a random seed."""
    with ui.row().classes("items-center no-wrap gap-1 w-full"):
        number = ui.number("Seed", value=value, min=0, max=2**31, precision=0, format="%d")
        number.props("dense outlined").classes("grow")
        dice = ui.button(icon="casino", on_click=lambda: number.set_value(_random_seed()))
        dice.props('flat dense round aria-label="Random seed"').tooltip("Random seed")
    number.on_value_change(on_change)
    return number


def integer(element: Any, smallest: int, largest: int) -> int:
    """Return the value of a number input, which is empty or out of range while a user types."""
    value = element.value
    return smallest if value is None else int(min(max(value, smallest), largest))


class LabelControls:
    """Sliders for the classes and attributes that the models are conditioned on.

    Classes are weights that are scaled to a sum of 1; attributes are values in [0, 1].
    """

    def __init__(
        self,
        title: str,
        workspace: Workspace,
        on_change: Callable[[], None],
        *,
        optional: bool = False,
    ) -> None:
        explorer = workspace.explorer
        self._names = explorer.label_names(explorer.models)
        self._classes = set(explorer.data.class_names if explorer.data else [])
        self._sliders: dict[str, Any] = {}
        self._mode: Any = None
        if not self._names:
            return
        with group(title):
            if optional:
                self._mode = ui.toggle(["As in the data", "Chosen"], value="As in the data")
                self._mode.props("dense no-caps unelevated size=sm spread").classes("w-full")
                self._mode.on_value_change(on_change)
            sliders = ui.element("div").classes("lb-scroll w-full")
            if self._mode is not None:
                sliders.bind_visibility_from(self._mode, "value", value="Chosen")
            with sliders:
                for place, name in enumerate(self._names):
                    first = 1.0 if place == 0 else 0.0
                    shown = name.replace("_", " ")
                    self._sliders[name] = slider(shown, (0.0, 1.0, 0.05), first, on_change)

    def choose(self, labels: Labels) -> None:
        """Set the sliders to labels."""
        for name, each in self._sliders.items():
            each.set_value(float(labels.get(name, 0.0)))

    @property
    def labels(self) -> Labels | None:
        """The chosen labels; None for labels as in the data, or without conditional models."""
        if not self._sliders or (self._mode is not None and self._mode.value != "Chosen"):
            return None
        values = {name: float(each.value or 0) for name, each in self._sliders.items()}
        total = sum(value for name, value in values.items() if name in self._classes)
        found = {}
        for name, value in values.items():
            if value:
                found[name] = round(value / total, 4) if name in self._classes else value
        return found


class PicturePicker:
    """A real picture: a test image by its number, or one that the user uploads."""

    def __init__(
        self, title: str, workspace: Workspace, row: int, on_change: Callable[[], None]
    ) -> None:
        self._explorer = workspace.explorer
        self._on_change = on_change
        self.picture: Picture | None = None
        last = max(0, self._explorer.num_test - 1)
        with group(title), ui.row().classes("no-wrap gap-3 w-full items-start"):
            self._image = image("The chosen picture", "lb-thumbnail")
            with ui.column().classes("gap-1 grow"):
                self._name = ui.label().classes("lb-muted")
                with ui.row().classes("items-center no-wrap gap-1 w-full"):
                    self._row = ui.number("Test image", value=min(row, last), min=0, max=last)
                    self._row.props("dense outlined").classes("grow")
                    dice = ui.button(icon="casino", on_click=self._random)
                    dice.props('flat dense round aria-label="Random test image"')
                    dice.tooltip("Random test image")
                upload = ui.upload(
                    on_upload=self._upload,
                    on_rejected=self._reject,
                    max_file_size=MAX_BYTES,
                    auto_upload=True,
                )
                upload.props('accept="image/*"').classes("hidden")
                self._uploader = upload
                button = ui.button("Upload", icon="upload").props("outline dense no-caps size=sm")
                button.on("click", js_handler=f"() => getElement({upload.id}).pickFiles()")
        self._error = ui.label().classes("lb-error")
        self._error.set_visibility(False)
        self._row.on_value_change(self._row_changed)
        if self._explorer.num_test:
            self._show(self._explorer.test_picture(self._row.value), notify=False)
        else:
            self._row.disable()
            dice.disable()
            self._name.set_text("No test images; upload a picture.")

    def _row_changed(self) -> None:
        row = integer(self._row, 0, self._explorer.num_test - 1)
        self._show(self._explorer.test_picture(row))

    def _random(self) -> None:
        self._row.set_value(random.randrange(self._explorer.num_test))

    async def _upload(self, event: Any) -> None:
        self._uploader.reset()
        content = await event.file.read()
        try:
            picture = await run.io_bound(read_upload, event.file.name, content, self._explorer.spec)
        except LatentbenchError as error:
            self._fail(str(error))
            return
        if picture is not None:
            self._show(picture)

    def _reject(self) -> None:
        self._fail(f"This is no picture of at most {MAX_BYTES // 2**20} MB; choose another one.")

    def _fail(self, message: str) -> None:
        self._error.set_text(message)
        self._error.set_visibility(True)

    def _show(self, picture: Picture, *, notify: bool = True) -> None:
        self.picture = picture
        self._error.set_visibility(False)
        self._name.set_text(describe(picture))
        set_image(self._image, data_url(picture.image[None], columns=1))
        if notify:
            self._on_change()


def describe(picture: Picture) -> str:
    """Return the name of a picture and, if they are few, its labels."""
    labels = ", ".join(picture.labels or ())
    return f"{picture.name}: {labels}" if labels and len(labels) < 40 else picture.name


def _random_seed() -> int:
    return random.randint(0, _MAX_SEED)


def _attribute(text: str) -> str:
    """Return foreign text for a property that NiceGUI parses: without quotes and backslashes."""
    return "".join(char for char in text if char not in "\"'\\\n")
