"""`dvc push` and `dvc pull` of a study that is trained once, in the first clone."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from latentbench.artifacts.paths import REPORT_RECORD
from tests.remotes.conftest import Server

pytestmark = pytest.mark.remotes

ROOT = Path(__file__).parent.parent.parent
REPORT = "report/tiny"
CHECKPOINT = "results/tiny/vae/checkpoints/epoch-0002.safetensors"


class Clone:
    """A clone with a home of its own, without settings or keys of the user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder.parent / "home"
        names = {
            f"GIT_{role}_{what}": "student@example.org"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {
            **os.environ,
            **names,
            "PATH": path,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "XDG_CACHE_HOME": str(home),
            "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        }

    @classmethod
    def of(cls, source: Path, folder: Path) -> Clone:
        subprocess.run(["git", "clone", "--quiet", source, folder], check=True)
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

    def do(self, *command: str) -> str:
        """What it says; it must succeed."""
        result = self.run(*command)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def stages_run(self, *command: str) -> list[str]:
        return re.findall("Running stage '(.*)'", self.do(*command))

    def commit(self) -> None:
        self.do("git", "add", "--all")
        self.do("git", "commit", "--quiet", "--message", "A state of the study")

    def report(self) -> dict[str, str]:
        """Return the hash of each file of the report, except its provenance record."""
        files = [
            file for file in sorted((self.folder / REPORT).iterdir()) if file.name != REPORT_RECORD
        ]
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def first(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Train the study and push two commits, the second with another title."""
    clone = Clone.of(ROOT, tmp_path_factory.mktemp("clones") / "first")
    for words in (
        ("add", "--default", "lab", server.url),
        ("modify", "lab", "keyfile", str(server.key)),
        ("modify", "lab", "verify", "true"),
    ):
        clone.do("dvc", "remote", *words)
    params = (ROOT / "tests/params/tiny.yaml").read_text()
    for title in ("Each objective, barely trained", "Each objective once more"):
        (clone.folder / "params.yaml").write_text(
            params.replace("Each objective, barely trained", title)
        )
        clone.do("dvc", "repro", "report@tiny")
        clone.commit()
        clone.do("dvc", "push")
    return clone


def test_another_clone_renders_the_report_without_training(first: Clone, tmp_path: Path) -> None:
    second = Clone.of(first.folder, tmp_path / "second")
    second.do("dvc", "pull")
    assert second.report() == first.report()
    shutil.rmtree(second.folder / REPORT)
    assert second.stages_run("dvc", "repro", "--force", "--single-item", "report@tiny") == [
        "report@tiny"
    ]
    assert second.report() == first.report()
    assert second.stages_run("dvc", "repro", "report@tiny") == []


def test_repro_pulls_what_it_needs(first: Clone, tmp_path: Path) -> None:
    second = Clone.of(first.folder, tmp_path / "second")
    assert second.stages_run("dvc", "repro", "--pull", "report@tiny") == []
    assert second.report() == first.report()


def test_snakemake_takes_over_what_was_pulled(first: Clone, tmp_path: Path) -> None:
    second = Clone.of(first.folder, tmp_path / "second")
    second.do("dvc", "pull")
    second.do("python", "workflow/scripts/sync.py", "snakemake", "tiny")
    assert (
        "Nothing to be done"
        in second.do("snakemake", "--dry-run", "tiny")
        + second.run("snakemake", "-n", "tiny").stderr
    )


def test_a_flipped_byte_in_the_store_is_not_taken(
    first: Clone, server: Server, tmp_path: Path
) -> None:
    digest = hashlib.md5((first.folder / CHECKPOINT).read_bytes()).hexdigest()
    stored = server.store / "files/md5" / digest[:2] / digest[2:]
    whole = stored.read_bytes()
    middle = len(whole) // 2
    stored.chmod(0o644)
    stored.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    try:
        second = Clone.of(first.folder, tmp_path / "second")
        pulled = second.run("dvc", "pull")
        assert pulled.returncode != 0
        assert "failed to pull data from the cloud" in pulled.stderr
        assert "results/tiny/vae/checkpoints" in pulled.stderr
        assert not (second.folder / CHECKPOINT).exists()
    finally:
        stored.write_bytes(whole)
    second.do("dvc", "pull")


def test_an_old_commits_report_comes_back(first: Clone, tmp_path: Path) -> None:
    second = Clone.of(first.folder, tmp_path / "second")
    second.do("dvc", "pull")
    new = second.report()
    second.do("git", "checkout", "--quiet", "HEAD~1")
    second.do("dvc", "pull")
    old = second.report()
    assert "Each objective, barely trained" in (second.folder / REPORT / "index.html").read_text()
    assert old != new
    second.do("git", "checkout", "--quiet", "-")
    second.do("dvc", "checkout")
    assert second.report() == new
    second.do("git", "checkout", "--quiet", "HEAD~1")
    second.do("dvc", "checkout")
    assert second.report() == old
    assert second.stages_run("dvc", "repro", "report@tiny") == []


def test_the_default_remote_serves_other_clones(first: Clone) -> None:
    first.do("dvc", "push", "--remote", "local")
    second = Clone.of(first.folder, first.folder.parent / "local")
    second.do("dvc", "pull", "--remote", "local")
    assert second.report() == first.report()
