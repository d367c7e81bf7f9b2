"""A workplace of its own for the engines: the workflow, the sources and a stand-in for the stages."""

from __future__ import annotations

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
        # Slurm's plugin, where it is installed, looks for a controller at every start: here it finds none at once.
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
        _copy(ROOT / "requirements/main.lock", folder / "requirements/main.lock")
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
        """The jobs that a dry run of Snakemake wants, but for the target itself."""
        said = self.snakemake("--dry-run", "--quiet", "rules", "host", "reason", *arguments)
        jobs = set(re.findall(r"^([a-z_]+@\S+) +\d+$", said, flags=re.MULTILINE))
        assert jobs or "Nothing to be done" in said, said
        return jobs

    def edit(self, path: str, old: str, new: str) -> None:
        place = self.folder / path
        text = place.read_text()
        assert old in text
        place.write_text(text.replace(old, new))


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
