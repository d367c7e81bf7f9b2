"""Notebooks joined into one document: an offline page and a PDF, both made by pandoc."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from latentbench.artifacts.paths import PAGE, PDF
from latentbench.artifacts.progress import log
from latentbench.errors import ArtifactError, quote, reason
from latentbench.notebook import notebook_text
from latentbench.report.presentation.page import ANIMATION, BYLINE, INTERACTIVE
from latentbench.report.presentation.style import (
    image_bytes,
    with_fixed_colors,
    with_smaller_images,
)
from latentbench.report.rendering.pandoc import BIBLIOGRAPHY, convert

# What the documents are made from, apart from the notebooks.
PARTS = ("page.html", "page.lua", "page.typ", "style.css", "interactive.js", BIBLIOGRAPHY)

# The tag of code cells whose code is shown, not folded away.
SHOWN = "shown"

_SVG = "image/svg+xml"
_MAX_EXACT_BYTES = 7_000_000  # of images on the page, in base64; with more they are not lossless
_COMPRESSED = (
    "The images of this page are compressed (AVIF): levels differ by 1 to 3 of 255 on average. The "
    "PDF and the notebooks have the exact pixels."
)
_OPTIONS = (
    "--standalone",
    "--from=ipynb+citations+smart-raw_html",
    "--section-divs",
    "--syntax-highlighting=none",
    "--columns=10000",
)


def join_chapters(chapters: Sequence[Any]) -> Any:
    """Return one notebook of all cells, without the authors that each chapter shows."""
    whole, *others = chapters = copy.deepcopy(chapters)
    for number, chapter in enumerate(chapters, start=1):
        for cell in chapter.cells:
            cell.id = f"chapter-{number}-{cell.id}"
            if "outputs" in cell:
                outputs = cell.outputs
                cell.outputs = [each for each in outputs if BYLINE not in each.get("metadata", {})]
    for chapter in others:
        whole.cells += chapter.cells
    return whole


def to_page(notebook: Any, head: Mapping[str, Any], sources: Path) -> str:
    """Return HTML with everything inside; `head` is metadata with Markdown in its values.

    The page runs one script, named by its hash, and requests nothing: its content security policy
    allows no other script and no address.
    """
    options = ["--to=html5", "--embed-resources", "--mathml", "--toc", "--toc-depth=2"]
    options += [f"--css={sources / 'style.css'}", f"--template={sources / 'page.html'}"]
    still, figures = split_interactive(notebook)
    shown, is_exact = _for_screen(still)
    if not is_exact:
        head = {**head, "images": _COMPRESSED}
    page = _convert_notebook(shown, options, head, sources)
    script = (sources / "interactive.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = []
    for number, figure in enumerate(figures):
        data = json.dumps(figure, ensure_ascii=False).replace("<", "\\u003c")
        parts.append(f'<script type="application/json" id="interactive-{number}">{data}</script>\n')
    scripts = f"{''.join(parts)}<script>{script}</script>"
    return page.replace("SCRIPT-HASH", f"sha256-{digest}", 1).replace(
        "<!-- scripts -->", scripts, 1
    )


def split_interactive(notebook: Any) -> tuple[Any, list[Any]]:
    """Return a copy with stills alone, and what the page shows in their place.

    A still has its number as metadata, from which pandoc makes the attribute `data-interactive`.
    """
    stills: Any = copy.deepcopy(notebook)
    figures: list[Any] = []
    for cell in stills.cells:
        for output in cell.get("outputs", []):
            figure = output.get("data", {}).pop(INTERACTIVE, None)
            if figure is not None:
                output.metadata.setdefault(_SVG, {})["interactive"] = len(figures)
                figures.append(figure)
    return stills, figures


def to_pdf(notebook: Any, head: Mapping[str, Any], sources: Path) -> bytes:
    """Return a PDF with a cover and a table of contents, without animations."""
    import typst

    with tempfile.TemporaryDirectory(prefix="latentbench-") as folder:
        media = Path(folder) / "media"
        options = ["--to=typst", f"--extract-media={media}", f"--template={sources / 'page.typ'}"]
        paper = _for_paper(split_interactive(notebook)[0])
        text = _convert_notebook(paper, options, head, sources)
        document = Path(folder) / "report.typ"
        document.write_text(text.replace(str(media), "media"), encoding="utf-8")
        figures = [figure.read_text(encoding="utf-8") for figure in media.glob("*.svg")]
        fonts = _find_fonts("".join([text, *figures]), Path(folder) / "fonts")
        try:
            return typst.compile(document, font_paths=fonts)
        except typst.TypstError as error:
            raise ArtifactError(
                f"typst could not set the report ({reason(error)}); check {sources / 'page.typ'}."
            ) from None


def _find_fonts(text: str, folder: Path) -> Any:
    """Return typst's fonts and matplotlib's, and those of the system if these lack a character.

    Figures are measured with matplotlib's, which are copied into `folder`, except the one that has
    a box for every character. Characters that no font has are logged.
    """
    import typst
    from matplotlib import get_data_path

    ttf = Path(get_data_path(), "fonts", "ttf")
    shutil.copytree(ttf, folder, ignore=shutil.ignore_patterns("LastResort*"))
    missing = sorted(character for character in set(text) if not character.isascii())
    for with_system in (False, True):
        fonts = typst.Fonts(include_system_fonts=with_system, font_paths=[folder])
        missing = [character for character in missing if not _has_glyph(fonts, character)]
        if not missing:
            return fonts
    log(f"{PDF}: no font has {quote(' '.join(missing))}; install one, such as Noto.")
    return fonts


def _has_glyph(fonts: Any, character: str) -> bool:
    """Return whether a font has a character: PDF/A refuses text without a glyph."""
    import typst

    try:
        typst.compile(f'#"{character}"'.encode(), font_paths=fonts, pdf_standards=["a-2u"])
    except typst.TypstError:
        return False
    return True


def _convert_notebook(
    notebook: Any, options: Sequence[str], head: Mapping[str, Any], sources: Path
) -> str:
    metadata = {
        "link-citations": True,
        "reference-section-title": "References",
        "version": version("latentbench"),
    }
    # Pandoc would read Markdown in metadata with HTML in it; page.lua reads it without.
    headed = notebook | {"metadata": {"head": dict(head)}}
    options = [*_OPTIONS, f"--lua-filter={sources / 'page.lua'}", *options]
    return convert(notebook_text(headed), options, metadata, sources)


def _for_screen(notebook: Any) -> tuple[Any, bool]:
    """Return a copy of a notebook, and whether it has the exact pixels.

    Its images are compressed if together they would make the page too large.
    """
    shown = copy.deepcopy(notebook)
    figures = []
    for cell in shown.cells:
        outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
        figures += [data for data in outputs if _SVG in data]
    if sum(image_bytes(data[_SVG]) for data in figures) <= _MAX_EXACT_BYTES:
        return shown, True
    log(f"{PAGE}: images are AVIF, because lossless ones would take too much.")
    for data in figures:
        data[_SVG] = with_smaller_images(data[_SVG])
    return shown, False


def _for_paper(notebook: Any) -> Any:
    """Return a copy with fixed colors, without animations and the captions that follow them."""
    printed = copy.deepcopy(notebook)
    for cell in printed.cells:
        kept, follows_animation = [], False
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if _SVG in data:
                data[_SVG] = with_fixed_colors(data[_SVG])
            if ANIMATION not in data and not follows_animation:
                kept.append(output)
            follows_animation = ANIMATION in data
        if "outputs" in cell:
            cell.outputs = kept
    return printed
