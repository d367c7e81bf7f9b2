"""A tab: controls on the left; on the right a card per model, the saved files and the script."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from nicegui import run, ui

from latentbench.app.page.workspace import (
    Latest,
    Workspace,
    data_url,
    gif,
    image,
    png,
    set_image,
)
from latentbench.data.image_grid import Images
from latentbench.errors import LatentbenchError
from latentbench.report.presentation import style


class Panel(ABC):
    """Builds its widgets once, and shows the view of its controls whenever these change."""

    title: str
    file_stem: str
    card_width = "lb-card"

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.latest = Latest(self._guarded_update)
        self.view: Any = None
        self.shown: dict[str, Images] = {}
        with ui.element("div").classes("lb-panel"):
            with ui.element("div").classes("lb-controls"):
                self.build_controls()
            with ui.element("div").classes("lb-results"):
                self.error = ui.label().classes("lb-error")
                self.error.set_visibility(False)
                self.build_above()
                self.cards = ui.element("div").classes("lb-cards")
                self.images: dict[str, Any] = {}
                self.captions: dict[str, Any] = {}
                self.build_cards()
                self.build_below()
                self._build_save()

    @abstractmethod
    def build_controls(self) -> None:
        """Build the controls, which call `self.latest.request` when they change."""

    @abstractmethod
    def read(self) -> Any:
        """Return the view that the controls describe, or None if there is none yet."""

    @abstractmethod
    def picture(self) -> Any:
        """Return the picture to save, of the images that are shown."""

    def build_above(self) -> None:  # noqa: B027 (most have nothing there)
        """Build what is above the cards."""

    def build_below(self) -> None:  # noqa: B027
        """Build what is below the cards."""

    def frames(self) -> tuple[list[Any], int] | None:
        """Return the frames of the GIF and their duration, or None without one."""
        return None

    def script(self) -> str:
        """Return the lines of Python that make the picture."""
        return str(self.view.script(self.workspace.explorer, list(self.shown)))

    def columns(self, images: Images) -> int:
        """Return how many images a row of a card has."""
        return len(images)

    def caption(self, name: str) -> str:
        """Return the text below the name of a model."""
        model = self.workspace.explorer.models[name]
        return f"{model.config.model.name} · {model.latent_dim} dimensions · epoch {model.epoch}"

    @property
    def names(self) -> list[str]:
        """The models that are shown."""
        return self.workspace.names

    def build_cards(self) -> None:
        """Build a card for each chosen model."""
        self.cards.clear()
        self.images, self.captions = {}, {}
        with self.cards:
            self.build_original()
            for name in self.names:
                with ui.element("figure").classes(self.card_width):
                    with ui.element("figcaption").classes("lb-card-title"):
                        index = self.workspace.explorer.experiments[name].index
                        color = style.color_of(index)
                        ui.element("span").classes("lb-dot").style(f"background: {color}")
                        ui.label(name)
                    self.captions[name] = ui.label(self.caption(name)).classes("lb-muted")
                    self.images[name] = self.build_card(name)

    def build_original(self) -> None:  # noqa: B027
        """Build the card of a real picture before those of the models, where there is one."""

    def build_card(self, name: str) -> Any:
        """Return the element of a card that shows images."""
        return image(f"Images of {name}", "lb-image")

    def models_changed(self) -> None:
        """Show the models that were chosen."""
        self.build_cards()
        self.latest.request()

    async def update(self) -> None:
        """Compute the images of the view in a thread and show them."""
        view, names = self.read(), list(self.names)
        if view is None:
            return
        images = await run.io_bound(view.render, self.workspace.explorer, names)
        if images is not None:  # None while the server stops
            self.view = view
            await self.show(images)

    async def show(self, images: Mapping[str, Images]) -> None:
        """Show the images of each model, and the script."""
        self.shown = dict(images)
        for name, found in images.items():
            if name in self.images:
                self.set_images(name, found)
        if self._code.value:
            self._show_script()

    def set_images(self, name: str, images: Images) -> None:
        """Show the images of a model in its card."""
        set_image(self.images[name], data_url(images, columns=self.columns(images)))

    def fail(self, message: str) -> None:
        """Show a sentence on what went wrong; an empty one removes it."""
        self.error.set_text(message)
        self.error.set_visibility(bool(message))

    async def _guarded_update(self) -> None:
        try:
            await self.update()
            self.fail("")
        except LatentbenchError as error:
            self.fail(str(error))

    def _build_save(self) -> None:
        with ui.row().classes("items-center gap-2 lb-save"):
            button = ui.button("Save PNG", icon="image", on_click=self._save_png)
            button.props("outline dense no-caps")
            if type(self).frames is not Panel.frames:
                button = ui.button("Save GIF", icon="movie", on_click=self._save_gif)
                button.props("outline dense no-caps")
        self._code = ui.expansion("The same picture in Python", icon="code")
        self._code.classes("lb-code w-full").props("dense")
        self._code.on_value_change(self._show_script)
        with self._code, ui.element("div").classes("lb-code-box"):
            self._lines = ui.html("", sanitize=False)
            copy = ui.button(icon="content_copy").props("flat round dense size=sm")
            copy.props('aria-label="Copy"').classes("lb-copy")
            copy.on(
                "click",
                js_handler=f"() => navigator.clipboard.writeText("
                f"getHtmlElement({self._lines.id}).innerText)",
            )

    def _show_script(self) -> None:
        if self.view is not None and self._code.value:
            self._lines.set_content(_highlight(self.script()))

    def _save_png(self) -> None:
        if self.shown:
            ui.download.content(png(self.picture(), self.script()), f"{self.file_stem}.png")

    async def _save_gif(self) -> None:
        if not self.shown:
            return
        found = await run.io_bound(self.frames)
        if found:
            content = await run.io_bound(gif, *found)
            ui.download.content(content, f"{self.file_stem}.gif")


def _highlight(code: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return f"<pre>{highlight(code, PythonLexer(), HtmlFormatter(nowrap=True))}</pre>"
