"""The frame of the page: its head with the choice of models, and a tab per view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nicegui import ui

from latentbench.app.explorer import Explorer
from latentbench.app.page.code_map import CodeMapPanel
from latentbench.app.page.directions import DirectionsPanel
from latentbench.app.page.panel import Panel
from latentbench.app.page.paths import PathsPanel
from latentbench.app.page.reconstruction import ReconstructionPanel
from latentbench.app.page.samples import SamplesPanel
from latentbench.app.page.workspace import Workspace

PANELS: tuple[type[Panel], ...] = (
    SamplesPanel,
    DirectionsPanel,
    PathsPanel,
    ReconstructionPanel,
    CodeMapPanel,
)
_STYLE = Path(__file__).with_name("style.css")


def build_page(study: str, explorers: dict[str, Explorer]) -> None:
    """Build the page of a visitor."""
    ui.add_css(_STYLE.read_text(encoding="utf-8"))
    ui.colors(primary="#0060a8")
    ui.page_title(f"{study} · latentbench")
    workspace = Workspace(study, explorers, next(iter(explorers)))
    content = ui.element("main").classes("lb-main")

    def build() -> None:
        content.clear()
        with content:
            _build_content(workspace, build)

    build()


def _build_content(workspace: Workspace, rebuild: Any) -> None:
    panels: dict[str, Panel] = {}

    def models_changed() -> None:
        for panel in panels.values():
            panel.build_cards() if panel.title != workspace.tab else panel.models_changed()

    with ui.element("header").classes("lb-head"):
        with ui.element("div").classes("lb-brand"):
            ui.label(workspace.study).classes("lb-study")
            ui.label("latentbench").classes("lb-muted")
        _build_choice(workspace, models_changed, rebuild)
    for note in workspace.explorer.notes:
        ui.label(note).classes("lb-note")
    workspace.tab = PANELS[0].title
    with ui.tabs(value=workspace.tab).props("dense no-caps align=left inline-label") as tabs:
        tabs.classes("lb-tabs")
        for kind in PANELS:
            ui.tab(kind.title)

    def tab_changed() -> None:
        workspace.tab = str(tabs.value)
        panels[workspace.tab].latest.request()

    with ui.tab_panels(tabs, value=workspace.tab, animated=False).classes("lb-panels"):
        for kind in PANELS:
            with ui.tab_panel(kind.title).classes("p-0"):
                panels[kind.title] = kind(workspace)
    tabs.on_value_change(tab_changed)
    panels[workspace.tab].latest.request()


def _build_choice(workspace: Workspace, models_changed: Any, rebuild: Any) -> None:
    """Build the choice of the dataset and of the models."""
    with ui.element("div").classes("lb-choice"):
        if len(workspace.explorers) > 1:

            def choose(event: Any) -> None:
                workspace.choose(event.value)
                rebuild()

            chosen = ui.select(list(workspace.explorers), value=workspace.dataset, label="Dataset")
            chosen.props("dense outlined options-dense").on_value_change(choose)
        names = list(workspace.explorer.models)
        if len(names) > 1:

            def toggle(event: Any) -> None:
                kept = [name for name in names if name in event.value]
                workspace.names = kept or names[:1]
                models_changed()

            models = ui.select(names, value=workspace.names, multiple=True, label="Models")
            models.props("dense outlined options-dense use-chips").on_value_change(toggle)
            models.classes("lb-models")
