"""The report of a study: notebooks, a page and a PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latentbench.artifacts.files import write_bytes, write_text, write_together
from latentbench.artifacts.paths import PAGE, PDF, REPORT_RECORD, notebook_name
from latentbench.artifacts.progress import log
from latentbench.artifacts.provenance import write_record
from latentbench.config.params import NOTEBOOKS
from latentbench.errors import ArtifactError
from latentbench.report.comparison import headline
from latentbench.report.rendering import document
from latentbench.report.rendering.citations import with_citations
from latentbench.report.rendering.execute import execute
from latentbench.results.study import Study, open_study


def build_report(results: Path, sources: Path, output: Path) -> None:
    """Write the study's notebooks, index.html and report.pdf into `output`.

    `sources` is the project's report folder. The same results give the same bytes. If something
    fails, an earlier report stays.

    Raises:
        ArtifactError: There is nothing to report on, or a notebook fails.
    """
    study = open_study(results)
    study.load()  # errors come before a kernel starts
    names = list(map(notebook_name, study.config.all_notebooks))
    for part in (*names, *document.PARTS):
        if not (sources / part).is_file():
            raise ArtifactError(
                f"{sources / part} is missing; give the project's report folder as --sources."
            )
    log(f"Rendering the report of {study.config.name}: {len(study.members)} experiments")
    output.mkdir(parents=True, exist_ok=True)
    notebooks = _execute(study, names, sources, output)
    whole, head = document.join_chapters(list(notebooks.values())), headline.head(study)
    page, pdf = document.to_page(whole, head, sources), document.to_pdf(whole, head, sources)
    with write_together(output, last=PAGE) as staged:
        for name, notebook in notebooks.items():
            still, _ = document.split_interactive(notebook)
            write_text(staged / name, document.as_json(with_citations(still, sources)) + "\n")
        write_bytes(staged / PDF, pdf)
        write_text(staged / PAGE, page)
    for chapter in set(NOTEBOOKS) - set(study.config.notebooks):
        (output / notebook_name(chapter)).unlink(missing_ok=True)  # of an earlier report
    write_record(
        output / REPORT_RECORD,
        "report",
        settings=study.config.model_dump(mode="json"),
        inputs=study.files,
        outputs=[output / name for name in (*notebooks, PDF, PAGE)],
        cost=None,
    )
    log(f"{output / PAGE} is written.")


def _execute(study: Study, names: list[str], sources: Path, output: Path) -> dict[str, Any]:
    """Return the executed notebooks by file name; all after the first are numbered chapters."""
    executed = {}
    for number, name in enumerate(names):
        log(f"{study.config.name}: {name}.")
        chapter = str(number) if number else ""
        executed[name] = execute(sources / name, study.folder, output, chapter=chapter)
    return executed
