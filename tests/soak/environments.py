"""Run all stages of a tiny experiment in odd environments.

A run either has the results of an ordinary run, or ends with one sentence and no traceback, and an
ordinary run in the same folder then completes it with these results.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import yaml

from latentbench.artifacts.files import file_sha256

COMPARED = ("*.npy", "*.npz", "*.safetensors", "metrics.csv", "iterations.csv", "*.png")
PARAMS = {
    "studies": {"soak": {"title": "Soak"}},
    "datasets": {
        "digits": {
            "source": "glyphs",
            "num_train": 40,
            "num_test": 20,
            "reference": {"epochs": 1, "width": 8},
        }
    },
    "experiments": {
        "vae": {
            "study": "soak",
            "dataset": "digits",
            "model": {"name": "vae", "latent_dim": 4, "width": 4},
            "training": {"epochs": 2, "checkpoints": [1, 2], "batch_size": 8, "sample_grid": 2},
            "evaluation": {
                "num_samples": 16,
                "num_seeds": 1,
                "kid_subsets": 2,
                "kid_subset_size": 8,
                "importance_samples": 4,
                "num_likelihood_images": 4,
            },
            "latent": {"num_samples": 4, "num_reconstructions": 2, "num_pairs": 1, "num_points": 3}
            | {"num_encoded": 8, "num_projected": 8},
            "compute": {"device": "cpu"},
        }
    },
}
# All stages in one process, which stops at the first that fails. A stage's command is a list.
STAGES = """
import sys
from latentbench.cli import main, ensure_utf8_mode
ensure_utf8_mode()
folder, config, dataset = sys.argv[1], sys.argv[1] + "/results", sys.argv[1] + "/config"
params = ["--params", folder + "/params.yaml"]
data = ["--data", folder + "/data"]
reference = ["--reference", folder + "/reference"]
place = ["--results", config]
scratch = ["--scratch", folder + "/scratch"]
for command in (
    ["configure", *params, "--dataset", "digits", "--output", dataset],
    ["configure", *params, "--experiment", "vae", "--output", config],
    ["fetch", "--config", dataset + "/fetch.yaml", "--output", folder + "/raw"],
    ["prepare", "--config", dataset + "/prepare.yaml", "--raw", folder + "/raw"]
    + ["--output", folder + "/data", "--record", folder + "/prepare.json"],
    ["reference", "--config", dataset + "/reference.yaml", *data]
    + ["--output", folder + "/reference", "--record", folder + "/reference.json"],
    ["train", "--config", config + "/config/train.yaml", *data, *place]
    + ["--logs", folder + "/logs", *scratch],
    ["evaluate", "--config", config + "/config/evaluate.yaml", *data, *reference, *place, *scratch],
    ["explore", "--config", config + "/config/explore.yaml", *data, *reference, *place],
):
    try:
        main(command)
    except SystemExit as ended:
        if ended.code:
            raise
"""

Process = subprocess.Popen[str]


@dataclass
class Environment:
    """What differs from an ordinary run."""

    name: str
    folder: str = "plain"
    variables: dict[str, str | None] = field(default_factory=dict)  # None removes a variable
    prepare: Callable[[], None] | None = None  # runs in the new process
    before: Callable[[Path], object] | None = None  # is called with the folder
    meanwhile: Callable[[Process, Path, random.Random], None] | None = None


def limit(kind: int, number: int) -> Callable[[], None]:
    """Return a function that limits a resource of its process."""
    return lambda: resource.setrlimit(kind, (number, number))


def close(descriptor: int) -> Callable[[], None]:
    """Return a function that closes a standard stream."""
    return lambda: os.close(descriptor)


def delete_something(_: Process, folder: Path, rng: random.Random) -> None:
    """Delete a random file or folder that a stage has written."""
    time.sleep(rng.uniform(0, 10))
    found = sorted(path for path in folder.rglob("*") if path.name != "params.yaml")
    if found:
        chosen = rng.choice(found)
        with contextlib.suppress(OSError):
            shutil.rmtree(chosen) if chosen.is_dir() else chosen.unlink()


def run_again(_: Process, folder: Path, rng: random.Random) -> None:
    """Run the same stages in the same folder at the same time."""
    time.sleep(rng.uniform(0, 10))
    run(folder, dict(os.environ))


def interrupt(process: Process, _: Path, rng: random.Random) -> None:
    """Send SIGTERM or SIGINT to the run at a random moment."""
    time.sleep(rng.uniform(1, 15))
    process.send_signal(rng.choice([signal.SIGTERM, signal.SIGINT]))


def occupy(*parts: str) -> Callable[[Path], object]:
    """Return a function that writes a file where a stage needs a folder."""
    return lambda folder: folder.joinpath(*parts).write_text("in the way")


ENVIRONMENTS = [
    Environment("an ordinary run"),
    Environment("no HOME", variables={"HOME": None}),
    Environment("a HOME that is missing", variables={"HOME": "/nonexistent"}),
    Environment("LANG=C", variables={"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"}),
    Environment("ASCII output", variables={"PYTHONIOENCODING": "ascii:strict"}),
    Environment("umask 077", prepare=lambda: os.umask(0o077) and None),
    Environment("TMPDIR is missing", variables={"TMPDIR": "/nonexistent"}),
    Environment("a narrow terminal", variables={"COLUMNS": "1", "TERM": "dumb"}),
    Environment("another time zone", variables={"TZ": "Pacific/Kiritimati"}),
    Environment("another hash seed", variables={"PYTHONHASHSEED": "12345"}),
    Environment("no assertions", variables={"PYTHONOPTIMIZE": "2"}),
    Environment("matplotlib's folder is missing", variables={"MPLCONFIGDIR": "/nonexistent"}),
    Environment("spaces", folder="a folder  with spaces "),
    Environment("quotes", folder='it\'s "quoted" `here`'),
    Environment("braces", folder="{a,b} {config} {{}}"),
    Environment("patterns", folder="*?[a-z]$HOME%s\\n#;&|"),
    Environment("unicode", folder="Ångström 潜在 🖼 e\u0301"),
    Environment("no standard input", prepare=close(0)),
    Environment("no standard output", prepare=close(1)),
    Environment("files of at most 10 kB", prepare=limit(resource.RLIMIT_FSIZE, 10_000)),
    Environment("files of at most 100 kB", prepare=limit(resource.RLIMIT_FSIZE, 100_000)),
    Environment("2 GB of addresses", prepare=limit(resource.RLIMIT_AS, 2 << 30)),
    Environment("4 GB of addresses", prepare=limit(resource.RLIMIT_AS, 4 << 30)),
    Environment("6 GB of addresses", prepare=limit(resource.RLIMIT_AS, 6 << 30)),
    Environment("30 open files", prepare=limit(resource.RLIMIT_NOFILE, 30)),
    Environment("a file for the results", before=occupy("results")),
    Environment("a file for the data", before=occupy("data")),
    Environment("a file for the state", before=occupy("scratch")),
    Environment("something vanishes", meanwhile=delete_something),
    Environment("two runs at once", meanwhile=run_again),
    Environment("a signal", meanwhile=interrupt),
]


@click.command()
@click.option("--seed", default=0)
@click.option("--only", default="", help="Try the environments whose name has this in it.")
@click.option("--minutes", type=float, default=None, help="Stop after this time.")
def main(seed: int, only: str, minutes: float | None) -> None:
    """Try every environment once, and print what was wrong."""
    rng = random.Random(seed)
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    tried, wrong = 0, 0
    with tempfile.TemporaryDirectory() as name:
        expected = ordinary_digests(Path(name))
        for environment in ENVIRONMENTS:
            if only in environment.name and time.monotonic() < deadline:
                problem = trouble_in(environment, Path(name), expected, rng)
                tried += 1
                wrong += problem is not None
                click.echo(f"{environment.name}: {problem or 'right'}")
    click.echo(f"environments: {tried} tried, {wrong} wrong (seed {seed})")
    raise SystemExit(wrong > 0)


def trouble_in(
    environment: Environment, root: Path, expected: dict[str, str], rng: random.Random
) -> str | None:
    """Return what an environment did wrong, or None."""
    folder = new_folder(root / str(rng.random()), environment.folder)
    variables = {**os.environ, **environment.variables}
    given = {name: value for name, value in variables.items() if value is not None}
    if environment.before is not None:
        environment.before(folder)
    with start(folder, given, environment.prepare) as process:
        if environment.meanwhile is not None:
            environment.meanwhile(process, folder, rng)
        output = process.communicate()[0]
    if "Traceback" in output or process.returncode not in {
        0,
        1,
        75,
        -signal.SIGTERM,
        -signal.SIGINT,
    }:
        return f"exit status {process.returncode}: {output[-4_000:]}"
    if process.returncode != 0 or environment.meanwhile is not None:
        for path in folder.iterdir():
            if path.is_file() and path.name != "params.yaml" and path.suffix != ".json":
                path.unlink()
        again = run(folder, dict(os.environ))
        if again.returncode != 0:
            return f"not repaired by an ordinary run: {again.stdout[-2_000:]}"
    found = digests(folder)
    paths = found.keys() | expected.keys()
    differing = sorted(path for path in paths if found.get(path) != expected.get(path))
    return f"{', '.join(differing)} differ; {output[-500:]}" if differing else None


def new_folder(root: Path, name: str) -> Path:
    """Return a new folder with the params."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    return folder


@contextlib.contextmanager
def start(
    folder: Path, variables: dict[str, str], prepare: Callable[[], None] | None = None
) -> Iterator[Process]:
    """Start all stages in a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAGES, str(folder)],
        cwd=folder,
        env=variables,
        preexec_fn=prepare,  # noqa: PLW1509
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run(folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run all stages in a folder."""
    with start(folder, variables) as process:
        output = process.communicate()[0]
    return subprocess.CompletedProcess([], process.returncode, output)


def ordinary_digests(root: Path) -> dict[str, str]:
    """Run all stages in a new folder as usual, and return the digests of their files."""
    folder = new_folder(root, "ordinary")
    ordinary = run(folder, dict(os.environ))
    if ordinary.returncode != 0:
        raise click.ClickException(ordinary.stdout)
    return digests(folder)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each compared file by its path."""
    found = itertools.chain.from_iterable(map(folder.rglob, COMPARED))
    return {str(path.relative_to(folder)): file_sha256(path) for path in found}


if __name__ == "__main__":
    main()
