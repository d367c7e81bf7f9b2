"""What is handed in of a study: one zip of its report, models, numbers and params, with a note on how to check it."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from latentbench.artifacts.files import atomic_write, yaml_text
from latentbench.artifacts.paths import (
    PAGE,
    PDF,
    PROVENANCE,
    SUBMITTED_FILES,
    checkpoint_path,
    notebook_name,
)
from latentbench.artifacts.progress import log
from latentbench.config.params import Params, StudyConfig
from latentbench.errors import ArtifactError
from latentbench.report.presentation.formatting import join_words
from latentbench.results.files import read_optional

READ_ME, SUMS, PARAMS, LOCK = "READ_ME.txt", "SHA256SUMS", "params.yaml", "requirements.lock"


def build_submission(
    params: Params, study: str, *, results: Path, report: Path, lock: Path, output: Path
) -> None:
    """Write output/NAME.zip, named as the study says. Same files, same bytes.

    `results` is results/STUDY, `report` report/STUDY. Raises ArtifactError where a part of it is missing.
    """
    config = params.study(study)
    files = {PDF: report / PDF, PAGE: report / PAGE, LOCK: lock}
    files |= {
        f"notebooks/{notebook_name(chapter)}": report / notebook_name(chapter)
        for chapter in config.notebooks
    }
    for name in config.experiments:
        last = params.experiment(name).training.checkpoint_epochs[-1]
        model = checkpoint_path(results / name, last)
        files |= {f"models/{name}/{model.name}": model}
        files |= {f"models/{name}/{number}": results / name / number for number in SUBMITTED_FILES}
    missing = [path for path in files.values() if not path.is_file()]
    if missing:
        raise ArtifactError(f"{missing[0]} is missing; run the study {study} to its report first.")
    written = {
        PARAMS: yaml_text(params.excerpt("study", study)),
        READ_ME: _read_me(params, config, results),
    }
    place = output / config.archive_file_name(study)
    with atomic_write(place) as partial:
        _write(partial, files, written)
    log(f"{place} is written.")


def _write(place: Path, files: Mapping[str, Path], written: Mapping[str, str]) -> None:
    """Under one folder, with a SHA-256 of every file; times are left out, being no part of the work."""
    contents = {name: text.encode() for name, text in written.items()}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    sums |= {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    contents[SUMS] = "".join(
        f"{digest}  {name}\n" for name, digest in sorted(sums.items())
    ).encode()
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted({*files, *contents}):
            content = contents[name] if name in contents else files[name].read_bytes()
            archive.writestr(_entry(name), content)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _read_me(params: Params, study: StudyConfig, results: Path) -> str:
    commits = {
        str(found["commit"])
        + " and changes that were not committed" * bool(found.get("uncommitted_changes"))
        for name in study.experiments
        if (found := read_optional(results / name / PROVENANCE)) and found.get("commit")
    }
    version = (
        f"at commit {join_words(sorted(commits))}" if commits else "in the version of the lock file"
    )
    places = [_place(name, params.datasets[name].model_dump()) for name in study.datasets]
    authors = [f"By {'; '.join(map(str, study.authors))}", ""] if study.authors else []
    small = [
        "It was made with the small budget, for a first look: its numbers compare nothing.",
        "",
    ]
    return "\n".join(
        [
            *(
                study.title,
                "=" * len(study.title),
                "",
                *fill(study.question, 100).splitlines(),
                "",
                *authors,
            ),
            *(small if study.budget == "small" else []),
            "What is in it",
            f"  {PDF:<28}the report, to read and print",
            f"  {PAGE:<28}the same with everything that moves; opens in any browser, offline",
            f"  {'notebooks/':<28}its chapters as executed notebooks",
            f"  {'models/NAME/*.safetensors':<28}the trained networks of each experiment, after the last epoch",
            f"  {'models/NAME/*':<28}its settings, the course of its training, its measurements, its origin",
            f"  {PARAMS:<28}everything that was run, every setting written out",
            f"  {LOCK:<28}the packages that it was run with, and their hashes",
            f"  {SUMS:<28}what to check the files against",
            "",
            "To check that no file was changed",
            f"  sha256sum --check {SUMS}",
            "",
            f"To run it again: with latentbench {version}, in its folder",
            "  make setup && . .venv/bin/activate",
            f"  snakemake --configfile {PARAMS} {study.name}",
            f"The report is then report/{study.name}/{PAGE}. On the same kind of machine, with the same number of",
            "threads, the networks are the same bits as those in models/.",
            "",
            "The pictures",
            *places,
            "",
        ]
    )


def _place(name: str, dataset: Mapping[str, Any]) -> str:
    given = dataset.get("path") or dataset.get("mirror")
    return f"  {name}: {dataset['source']}" + (f", from {given}" if given else "")
