"""The commit in a record is that of the checkout, never of a repository around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRINT_COMMIT = """
import json
from latentbench.artifacts import provenance
facts = provenance.describe_environment()
print(json.dumps([facts["commit"], facts["uncommitted_changes"]]))
"""


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def _described_commit(checkout: Path, **environment: str) -> tuple[str | None, bool]:
    result = subprocess.run(
        [sys.executable, "-c", PRINT_COMMIT],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout / "src")} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    commit, changes = json.loads(result.stdout)
    return commit, changes


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy the sources into a folder of another project's repository."""
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "thesis.txt").write_text("My thesis")
    _git(tmp_path, "add", "thesis.txt")
    _git(tmp_path, "commit", "--quiet", "-m", "Begin")
    ignored = shutil.ignore_patterns("__pycache__")
    package = tmp_path / "latentbench" / "src" / "latentbench"
    for part in ("artifacts", "config"):
        shutil.copytree(ROOT / "src" / "latentbench" / part, package / part, ignore=ignored)
    for part in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "src" / "latentbench" / part, package / part)
    return tmp_path / "latentbench"


def test_another_repository_is_not_the_code_s(checkout: Path) -> None:
    assert _described_commit(checkout) == (None, False)
    _git(checkout.parent, "add", "latentbench")
    assert _described_commit(checkout) == (None, False)


def test_the_commit_is_that_of_the_checkout(checkout: Path) -> None:
    _git(checkout, "init", "--quiet")
    _git(checkout, "add", ".")
    _git(checkout, "commit", "--quiet", "-m", "Begin")
    commit = _git(checkout, "rev-parse", "HEAD")
    assert _described_commit(checkout) == (commit, False)
    source = checkout / "src" / "latentbench" / "errors.py"
    source.write_text(f"{source.read_text()}# Changed.\n")
    # As in a hook of another repository.
    elsewhere = {"GIT_DIR": str(checkout.parent / ".git")}
    assert _described_commit(checkout, **elsewhere) == (commit, True)
