"""The tab of random samples."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from latentbench.app.page.controls import LabelControls, group, integer, seed_input, slider
from latentbench.app.page.panel import Panel
from latentbench.app.views.samples import COLUMNS, Samples
from latentbench.data.image_grid import Images

_OWN, _STANDARD = "Each model's own", "N(0, I)"


class SamplesPanel(Panel):
    """Samples by seed, number, truncation, prior and labels."""

    title = "Samples"
    file_stem = "samples"
    card_width = "lb-card lb-card-wide"

    def build_controls(self) -> None:
        """Build the controls."""
        changed = self.latest.request
        with group("Latents"):
            self._seed = seed_input(0, changed)
            ui.label("Number").classes("lb-slider-title")
            self._number = ui.toggle([8, 16, 32, 64], value=16, on_change=changed)
            self._number.props("dense no-caps unelevated size=sm spread").classes("w-full")
            self._truncation = slider("Truncation", (0.0, 1.5, 0.05), 1.0, changed)
            self._prior = None
            explorer = self.workspace.explorer
            if any(len(model.priors) > 1 for model in explorer.models.values()):
                ui.label("Prior").classes("lb-slider-title")
                self._prior = ui.toggle([_OWN, _STANDARD], value=_OWN, on_change=changed)
                self._prior.props("dense no-caps unelevated size=sm spread").classes("w-full")
        self._labels = LabelControls(
            "Labels of conditional models", self.workspace, changed, optional=True
        )

    def read(self) -> Samples:
        """Return the view of the controls."""
        standard = self._prior is not None and self._prior.value == _STANDARD
        return Samples(
            number=self._number.value,
            seed=integer(self._seed, 0, 2**31),
            truncation=float(self._truncation.value),
            prior="standard" if standard else None,
            labels=self._labels.labels or None,
        )

    def picture(self) -> Any:
        """Return the rows of each model."""
        return self.view.picture(self.workspace.explorer, self.shown)

    def columns(self, images: Images) -> int:
        """Return how many images a row has."""
        return min(COLUMNS, len(images))
