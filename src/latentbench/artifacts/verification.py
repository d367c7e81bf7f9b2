"""A study's results against the records of what made them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latentbench.artifacts.dependencies import OF_EXPERIMENTS, code_sha256, differences, settings_of
from latentbench.artifacts.files import file_sha256, read_json
from latentbench.artifacts.paths import CONFIG, REPORT_RECORD, STUDY, record_name
from latentbench.artifacts.provenance import versions
from latentbench.config.load import read_config, read_yaml
from latentbench.config.params import Params, StudyConfig
from latentbench.errors import ArtifactError, ConfigError

OF_DATASETS = ("prepare", "reference")


@dataclass(frozen=True)
class StudyFolders:
    """The folders that a study's results, reports and data lie in: results, report, data."""

    results: Path
    report: Path
    data: Path


@dataclass
class Findings:
    """`mismatches` make results untrue; `notes` say what could not be checked, or was made in another place."""

    mismatches: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    num_files: int = 0
    num_stages: int = 0

    def require_match(self, study: str) -> None:
        if self.mismatches:
            number = len(self.mismatches)
            things = "1 thing does" if number == 1 else f"{number} things do"
            raise ArtifactError(
                f"{study}: {things} not match; run the study again, or bring the right files back."
            )


def verify_study(study: str, places: StudyFolders, params: Params | None = None) -> Findings:
    """Hold every file against the record of the stage that made it; settings against the configs, and `params`.

    Raises ArtifactError where there is no such study.
    """
    folder = places.results / study
    if not (folder / STUDY).is_file():
        raise ArtifactError(
            f"{folder / STUDY} is missing: there are no results of {study!r} here; run the study first."
        )
    config = read_config(folder / STUDY, StudyConfig)
    checker = _Checker()
    for dataset in config.datasets:
        checker.check_dataset(dataset, places.data)
    for name in config.experiments:
        checker.check_experiment(folder / name, params)
    record = places.report / study / REPORT_RECORD
    if record.is_file():
        checker.check_record(record, "report", config.model_dump(mode="json"), where=folder / STUDY)
    else:
        checker.found.notes.append(f"Not checked: {record} is not here.")
    for other in sorted(
        path.parent
        for path in folder.glob(f"*/{CONFIG}")
        if path.parent.name not in config.experiments
    ):
        checker.found.notes.append(f"Not checked: {other} is no experiment of {study}.")
    return checker.found


class _Checker:
    """Looks at each file once, whatever number of records names it."""

    def __init__(self) -> None:
        self.found = Findings()
        self._digests: dict[Path, str | None] = {}
        self._versions = versions()
        self._told: set[str] = set()

    def check_dataset(self, name: str, data: Path) -> None:
        if not (data / "prepared" / name).is_dir():
            self.found.notes.append(f"Not checked: {data / 'prepared' / name} is not here.")
            return
        config = data / "config" / f"{name}.yaml"
        for stage in OF_DATASETS:
            record = data / "provenance" / name / f"{stage}.json"
            self.check_record(record, stage, self._settings(stage, config), where=config)

    def check_experiment(self, folder: Path, params: Params | None) -> None:
        config = folder / CONFIG
        for stage in OF_EXPERIMENTS:
            self.check_record(
                folder / record_name(stage), stage, self._settings(stage, config), where=config
            )
        if params is None or not config.is_file():
            return
        try:
            asked = params.experiment(folder.name).model_dump(mode="json")
        except ConfigError as error:
            self._mismatch(str(error))
            return
        for difference in differences(read_yaml(config), asked):
            self._mismatch(f"{config}: {difference} in the params.")

    def check_record(
        self, path: Path, stage: str, settings: Mapping[str, Any] | None, *, where: Path
    ) -> None:
        """`settings` are those of the stage now, None where nothing tells; `where` they stand."""
        if not path.is_file():
            self._mismatch(f"{path} is missing: nothing says what {stage} made here.")
            return
        try:
            record = read_json(path)
            outputs, inputs = dict(record["outputs"]), dict(record["inputs"])
        except (ArtifactError, KeyError, TypeError, ValueError):
            self._mismatch(f"{path} is damaged: nothing says what {stage} made here.")
            return
        self.found.num_stages += 1
        for name, sha256 in outputs.items():
            self.found.num_files += 1
            self._check_output(_beside(path, name), sha256, stage)
        for name, sha256 in inputs.items():
            self._check_input(_beside(path, name), sha256, path)
        if settings is None:
            self.found.notes.append(
                f"Not checked: the settings of {path}, since {where} is not here."
            )
        else:
            for difference in differences(record.get("settings"), settings):
                self._mismatch(f"{path}: {difference} in {where}.")
        if record.get("code") != code_sha256(stage):
            self._mismatch(f"{path}: the code of {stage} is another now.")
        self._note_place(record)

    def _check_output(self, path: Path, sha256: str, stage: str) -> None:
        found = self._digest(path)
        if found is None:
            self._mismatch(f"{path} is missing; {stage} had made it.")
        elif found != sha256:
            self._mismatch(f"{path} is not as {stage} made it.")

    def _check_input(self, path: Path, sha256: str, record: Path) -> None:
        found = self._digest(path)
        if found is None:
            self.found.notes.append(f"Not checked: {path}, of which {record} tells, is not here.")
        elif found != sha256:
            self._mismatch(f"{record}: what it tells of was made from another {path}.")

    def _note_place(self, record: Mapping[str, Any]) -> None:
        other = differences(record.get("packages"), self._versions)
        if other:
            self._note_once(f"Made with other packages than are here: {'; '.join(other)}.")
        if record.get("uncommitted_changes"):
            self._note_once(
                f"Made from uncommitted changes to {record.get('commit')}: no commit has that code."
            )
        if not record.get("commit"):
            self._note_once(
                "Made outside of a git repository: no commit is named that has the code."
            )

    def _settings(self, stage: str, config: Path) -> dict[str, Any] | None:
        return settings_of(stage, read_yaml(config)) if config.is_file() else None

    def _digest(self, path: Path) -> str | None:
        if path not in self._digests:
            self._digests[path] = file_sha256(path) if path.is_file() else None
        return self._digests[path]

    def _mismatch(self, sentence: str) -> None:
        self.found.mismatches.append(sentence)

    def _note_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self.found.notes.append(sentence)


def _beside(record: Path, name: str) -> Path:
    """The file that a record names as seen from its folder."""
    return Path(os.path.normpath(record.parent / name))
