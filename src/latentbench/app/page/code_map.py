"""The tab with the maps of codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from latentbench.app.explorer import Picture
from latentbench.app.page.controls import describe, group
from latentbench.app.page.panel import Panel
from latentbench.app.page.workspace import data_url, image, set_image
from latentbench.app.views.code_map import PROJECTIONS, mapped_models, series
from latentbench.app.views.reconstruction import Reconstruction
from latentbench.data.image_grid import Images
from latentbench.report.presentation import style


class CodeMapPanel(Panel):
    """A map of codes per model; a click shows the picture and its decodings."""

    title = "Map of codes"
    file_stem = "reconstruction"
    card_width = "lb-card lb-card-small"

    def build_controls(self) -> None:
        """Build the controls."""
        self._picture: Picture | None = None
        self._row = 0
        with group("Projection"):
            self._projection = ui.toggle(PROJECTIONS, value="pca", on_change=self._draw)
            self._projection.props("dense no-caps unelevated size=sm spread").classes("w-full")
            ui.label("A point is the code of a test image. Click one to decode it.").classes(
                "lb-muted"
            )

    def build_original(self) -> None:
        """Build the card of the picture of the point."""
        with ui.element("figure").classes(self.card_width):
            ui.label("original").classes("lb-card-title")
            self._name = ui.label("Click a point.").classes("lb-muted")
            self._original = image("The picture of the point", "lb-image")

    def build_below(self) -> None:
        """Build a map per model with an encoder."""
        self._maps = ui.element("div").classes("lb-cards lb-maps")
        self._charts: dict[str, Any] = {}
        self._draw()

    @property
    def names(self) -> list[str]:
        """The shown models whose codes were projected."""
        return mapped_models(self.workspace.explorer, self.workspace.names)

    def models_changed(self) -> None:
        """Show the models that were chosen."""
        self._draw()
        super().models_changed()

    def caption(self, name: str) -> str:  # noqa: ARG002
        """Return what the image of a card is."""
        return "decoded"

    def read(self) -> Reconstruction | None:
        """Return the view of the point that was clicked."""
        return None if self._picture is None else Reconstruction(self._picture)

    def picture(self) -> Any:
        """Return the picture and its decodings."""
        return self.view.picture_of(self.workspace.explorer, self.shown)

    def _draw(self) -> None:
        self._maps.clear()
        self._charts = {}
        with self._maps:
            if not self.names:
                ui.label("Only explored models with an encoder have a map of codes.")
            for name in self.names:
                with ui.element("figure").classes("lb-card lb-card-wide"):
                    with ui.element("figcaption").classes("lb-card-title"):
                        ui.label(name)
                    options = self._options(name)
                    chart = ui.echart(options, on_point_click=self._click).classes("lb-chart")
                    self._charts[name] = chart
        self._mark()

    def _options(self, name: str) -> dict[str, Any]:
        found = series(self.workspace.explorer, name, self._projection.value)
        layers: list[dict[str, Any]] = []
        for place, (title, points) in enumerate(found):
            color = style.CLASS_COLORS[place % len(style.CLASS_COLORS)]
            layers.append(
                {
                    "type": "scatter",
                    "name": title,
                    "data": points,
                    "symbolSize": 6,
                    "itemStyle": {"color": color, "opacity": 0.75},
                }
            )
        ring = {"color": "transparent", "borderColor": style.INK, "borderWidth": 2}
        layers.append(
            {
                "type": "scatter",
                "id": "chosen",
                "data": [],
                "symbolSize": 14,
                "silent": True,
                "z": 9,
                "itemStyle": ring,
            }
        )
        hidden = {
            "axisLabel": {"show": False},
            "axisTick": {"show": False},
            "axisLine": {"onZero": False, "lineStyle": {"color": style.RULE}},
            "splitLine": {"show": False},
            "scale": True,
        }
        many = len(found) > 1
        return {
            "animation": False,
            "grid": {"left": 8, "right": 8, "top": 8, "bottom": 44 if many else 8},
            "xAxis": hidden,
            "yAxis": hidden,
            "legend": {"show": many, "type": "scroll", "bottom": 0, "itemWidth": 10},
            "dataZoom": [{"type": "inside", "xAxisIndex": 0}, {"type": "inside", "yAxisIndex": 0}],
            "series": layers,
        }

    def _click(self, event: Any) -> None:
        if self.workspace.explorer.data is None or len(event.value) < 3:
            return
        self._row = int(event.value[2])
        self._picture = self.workspace.explorer.test_picture(self._row)
        self._mark()
        self.latest.request()

    async def show(self, images: Mapping[str, Images]) -> None:
        """Show the picture and its decodings."""
        await super().show(images)
        set_image(self._original, data_url(self.view.picture.image[None], columns=1))
        self._name.set_text(describe(self.view.picture))

    def _mark(self) -> None:
        """Mark the picture in every map."""
        if self._picture is None:
            return
        for name, chart in self._charts.items():
            for _, points in series(self.workspace.explorer, name, self._projection.value):
                for x, y, row in points:
                    if row == self._row:
                        chosen = {"id": "chosen", "data": [[x, y]]}
                        chart.run_chart_method("setOption", {"series": [chosen]})
