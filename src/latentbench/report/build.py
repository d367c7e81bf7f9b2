"""The report of a study: notebooks, a page and a PDF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from latentbench.artifacts.files import write_bytes, write_text, write_together
from latentbench.artifacts.paths import (
    PAGE,
    PDF,
    REPORT_RECORD,
    WALKTHROUGH_DATA,
    notebook_name,
    relative_path,
)
from latentbench.artifacts.progress import log
from latentbench.artifacts.provenance import require_recorded, write_record
from latentbench.config.params import WALKTHROUGH, Notebook
from latentbench.errors import ArtifactError
from latentbench.notebook import execute, notebook_text, read_notebook, with_parameters
from latentbench.report.comparison import headline
from latentbench.report.rendering import document
from latentbench.report.rendering.citations import with_citations
from latentbench.results.study import Study, open_study


def build_report(
    results: Path, sources: Path, output: Path, *, walkthrough: Path | None = None
) -> None:
    """Write the study's notebooks, index.html and report.pdf into `output`.

    The same results give the same bytes. If something fails, an earlier report stays.

    Args:
        results: results/STUDY.
        sources: The project's report folder.
        output: report/STUDY.
        walkthrough: walkthrough/STUDY, which has the chapter of this name.

    Raises:
        ArtifactError: There is nothing to report on, or a notebook fails.
    """
    study = open_study(results)
    study.load()  # errors come before a kernel starts
    chapters: dict[str, Path] = {}
    for chapter in study.config.all_notebooks:
        folder = _require_walkthrough(walkthrough) if chapter == WALKTHROUGH else sources
        chapters[notebook_name(chapter)] = folder / notebook_name(chapter)
    for part in (*chapters.values(), *(sources / part for part in document.PARTS)):
        if not part.is_file():
            raise ArtifactError(
                f"{part} is missing; give the project's report folder as --sources."
            )
    log(f"Rendering the report of {study.config.name}: {len(study.members)} experiments")
    output.mkdir(parents=True, exist_ok=True)
    notebooks = _execute(study, chapters, output)
    whole, head = document.join_chapters(list(notebooks.values())), headline.head(study)
    page, pdf = document.to_page(whole, head, sources), document.to_pdf(whole, head, sources)
    with write_together(output, last=PAGE) as staged:
        for name, notebook in notebooks.items():
            still, _ = document.split_interactive(notebook)
            write_text(staged / name, notebook_text(with_citations(still, sources)))
        write_bytes(staged / PDF, pdf)
        write_text(staged / PAGE, page)
    for chapter in set(get_args(Notebook)) - set(study.config.notebooks):
        (output / notebook_name(chapter)).unlink(missing_ok=True)  # of an earlier report
    write_record(
        output / REPORT_RECORD,
        "report",
        settings=study.config.model_dump(mode="json"),
        inputs=[*study.files, *(path for path in chapters.values() if path.parent == walkthrough)],
        outputs=[output / name for name in (*notebooks, PDF, PAGE)],
        cost=None,
    )
    log(f"{output / PAGE} is written.")


def _require_walkthrough(folder: Path | None) -> Path:
    """Return the folder of the executed walkthrough; raise ArtifactError if it is not there."""
    if folder is None or not (folder / notebook_name(WALKTHROUGH)).is_file():
        raise ArtifactError(
            f"{folder or WALKTHROUGH} has no {notebook_name(WALKTHROUGH)}; run `latentbench "
            "walkthrough` first, or remove the chapter walkthrough from the study."
        )
    require_recorded([folder / REPORT_RECORD])
    return folder


def _execute(study: Study, chapters: Mapping[str, Path], output: Path) -> dict[str, Any]:
    """Return the executed notebooks by file name; all after the first are numbered chapters."""
    executed = {}
    for number, (name, path) in enumerate(chapters.items()):
        log(f"{study.config.name}: {name}.")
        chapter = str(number) if number else ""
        if name == notebook_name(WALKTHROUGH):
            executed[name] = _as_chapter(path, study.folder, output, chapter)
            continue
        # A relative path gives the same notebook wherever the project is.
        parameters = {"results": relative_path(study.folder, output), "chapter": chapter}
        executed[name] = execute(path, output, parameters)
    return executed


def _as_chapter(path: Path, results: Path, output: Path, number: str) -> Any:
    """Return the executed walkthrough as a numbered chapter, with its code shown."""
    folders = {
        "results": relative_path(results, output),
        "data": relative_path(path.parent / WALKTHROUGH_DATA, output),
    }
    notebook = with_parameters(read_notebook(path), folders)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata["tags"] = [document.SHOWN]
    heading = next(cell for cell in notebook.cells if cell.source.startswith("# "))
    heading.source = f"# {number}. {heading.source.removeprefix('# ')}"
    return notebook
