"""The tab of reconstructions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicegui import run, ui

from latentbench.app.explorer import Picture
from latentbench.app.page.controls import LabelControls, PicturePicker, describe
from latentbench.app.page.inverting import InvertingPanel
from latentbench.app.page.workspace import data_url, image, set_image
from latentbench.app.views.reconstruction import Reconstruction
from latentbench.data.image_grid import Images


class ReconstructionPanel(InvertingPanel):
    """A picture, its reconstruction by each model, and their errors."""

    title = "Reconstruction"
    file_stem = "reconstruction"

    def build_controls(self) -> None:
        """Build the controls."""
        self._picker = PicturePicker("Picture", self.workspace, 0, self.latest.request)
        self._labels = LabelControls(
            "Labels of uploads, for conditional models", self.workspace, self.latest.request
        )

    def build_original(self) -> None:
        """Build the card of the picture."""
        with ui.element("figure").classes(self.card_width):
            ui.label("original").classes("lb-card-title")
            self._name = ui.label().classes("lb-muted")
            self._original = image("The picture", "lb-image")

    def read(self) -> Reconstruction | None:
        """Return the view of the controls."""
        if self._picker.picture is None:
            return None
        return Reconstruction(self._picker.picture, self._labels.labels)

    def pictures(self, view: Reconstruction) -> list[Picture]:
        """Return the picture."""
        return [view.picture]

    async def show(self, images: Mapping[str, Images]) -> None:
        """Show the reconstructions with their errors."""
        await super().show(images)
        set_image(self._original, data_url(self.view.picture.image[None], columns=1))
        self._name.set_text(describe(self.view.picture))
        scores = await run.io_bound(self.view.scores, images)
        if scores is None:  # the server stops
            return
        for name, row in scores.iterrows():
            if name in self.captions:
                self.captions[name].set_text(
                    f"MSE {row['mse']:.4f} · PSNR {row['psnr']:.1f} dB · SSIM {row['ssim']:.3f}"
                )

    def set_waiting(self, name: str) -> None:
        """Remove the image and the errors of a model."""
        super().set_waiting(name)
        self.captions[name].set_text("no encoder: by inversion")

    def picture(self) -> Any:
        """Return the picture and its reconstructions."""
        return self.view.picture_of(self.workspace.explorer, self.shown)
