"""Notebooks joined into one document: a page that holds all it shows, and a PDF. Pandoc makes both."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from latentbench.errors import ArtifactError
from latentbench.report.presentation.page import ANIMATION, BYLINE
from latentbench.report.presentation.style import without_page_inks
from latentbench.report.rendering.pandoc import BIBLIOGRAPHY, convert

# What the documents are made with, beside the notebooks.
PARTS = ("page.html", "page.lua", "page.typ", "style.css", BIBLIOGRAPHY)

_SVG = "image/svg+xml"
_OPTIONS = (
    *(
        "--standalone",
        "--from=ipynb+citations+smart-raw_html",
        "--section-divs",
        "--syntax-highlighting=none",
    ),
    "--columns=10000",
)


def joined(chapters: Sequence[Any]) -> Any:
    """One notebook of all cells; what each says about its authors stands at the head of the whole."""
    whole = copy.deepcopy(chapters[0])
    whole.cells = []
    for number, chapter in enumerate(chapters, start=1):
        for cell in copy.deepcopy(chapter.cells):
            cell.id = f"chapter-{number}-{cell.id}"
            if cell.cell_type == "code":
                cell.outputs = [
                    output for output in cell.outputs if not output.get("metadata", {}).get(BYLINE)
                ]
            whole.cells.append(cell)
    return whole


def to_page(notebook: Any, head: Mapping[str, Any], sources: Path) -> str:
    """HTML with everything inside it; `head` is the document's metadata, Markdown in its values."""
    options = (
        "--to=html5",
        "--embed-resources",
        "--mathml",
        "--toc",
        "--toc-depth=2",
        f"--css={sources / 'style.css'}",
    )
    return _converted(notebook, [*options, f"--template={sources / 'page.html'}"], head, sources)


def to_pdf(notebook: Any, head: Mapping[str, Any], sources: Path) -> bytes:
    """The same on paper, with a cover and a table of contents, and without what moves."""
    import typst
    from matplotlib import get_data_path

    printed = _printed(notebook)
    with tempfile.TemporaryDirectory(prefix="latentbench-") as folder:
        media = Path(folder) / "media"
        options = ["--to=typst", f"--extract-media={media}", f"--template={sources / 'page.typ'}"]
        text = _converted(printed, options, head, sources).replace(str(media), "media")
        document = Path(folder) / "report.typ"
        document.write_text(text, encoding="utf-8")
        try:
            fonts = Path(
                get_data_path(), "fonts", "ttf"
            )  # those that the figures are measured with
            return typst.compile(document, font_paths=[fonts], ignore_system_fonts=True)
        except typst.TypstError as error:
            raise ArtifactError(
                f"typst could not set the report ({error}); check {sources / 'page.typ'}."
            ) from None


def _converted(
    notebook: Any, options: Sequence[str], head: Mapping[str, Any], sources: Path
) -> str:
    import nbformat

    text: str = nbformat.writes(nbformat.from_dict(notebook))  # type: ignore[no-untyped-call]
    metadata = {
        "link-citations": True,
        "reference-section-title": "References",
        "version": version("latentbench"),
    }
    return convert(
        text,
        [*_OPTIONS, f"--lua-filter={sources / 'page.lua'}", *options],
        {**metadata, **head},
        sources,
    )


def _printed(notebook: Any) -> Any:
    """Figures in the inks of paper; animations with their captions are left to the page."""
    printed = copy.deepcopy(notebook)
    for cell in printed.cells:
        outputs = cell.get("outputs", [])
        moving = {
            place for place, output in enumerate(outputs) if ANIMATION in output.get("data", {})
        }
        captions = {place + 1 for place in moving}
        kept = [output for place, output in enumerate(outputs) if place not in moving | captions]
        for output in kept:
            if _SVG in output.get("data", {}):
                output.data[_SVG] = without_page_inks(output.data[_SVG])
        if outputs:
            cell.outputs = kept
    return printed
