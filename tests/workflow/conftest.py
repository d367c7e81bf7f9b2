"""A folder for the engines: the workflow, the sources and fake stages."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
STAND_IN = Path(__file__).parent / "fake_stages.py"
BIN = Path(sys.executable).parent
TINY = ROOT / "tests" / "params" / "tiny.yaml"


class Workplace:
    """A folder in which Snakemake and DVC run the stand-in, found first on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = os.pathsep.join([str(folder / "bin"), str(BIN), os.environ["PATH"]])
        # If Slurm's plugin is installed, it looks for a controller; here it finds none at once.
        own = {"PATH": path, "XDG_CACHE_HOME": str(folder / "cache"), "SLURM_CONF": os.devnull}
        self.environment = os.environ | own

    @classmethod
    def make(cls, folder: Path) -> Workplace:
        command = folder / "bin" / "latentbench"
        command.parent.mkdir(parents=True)
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
        command.chmod(0o755)
        for part in ("workflow", "profiles", "src"):
            shutil.copytree(
                ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        for part in ("Snakefile", "dvc.yaml", ".dvc/config", ".dvcignore", ".gitignore"):
            _copy(ROOT / part, folder / part)
        for part in (ROOT / "report").glob("*.*"):
            _copy(part, folder / "report" / part.name)
        _copy(TINY, folder / "params.yaml")
        for part in ("requirements/walkthrough.lock", "pyproject.toml"):
            _copy(ROOT / part, folder / part)
        return cls(folder)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def snakemake(self, *arguments: str) -> str:
        """What Snakemake says; it must succeed."""
        result = self.run("snakemake", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    def wanted(self, *arguments: str) -> set[str]:
        """The jobs that Snakemake would run."""
        return {
            job_name(row["rule"], row["output_file"])
            for row in self.summary(*arguments)
            if row["plan"] != "no update"
        }

    def summary(self, *arguments: str, detailed: bool = False) -> list[dict[str, str]]:
        """Snakemake's own table: a row per output file."""
        option = "--detailed-summary" if detailed else "--summary"
        result = self.run("snakemake", option, *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        rows = result.stdout.splitlines()
        return list(csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE))

    def job_counts(self, *arguments: str) -> dict[str, int]:
        """The number of jobs per rule in a dry run, without the target's."""
        output = self.snakemake("--dry-run", "--quiet", "rules", "host", "reason", *arguments)
        rows = re.findall(r"^([a-z_]+) +(\d+)$", output, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in rows if rule not in ("all", "total")}

    def edit(self, path: str, old: str, new: str) -> None:
        place = self.folder / path
        text = place.read_text()
        assert old in text
        place.write_text(text.replace(old, new))


def job_name(rule: str, output: str) -> str:
    """`train@vae` as DVC names its stages, `configure_stage@vae/train` for a file of settings."""
    parts = Path(output).parts
    in_folder = parts[0] == "data" or (parts[0] == "results" and rule != "configure_study")
    name = parts[2] if in_folder else parts[1]
    if parts[3:4] in (("repeats",), ("search",)) and parts[4].isdecimal():
        name = "/".join(parts[2:5])
    if rule in ("configure_dataset", "configure_stage", "configure_selected_stage"):
        name = f"{name}/{Path(output).stem}"
    return f"{rule}@{name}"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A workplace where Snakemake ran the whole flow once. Who changes something takes a copy."""
    workplace = Workplace.make(tmp_path_factory.mktemp("engines") / "finished")
    workplace.snakemake("--quiet", "all")
    return workplace


@pytest.fixture
def workplace(finished: Workplace, tmp_path: Path) -> Workplace:
    """A copy of the finished workplace."""
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
    return Workplace(tmp_path / "copy")
