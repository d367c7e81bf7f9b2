"""Check a study's files against the provenance records of their stages."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latentbench.artifacts.dependencies import (
    OF_EXPERIMENTS,
    OF_REPEATS,
    OF_TRIALS,
    code_sha256,
    differences,
    settings_of,
)
from latentbench.artifacts.files import file_sha256, read_manifest
from latentbench.artifacts.paths import (
    CONFIG,
    REPORT_RECORD,
    SELECT_CONFIG,
    SELECT_RECORD,
    STUDY,
    record_name,
    stage_config,
)
from latentbench.artifacts.provenance import package_versions
from latentbench.artifacts.selection import resolve_training
from latentbench.config.load import read_config, read_yaml
from latentbench.config.params import WALKTHROUGH, Params, StudyConfig
from latentbench.errors import ArtifactError, ConfigError

# The stages of a dataset that leave a record.
RECORDED_STAGES = ("prepare", "reference")


@dataclass(frozen=True)
class StudyFolders:
    """The folders that have results/STUDY, report/STUDY, data/prepared and walkthrough/STUDY."""

    results: Path
    report: Path
    data: Path
    walkthrough: Path = Path("walkthrough")


@dataclass
class VerificationResult:
    """What verification found.

    Mismatches are files that have changed or are missing, and settings or code that differ. Notes
    are what could not be checked, and other package versions.
    """

    mismatches: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    num_files: int = 0
    num_stages: int = 0

    def require_match(self, study: str) -> None:
        """Raise ArtifactError if there are mismatches."""
        if self.mismatches:
            mismatches = "mismatch" if len(self.mismatches) == 1 else "mismatches"
            raise ArtifactError(
                f"{study} has {len(self.mismatches)} {mismatches}; run the study again or restore "
                "the files."
            )


def verify_study(
    study: str, folders: StudyFolders, params: Params | None = None
) -> VerificationResult:
    """Check each file and its settings against the record of the stage that wrote it.

    With `params`, check the configs against these, too.
    Raises ArtifactError if the study has no results.
    """
    folder = folders.results / study
    if not (folder / STUDY).is_file():
        raise ArtifactError(
            f"{folder / STUDY} is missing: {study!r} has no results here; run the study first."
        )
    config = read_config(folder / STUDY, StudyConfig)
    checker = _Checker()
    for dataset in config.datasets:
        checker.check_dataset(dataset, folders.data)
    for name in config.searches:
        place = folder / name
        checker.check_stage(place / SELECT_RECORD, "select", place / SELECT_CONFIG)
    for name in config.trials:
        checker.check_training(folder, name, OF_TRIALS, params)
    for name in config.trainings:
        stages = OF_EXPERIMENTS if name in config.experiments else OF_REPEATS
        checker.check_training(folder, name, stages, params)
    if WALKTHROUGH in config.notebooks:
        checker.check_rendered(folders.walkthrough / study, WALKTHROUGH, config, folder / STUDY)
    checker.check_rendered(folders.report / study, "report", config, folder / STUDY)
    for path in sorted([*folder.glob(f"*/{CONFIG}"), *folder.glob(f"*/*/*/{CONFIG}")]):
        if path.parent.relative_to(folder).as_posix() not in config.trainings:
            checker.result.notes.append(
                f"Not checked: {path.parent} is not an experiment of {study}."
            )
    return checker.result


def is_up_to_date(record: Path, stage: str, config: Path) -> bool:
    """Return whether the record of a stage matches its files, its code and its settings.

    `config` is the file with the present settings of the stage. All inputs must be there.
    """
    checker = _Checker()
    checker.check_stage(record, stage, config)
    return not (checker.result.mismatches or checker.missing_inputs)


class _Checker:
    """Collects findings. Each file is hashed once, even if several records list it."""

    def __init__(self) -> None:
        self.result = VerificationResult()
        self.missing_inputs: list[Path] = []
        self._digests: dict[Path, str | None] = {}
        self._versions = package_versions()
        self._seen_notes: set[str] = set()

    def check_dataset(self, name: str, data: Path) -> None:
        """Check the stages of a dataset, if it is here."""
        if not (data / "prepared" / name).is_dir():
            self.result.notes.append(f"Not checked: {data / 'prepared' / name} does not exist.")
            return
        for stage in RECORDED_STAGES:
            record = data / "provenance" / name / f"{stage}.json"
            config = data / "config" / name / f"{stage}.yaml"
            self.check_stage(record, stage, config)

    def check_training(
        self, study: Path, name: str, stages: Sequence[str], params: Params | None
    ) -> None:
        """Check the stages of a training, and its config against the params."""
        folder = study / name
        for stage in stages:
            self.check_stage(folder / record_name(stage), stage, folder / stage_config(stage))
        config = folder / CONFIG
        if params is None or not config.is_file():
            return
        try:
            expected = resolve_training(params, name, study).model_dump(mode="json")
        except (ArtifactError, ConfigError) as error:
            self._mismatch(str(error))
            return
        for difference in differences(read_yaml(config), expected):
            self._mismatch(f"{config}: {difference} in the params.")

    def check_rendered(self, place: Path, stage: str, config: StudyConfig, where: Path) -> None:
        """Check the record of a stage of the study, whose settings in `where` are `config`."""
        record = place / REPORT_RECORD
        if record.is_file():
            self.check_record(record, stage, config.model_dump(mode="json"), where=where)
        else:
            self.result.notes.append(f"Not checked: {record} does not exist.")

    def check_stage(self, record: Path, stage: str, config: Path) -> None:
        """Check the record of a stage against its files, its code and the settings in `config`."""
        settings = settings_of(stage, read_yaml(config)) if config.is_file() else None
        self.check_record(record, stage, settings, where=config)

    def check_record(
        self, path: Path, stage: str, settings: Mapping[str, Any] | None, *, where: Path
    ) -> None:
        """Check a record's files, settings and code.

        `settings` are the stage's present settings, read from `where`; None if that is missing.
        """
        if not path.is_file():
            self._mismatch(f"{path}, the record of {stage}, is missing.")
            return
        try:
            record = read_manifest(path)
            outputs, inputs = dict(record["outputs"]), dict(record["inputs"])
        except (ArtifactError, KeyError, TypeError, ValueError):
            self._mismatch(f"{path}, the record of {stage}, is damaged.")
            return
        self.result.num_stages += 1
        for name, sha256 in outputs.items():
            self.result.num_files += 1
            self._check_output(_resolve(path, name), sha256, stage)
        for name, sha256 in inputs.items():
            self._check_input(_resolve(path, name), sha256, path)
        if settings is None:
            self.result.notes.append(
                f"Not checked: the settings of {path}, since {where} does not exist."
            )
        else:
            for difference in differences(record.get("settings"), settings):
                self._mismatch(f"{path}: {difference} in {where}.")
        if record.get("code") != code_sha256(stage):
            self._mismatch(f"{path}: the code of {stage} has changed since then.")
        self._note_environment(record)

    def _check_output(self, path: Path, sha256: str, stage: str) -> None:
        found = self._digest(path)
        if found is None:
            self._mismatch(f"{path}, an output of {stage}, is missing.")
        elif found != sha256:
            self._mismatch(f"{path} has changed since {stage} wrote it.")

    def _check_input(self, path: Path, sha256: str, record: Path) -> None:
        found = self._digest(path)
        if found is None:
            self.missing_inputs.append(path)
            self.result.notes.append(f"Not checked: {path}, an input in {record}, does not exist.")
        elif found != sha256:
            self._mismatch(f"{record}: the input {path} has changed since then.")

    def _note_environment(self, record: Mapping[str, Any]) -> None:
        other = differences(record.get("packages"), self._versions)
        if other:
            self._note_once(f"Package versions differ: {'; '.join(other)}.")
        if record.get("uncommitted_changes"):
            self._note_once(f"There were uncommitted changes to commit {record.get('commit')}.")
        if not record.get("commit"):
            self._note_once("The commit is unknown: there was no git repository.")

    def _digest(self, path: Path) -> str | None:
        if path not in self._digests:
            self._digests[path] = file_sha256(path) if path.is_file() else None
        return self._digests[path]

    def _mismatch(self, sentence: str) -> None:
        self.result.mismatches.append(sentence)

    def _note_once(self, sentence: str) -> None:
        if sentence not in self._seen_notes:
            self._seen_notes.add(sentence)
            self.result.notes.append(sentence)


def _resolve(record: Path, name: str) -> Path:
    """Return the path of a file that a record lists relative to its folder."""
    return Path(os.path.normpath(record.parent / name))
