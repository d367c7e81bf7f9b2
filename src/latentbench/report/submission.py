"""The archive that a student hands in: report, models, numbers and params in one zip."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from latentbench.artifacts import paths
from latentbench.artifacts.dependencies import OF_EXPERIMENTS
from latentbench.artifacts.files import atomic_write, read_manifest, yaml_text
from latentbench.artifacts.paths import PAGE, PDF, notebook_name
from latentbench.artifacts.progress import log
from latentbench.artifacts.provenance import require_recorded
from latentbench.config.params import WALKTHROUGH, Params, StudyConfig
from latentbench.errors import ArtifactError
from latentbench.notebook import notebook_text, read_notebook, with_parameters
from latentbench.report.source_archive import build_sdist
from latentbench.results.files import read_record
from latentbench.results.formatting import join_words, one_line

READ_ME, SUMS, PARAMS, LOCK = "READ_ME.txt", "SHA256SUMS", "params.yaml", "requirements.lock"
SETUP = "setup.sh"
# The folders of the zip that `load_model`, `open_study` and `open_dataset` read.
MODELS, DATA = "models", paths.WALKTHROUGH_DATA
# In the project: the environment of who opens the walkthrough.
READER_LOCK = Path("requirements", "walkthrough.lock")
WALKTHROUGH_NOTEBOOK = notebook_name(WALKTHROUGH)

_TEXT = f"""
Contents
  {PDF:<28}the report, for reading and printing
  {PAGE:<28}the same with animations; opens offline in any browser
  notebooks/                  its chapters as executed notebooks
{{walkthrough}}  models/NAME/checkpoints/*   the networks of each experiment after the last epoch
  models/NAME/*               its settings, training history, metrics and provenance
  models/NAME/repeats/*       the same of its trainings with other seeds
  models/NAME/search/*        the settings that were tried for it, if they were searched
  {PARAMS:<28}all settings, defaults included
  {{sdist:<28}}the source of latentbench
  {LOCK:<28}the packages that use the models, with their hashes
  {SETUP:<28}makes an environment from these two
  {SUMS:<28}a checksum of every file

To check that no file was changed
  sha256sum --check {SUMS}

To use the models, with Python 3.11 or newer on Linux, macOS, or Windows with WSL 2
  sh {SETUP}
{{use}}
To run everything again, with latentbench {{version}}
  tar xf {{sdist}} && cd {{folder}}
  make setup && . .venv/bin/activate
  snakemake --configfile ../{PARAMS} -- {{study}}
The report is then report/{{study}}/{PAGE}. On the same kind of machine, with the same number of
threads, the networks equal those in models/ bit for bit.

Images
{{images}}
"""


_WALKTHROUGH_CONTENTS = f"""\
  {WALKTHROUGH_NOTEBOOK:<28}the whole process in code, to run on these models
  {DATA + "/NAME":<28}a sample of the images that it reads
"""

_WALKTHROUGH_USE = f"""\
  .venv/bin/jupyter lab {WALKTHROUGH_NOTEBOOK}
The first command makes an environment in .venv. In Jupyter, choose Run, Run All Cells. Without a
browser, this runs the notebook, too:
  .venv/bin/jupyter execute {WALKTHROUGH_NOTEBOOK} --output executed.ipynb
"""

_MODELS_USE = """\
  .venv/bin/jupyter lab
The first command makes an environment in .venv. In a new notebook:
  import latentbench as lb
  model = lb.load_model("models/NAME")
  lb.grid(model.sample(64))
"""

_SETUP = """\
#!/bin/sh
# Make an environment in .venv, from the lock file and the source. PYTHON=python3.12 names a Python.
set -e
cd "$(dirname "$0")"
PYTHON="${PYTHON:-python3}"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; name one: PYTHON=python3.11 sh setup.sh" >&2
    exit 1
}
echo "Installing the packages of requirements.lock into .venv, which takes some minutes."
"$PYTHON" -m venv .venv
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
pip install --require-hashes --requirement requirements.lock
pip install --no-index --no-deps --no-build-isolation latentbench-*.tar.gz
echo "Ready."
"""


@dataclass(frozen=True)
class Folders:
    """results/STUDY, report/STUDY, walkthrough/STUDY and the project."""

    results: Path
    report: Path
    walkthrough: Path
    project: Path


def build_submission(params: Params, study: str, folders: Folders, output: Path) -> None:
    """Write output/ARCHIVE_NAME.zip. The same files give the same bytes.

    Raises:
        ArtifactError: A file is missing, or has changed since its stage wrote it.
    """
    config = params.study(study)
    files = _files(params, config, folders)
    for path in files.values():
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; run the study {study} to its report first.")
    require_recorded(_records(config, folders), among=files.values())
    sdist, source = build_sdist(folders.project)
    read_me = _read_me(params, config, folders.results, sdist=sdist)
    settings = yaml_text(params.excerpt("study", study))
    contents = {name: path.read_bytes() for name, path in files.items()} | {sdist: source}
    for name, text in {PARAMS: settings, READ_ME: read_me, SETUP: _SETUP}.items():
        contents[name] = text.encode()
    if WALKTHROUGH in config.notebooks:
        contents[WALKTHROUGH_NOTEBOOK] = _walkthrough(folders.report).encode()
    place = output / config.archive_file_name(study)
    with atomic_write(place) as partial:
        _write_zip(partial, contents)
    log(f"{place} is written.")


def _files(params: Params, config: StudyConfig, folders: Folders) -> dict[str, Path]:
    """Return the files that the zip has as they are, by name in the zip."""
    results, report = folders.results, folders.report
    files = {PDF: report / PDF, PAGE: report / PAGE, LOCK: folders.project / READER_LOCK}
    files[f"{MODELS}/{paths.STUDY}"] = results / paths.STUDY
    for chapter in config.all_notebooks:
        if chapter == WALKTHROUGH:
            files |= _sample_files(folders.walkthrough)
        else:
            files[f"notebooks/{notebook_name(chapter)}"] = report / notebook_name(chapter)
    for name in config.trainings:
        last = params.experiment(name).training.checkpoint_epochs[-1]
        for file in (paths.checkpoint_path(Path(), last).as_posix(), *paths.SUBMITTED_FILES):
            files[f"{MODELS}/{name}/{file}"] = results / name / file
    for name in config.searches:
        files[f"{MODELS}/{name}/{paths.SELECTED}"] = results / name / paths.SELECTED
    return files


def _records(config: StudyConfig, folders: Folders) -> list[Path]:
    """Return the records of the stages that wrote these files."""
    stages = [paths.record_name(stage) for stage in OF_EXPERIMENTS]
    records = [folders.results / name / stage for name in config.trainings for stage in stages]
    records += [folders.results / name / paths.SELECT_RECORD for name in config.searches]
    return [
        *records,
        *(each / paths.REPORT_RECORD for each in (folders.report, folders.walkthrough)),
    ]


def _sample_files(walkthrough: Path) -> dict[str, Path]:
    """Return the files of the sample of images that the walkthrough reads, by name in the zip."""
    if not (walkthrough / paths.REPORT_RECORD).is_file():
        raise ArtifactError(
            f"{walkthrough / paths.REPORT_RECORD} is missing; run `latentbench walkthrough` first."
        )
    outputs = read_manifest(walkthrough / paths.REPORT_RECORD)["outputs"]
    return {name: walkthrough / name for name in outputs if name != WALKTHROUGH_NOTEBOOK}


def _walkthrough(report: Path) -> str:
    """Return the walkthrough's notebook, with the folders of the zip."""
    path = report / WALKTHROUGH_NOTEBOOK
    require_recorded([report / paths.REPORT_RECORD], among=[path])
    return notebook_text(with_parameters(read_notebook(path), {"results": MODELS, "data": DATA}))


def _write_zip(place: Path, contents: dict[str, bytes]) -> None:
    """Write files and the SHA-256 of each; without times, which change every run."""
    lines = [f"{hashlib.sha256(contents[name]).hexdigest()}  {name}\n" for name in sorted(contents)]
    contents[SUMS] = "".join(lines).encode()
    with zipfile.ZipFile(place, "w") as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, contents[name], zipfile.ZIP_DEFLATED)


def _read_me(params: Params, study: StudyConfig, results: Path, *, sdist: str) -> str:
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
    has_walkthrough = WALKTHROUGH in study.notebooks
    text = _TEXT.format(
        version=_version(study, results),
        study=study.name,
        images="\n".join(images),
        sdist=sdist,
        folder=sdist.removesuffix(".tar.gz"),
        walkthrough=_WALKTHROUGH_CONTENTS if has_walkthrough else "",
        use=_WALKTHROUGH_USE if has_walkthrough else _MODELS_USE,
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
