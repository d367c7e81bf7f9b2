"""Tabs with real pictures, which models without an encoder invert in a thread."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any

from nicegui import background_tasks, run, ui

from latentbench.app.explorer import Picture
from latentbench.app.page.panel import Panel
from latentbench.app.page.workspace import NO_IMAGE, set_image
from latentbench.app.progress import Cancelled, Inversions
from latentbench.errors import LatentbenchError


class InvertingPanel(Panel):
    """Shows models with an encoder at once, the others after their inversion.

    A change of the pictures cancels the inversion that runs, and starts another one.
    """

    def __init__(self, workspace: Any) -> None:
        self._running: Inversions | None = None
        # What the latents that are inverted depend on, and those that the user cancelled.
        self._needed: list[Any] = []
        self._cancelled: list[Any] = []
        super().__init__(workspace)

    @abstractmethod
    def pictures(self, view: Any) -> list[Picture]:
        """Return the pictures whose latents a view needs."""

    def build_above(self) -> None:
        """Build the bar of the progress."""
        with ui.row().classes("lb-progress items-center no-wrap w-full") as self._bar:
            self._text = ui.label().classes("lb-muted lb-nowrap")
            self._progress = ui.linear_progress(show_value=False).classes("grow")
            self._button = ui.button("Cancel", on_click=self._cancel_or_start)
            self._button.props("outline dense no-caps size=sm")
        self._bar.set_visibility(False)
        self._timer = ui.timer(0.15, self._show_progress, active=False)

    async def update(self) -> None:
        """Show the models whose latents are known, then invert for the others."""
        view, names, explorer = self.read(), list(self.names), self.workspace.explorer
        if view is None:
            return
        ready: list[str] = []
        missing: list[str] = []
        for name in names:
            known = all(explorer.is_known(name, each, view.labels) for each in self.pictures(view))
            (ready if known else missing).append(name)
        needed = [
            explorer.key(name, each, view.labels)
            for name in missing
            for each in self.pictures(view)
        ]
        if needed != self._needed:
            self._stop()
        images = await run.io_bound(view.render, explorer, ready) if ready else {}
        self.view = view
        for name in missing:
            self.set_waiting(name)
        await self.show(images or {})
        if not missing:
            self._bar.set_visibility(False)
        elif self._cancelled == needed:
            self._offer(missing)
        elif self._running is None:
            self._invert(view, missing, needed)

    def set_waiting(self, name: str) -> None:
        """Show that the images of a model are not there yet."""
        set_image(self.images[name], NO_IMAGE)

    def _invert(self, view: Any, names: list[str], needed: list[Any]) -> None:
        explorer = self.workspace.explorer
        pictures = self.pictures(view)
        steps = sum(explorer.models[name].config.latent.inversion_steps for name in names)
        running = Inversions(steps * len(pictures))
        running.current = names[0]
        self._running, self._needed, self._cancelled = running, needed, []

        def invert() -> bool:
            try:
                for name in names:
                    running.current = name
                    for picture in pictures:
                        explorer.find_latents(name, picture, view.labels, running)
            except Cancelled:
                return False
            return True

        async def wait() -> None:
            message = ""
            try:
                loop = asyncio.get_running_loop()
                finished = await loop.run_in_executor(explorer.inverter, invert)
            except LatentbenchError as error:
                finished, message = False, str(error)
            if self._running is not running:
                return  # cancelled, or followed by another one
            self._running = None
            self._timer.deactivate()
            if not finished:
                self._cancelled = needed
                self.fail(message)
                self._offer(names)
            else:
                self.latest.request()

        self._button.set_text("Cancel")
        self._bar.set_visibility(True)
        self._timer.activate()
        background_tasks.create(wait(), name="inversion")

    def _stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            self._running = None
        self._timer.deactivate()

    def _offer(self, names: list[str]) -> None:
        self._text.set_text(f"Not inverted: {', '.join(names)}")
        self._progress.set_value(0)
        self._button.set_text("Invert")
        self._bar.set_visibility(True)

    def _cancel_or_start(self) -> None:
        self._cancelled = [] if self._running is None else self._needed
        self._stop()
        self.latest.request()

    def _show_progress(self) -> None:
        running = self._running
        if running is not None:
            self._progress.set_value(running.fraction)
            self._text.set_text(f"Inverting with {running.current}: {running.fraction:.0%}")
