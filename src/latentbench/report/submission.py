"""The archive that a student hands in: report, models, numbers and params in one zip."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill

from latentbench.artifacts import paths
from latentbench.artifacts.dependencies import OF_EXPERIMENTS
from latentbench.artifacts.files import atomic_write, yaml_text
from latentbench.artifacts.paths import PAGE, PDF, notebook_name
from latentbench.artifacts.progress import log
from latentbench.artifacts.provenance import require_recorded
from latentbench.config.params import Params, StudyConfig
from latentbench.errors import ArtifactError
from latentbench.results.files import read_record
from latentbench.results.formatting import join_words, one_line

READ_ME, SUMS, PARAMS, LOCK = "READ_ME.txt", "SHA256SUMS", "params.yaml", "requirements.lock"

_TEXT = f"""
Contents
  {PDF:<28}the report, for reading and printing
  {PAGE:<28}the same with animations; opens offline in any browser
  notebooks/                  its chapters as executed notebooks
  models/NAME/*.safetensors   the trained networks of each experiment, after the last epoch
  models/NAME/*               its settings, training history, metrics and provenance
  models/NAME/repeats/*       the same of its trainings with other seeds
  models/NAME/search/*        the settings that were tried for it, if they were searched
  {PARAMS:<28}all settings, defaults included
  {LOCK:<28}all packages with their hashes
  {SUMS:<28}a checksum of every file

To check that no file was changed
  sha256sum --check {SUMS}

To run it again: with latentbench {{version}}, in its folder
  make setup && . .venv/bin/activate
  snakemake --configfile {PARAMS} -- {{study}}
The report is then report/{{study}}/{PAGE}. On the same kind of machine, with the same number of
threads, the networks equal those in models/ bit for bit.

Images
{{images}}
"""


def build_submission(
    params: Params, study: str, *, results: Path, report: Path, lock: Path, output: Path
) -> None:
    """Write output/ARCHIVE_NAME.zip. The same files give the same bytes.

    `results` is results/STUDY, `report` is report/STUDY.

    Raises:
        ArtifactError: A file is missing, or has changed since its stage wrote it.
    """
    config = params.study(study)
    files = {PDF: report / PDF, PAGE: report / PAGE, LOCK: lock}
    for chapter in config.all_notebooks:
        files[f"notebooks/{notebook_name(chapter)}"] = report / notebook_name(chapter)
    for name in config.trainings:
        last = params.experiment(name).training.checkpoint_epochs[-1]
        model = paths.checkpoint_path(results / name, last)
        files[f"models/{name}/{model.name}"] = model
        for file in paths.SUBMITTED_FILES:
            files[f"models/{name}/{file}"] = results / name / file
    for name in config.searches:
        files[f"models/{name}/{paths.SELECTED}"] = results / name / paths.SELECTED
    for path in files.values():
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; run the study {study} to its report first.")
    stages = [paths.record_name(stage) for stage in OF_EXPERIMENTS]
    records = [results / name / stage for name in config.trainings for stage in stages]
    records += [results / name / paths.SELECT_RECORD for name in config.searches]
    require_recorded([report / paths.REPORT_RECORD, *records], among=files.values())
    settings = yaml_text(params.excerpt("study", study))
    texts = {PARAMS: settings, READ_ME: _read_me(params, config, results)}
    place = output / config.archive_file_name(study)
    with atomic_write(place) as partial:
        _write_zip(partial, files, texts)
    log(f"{place} is written.")


def _write_zip(place: Path, files: Mapping[str, Path], texts: Mapping[str, str]) -> None:
    """Write files and texts, and the SHA-256 of each; without times, which change every run."""
    contents = {name: path.read_bytes() for name, path in files.items()}
    contents |= {name: text.encode() for name, text in texts.items()}
    lines = [f"{hashlib.sha256(contents[name]).hexdigest()}  {name}\n" for name in sorted(contents)]
    contents[SUMS] = "".join(lines).encode()
    with zipfile.ZipFile(place, "w") as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, contents[name], zipfile.ZIP_DEFLATED)


def _read_me(params: Params, study: StudyConfig, results: Path) -> str:
    title, question = one_line(study.title), fill(one_line(study.question), 100)
    head = [title, "=" * len(title), "", *question.splitlines(), ""]
    if study.authors:
        head += [f"By {one_line('; '.join(map(str, study.authors)))}", ""]
    if study.budget == "small":
        head.append("Run with the small budget, as a first look: the numbers compare nothing.")
    images = []
    for name in study.datasets:
        dataset = params.datasets[name].model_dump()
        place = dataset.get("path") or dataset.get("mirror")
        images.append(
            f"  {name}: {dataset['source']}{f', from {one_line(place)}' if place else ''}"
        )
    text = _TEXT.format(
        version=_version(study, results), study=study.name, images="\n".join(images)
    )
    return "\n".join(head).rstrip() + "\n" + text


def _version(study: StudyConfig, results: Path) -> str:
    """Return the commits that made the models, as text."""
    commits = set()
    for name in study.trainings:
        record = read_record(results / name / paths.PROVENANCE)
        if record.get("commit"):
            edited = " with uncommitted changes" if record.get("uncommitted_changes") else ""
            commits.add(f"{record['commit']}{edited}")
    return f"at commit {join_words(sorted(commits))}" if commits else "as in the lock file"
