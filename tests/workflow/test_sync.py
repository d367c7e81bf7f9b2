"""After a run by one engine the other takes over what is true, and refuses what is not.

`SYNC_SEQUENCES=20x5 pytest tests/workflow/test_sync.py` runs 20 random sequences of five runs.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from latentbench.cli import main
from tests.workflow import fake_stages
from tests.workflow.conftest import TINY, Workplace

# All on one worker, which makes the workplace once.
pytestmark = pytest.mark.slow

STUDY = "tiny"
SEQUENCES, RUNS = (int(number) for number in os.environ.get("SYNC_SEQUENCES", "1x2").split("x"))
SETTINGS = {
    "learning_rate": ("experiments", "vae", "model"),
    "seed": ("experiments", "vae"),
    "epochs": ("datasets", "digits", "reference"),
    "checkpoints": ("defaults", "training"),
    "num_samples": ("defaults", "evaluation"),
    "num_pairs": ("defaults", "latent"),
    "title": ("studies", STUDY),
}
VALUES = {
    "learning_rate": (1e-3, 2e-3),
    "seed": (0, 1),
    "epochs": (1, 2),
    "checkpoints": ([1, 2], [2]),
    "num_samples": (200, 201),
    "num_pairs": (2, 3),
    "title": ("Each objective", "Each of the objectives"),
}
LAYERS = (
    "config",
    "data",
    "runtime",
    "models",
    "training",
    "evaluation",
    "latent",
    "walkthrough",
    "report",
)


class Bench(Workplace):
    """A workplace with one experiment, under git, with what a person does to it."""

    @classmethod
    def start(cls, folder: Path) -> Bench:
        bench = cls(Workplace.make(folder).folder)
        params = yaml.safe_load(TINY.read_text())
        params["experiments"] = {"vae": params["experiments"]["vae"]}
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        bench.git("init", "--quiet")
        bench.git("config", "user.name", "A Student")
        bench.git("config", "user.email", "student@example.org")
        (folder / ".git/info/exclude").write_text("/bin/\n/cache/\n")
        bench.snakemake("--quiet", "all", "--", STUDY)
        assert bench.record("dvc") is None
        bench.commit()
        return bench

    @classmethod
    def copy(cls, other: Bench, folder: Path) -> Bench:
        shutil.copytree(other.folder, folder, symlinks=True)
        return cls(folder)

    def git(self, *arguments: str) -> str:
        result = self.run("git", *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A state")

    def dvc(self, *arguments: str) -> None:
        result = self.run("dvc", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr

    def record(self, engine: str) -> str | None:
        """Let this engine record the other's results; why it refused, if it did."""
        result = self.run("python", "workflow/scripts/sync.py", engine, STUDY)
        refusal = re.fullmatch(r"Nothing is recorded: (.*)\n", result.stderr)
        assert result.returncode == 0 or refusal, result.stdout + result.stderr
        return refusal[1] if refusal else None

    def agrees(self) -> bool:
        """Whether neither engine has anything to do."""
        status = self.run("dvc", "status", "--quiet", "--with-deps", f"report@{STUDY}")
        return status.returncode == 0 and self.wanted("--", STUDY) == set()

    def made(self) -> dict[str, str]:
        """The hash of every file that the stages made, but for that of DVC alone."""
        names = ("data", f"results/{STUDY}", f"walkthrough/{STUDY}", f"report/{STUDY}")
        folders = [self.folder / name for name in names]
        paths = (path for folder in folders for path in folder.rglob("[!.]*") if path.is_file())
        files = sorted(path for path in paths if self.folder / "data/params" not in path.parents)
        return {
            str(file.relative_to(self.folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
        }

    def clean(self, folder: Path) -> dict[str, str]:
        """Return what the stages write for these params and this code in an empty folder."""
        for part in ("src", "params.yaml"):
            copy = shutil.copytree if (self.folder / part).is_dir() else shutil.copy
            folder.mkdir(exist_ok=True)
            copy(self.folder / part, folder / part)
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        stages = [
            "split",
            "configure",
            "fetch",
            "prepare",
            "reference",
            "search",
            "train",
            "evaluate",
            "explore",
            "repeat",
            "walkthrough",
            "report",
        ]
        commands = [locked["cmd"].split()[1:] for locked in lock.values()]
        with chdir(folder):
            for stage, *arguments in sorted(commands, key=lambda words: stages.index(words[0])):
                if stage in ("split", "configure"):
                    assert CliRunner().invoke(main, [stage, *arguments]).exit_code == 0
                else:
                    fake_stages.run_command(stage, *arguments)
        return Bench(folder).made()

    def set(self, key: str, value: object) -> None:
        place = self.folder / "params.yaml"
        params = yaml.safe_load(place.read_text())
        section = params
        for name in SETTINGS[key]:
            section = section[name]
        section[key] = value
        place.write_text(yaml.safe_dump(params))

    def edit_layer(self, layer: str, text: str) -> None:
        with (self.folder / f"src/latentbench/{layer}/__init__.py").open("a") as file:
            file.write(f"# {text}\n")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench.start(tmp_path_factory.mktemp("sync") / "started")


@pytest.fixture
def bench(started: Bench, tmp_path: Path) -> Bench:
    return Bench.copy(started, tmp_path / "bench")


def test_a_clean_run_is_what_the_stages_make(started: Bench, tmp_path: Path) -> None:
    assert started.made() == started.clean(tmp_path / "clean")


METRICS = f"results/{STUDY}/vae/metrics.json"
CHECKPOINT = f"results/{STUDY}/vae/checkpoints/epoch-0001.safetensors"


def append(path: str) -> Callable[[Bench], None]:
    def change(bench: Bench) -> None:
        with (bench.folder / path).open("a") as file:
            file.write("By hand.\n")

    return change


def remove(path: str) -> Callable[[Bench], None]:
    return lambda bench: (bench.folder / path).unlink()


def edit_report(bench: Bench) -> None:
    bench.edit_layer("report", "Changed.")


def leave_stray(bench: Bench) -> None:
    (bench.folder / f"results/{STUDY}/notes.txt").write_text("Mine.")


def run_dvc_alone(bench: Bench) -> None:
    """DVC runs changed code, which is then changed back: Snakemake lacks its results."""
    place = bench.folder / "src/latentbench/training/__init__.py"
    before = place.read_text()
    bench.edit_layer("training", "Tried.")
    bench.dvc("repro", "--quiet", f"report@{STUDY}")
    place.write_text(before)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (remove(METRICS), f"{METRICS} is missing"),
        (remove(CHECKPOINT), f"results/{STUDY}/vae/checkpoints changed"),
        (append(f"report/{STUDY}/index.html"), f"report/{STUDY} changed"),
        (edit_report, "Snakemake still has to run report"),
        (leave_stray, "results/tiny/notes.txt"),
        (run_dvc_alone, "changed after Snakemake's job"),
        (lambda bench: bench.set("title", ""), "params.yaml"),
    ],
)
def test_dvc_records_nothing_untrue(
    bench: Bench, act: Callable[[Bench], None], reason: str
) -> None:
    act(bench)
    before = (bench.folder / "dvc.lock").read_text()
    assert reason in (bench.record("dvc") or "")
    assert (bench.folder / "dvc.lock").read_text() == before


@pytest.mark.parametrize(
    "act",
    [
        remove(CHECKPOINT),
        append(METRICS),
        remove("dvc.lock"),
    ],
)
def test_snakemake_takes_nothing_untrue(bench: Bench, act: Callable[[Bench], None]) -> None:
    act(bench)
    assert "DVC still has to run" in (bench.record("snakemake") or "")


def test_a_study_that_is_not_there_is_named(bench: Bench) -> None:
    result = bench.run("python", "workflow/scripts/sync.py", "dvc", "faces")
    assert (result.returncode, result.stderr) == (
        1,
        "Nothing is recorded: params.yaml has no study faces; it has tiny\n",
    )


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_engines_agree_whatever_is_done_between_their_runs(
    bench: Bench, tmp_path: Path, seed: int
) -> None:
    person = Person(bench, random.Random(seed), tmp_path)
    for _ in range(RUNS):
        person.act()
        person.run()


class Person:
    """Who edits, deletes and goes back at random, and runs either engine."""

    def __init__(self, bench: Bench, draw: random.Random, folder: Path) -> None:
        self.bench = bench
        self.draw = draw
        self.folder = folder
        self.done: list[str] = []

    def act(self) -> None:
        acts = [
            self.set,
            self.edit_code,
            self.add_code,
            self.delete,
            self.write_over,
            self.commit,
            self.go_back,
        ]
        for act in self.draw.choices(acts, k=self.draw.randint(1, 3)):
            self.done.append(act.__name__)
            act()

    def run(self) -> None:
        """Run either engine and let the other take over; where it refuses, do as it says."""
        engine, other = self.draw.sample(("snakemake", "dvc"), 2)
        self.done.append(engine)
        self.run_by(engine)
        clean = self.bench.clean(self.folder / f"clean-{len(self.done)}")
        for _ in range(5):
            refusal = self.bench.record(other)
            if refusal is None:
                break
            # Snakemake cannot compare what `dvc checkout` restored with what its jobs would write.
            assert self.bench.made() != clean or "go_back" in self.done, (self.done, refusal)
            self.done.append(refusal)
            self.obey(refusal)
        made = self.bench.made()
        assert {
            path for path in made.keys() | clean if made.get(path) != clean.get(path)
        } == set(), self.done
        assert self.bench.agrees(), self.done

    def run_by(self, engine: str) -> None:
        if engine == "snakemake":
            self.bench.snakemake("--quiet", "all", "--", STUDY)
        else:
            self.bench.dvc("repro", "--quiet", f"report@{STUDY}")

    def obey(self, refusal: str) -> None:
        if stray := re.match(r"No rule writes (\S+)", refusal):
            (self.bench.folder / stray[1]).unlink()
        else:
            self.bench.snakemake(*refusal.rpartition("snakemake ")[2].split(), "--quiet", "all")

    def set(self) -> None:
        key = self.draw.choice(list(SETTINGS))
        self.bench.set(key, self.draw.choice(VALUES[key]))

    def edit_code(self) -> None:
        self.bench.edit_layer(self.draw.choice(LAYERS), f"Edit {len(self.done)}.")

    def add_code(self) -> None:
        layer = self.draw.choice(LAYERS)
        (self.bench.folder / f"src/latentbench/{layer}/added.py").write_text("")

    def delete(self) -> None:
        (self.bench.folder / self.draw.choice(list(self.bench.made()))).unlink()

    def write_over(self) -> None:
        append(self.draw.choice(list(self.bench.made())))(self.bench)

    def commit(self) -> None:
        """dvc.lock has the last recorded state; params and code may be newer."""
        self.bench.commit()

    def go_back(self) -> None:
        """To an earlier commit and its results."""
        commits = self.bench.git("rev-list", "--all").split()
        self.bench.git("checkout", "--quiet", "--force", self.draw.choice(commits))
        self.bench.dvc("checkout", "--force", "--quiet")
