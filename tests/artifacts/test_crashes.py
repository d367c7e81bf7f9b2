"""A process that is killed before any file operation leaves folders that the next run completes.

The states of the folders before each operation are recorded in one run and restored one by one.
States that differ only in files with temporary names are tried once; with CRASHES=all in the
environment all of them are.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from latentbench.artifacts.files import read_arrays, read_csv, read_json, write_manifest, write_yaml
from latentbench.artifacts.paths import (
    EVALUATION_ARRAYS,
    LAST_METRICS,
    LATENT_ARRAYS,
    LATENT_FACTS,
    METRICS,
    PAGE,
    PDF,
    PROVENANCE,
    SUBMITTED_FILES,
    checkpoint_path,
    notebook_name,
)
from latentbench.config.load import parse_params
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ArtifactError
from latentbench.evaluation.findings import Findings
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.latent import explore
from latentbench.report import build
from latentbench.training.state import STATE, delete_state
from tests.evaluation.conftest import (
    build_reference,
    evaluate,
    make_dataset_config,
    make_experiment,
    run,
)

__all__ = ["build_reference", "make_dataset_config", "make_experiment"]

Make = Callable[..., Path]
Files = dict[str, bytes | None]  # content by path, None for a folder
TEMPORARY = (".partial", ".lock")
CLOCKED = ("provenance/", "history.csv", "logs/")

_record: Callable[[str], None] | None = None


def _hook(event: str, details: tuple[Any, ...]) -> None:
    if _record is None:
        return
    if event == "open":
        path, _, flags = details
        if isinstance(path, str) and flags & (os.O_WRONLY | os.O_RDWR):
            _record(path)
    elif event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"):
        _record(str(details[0]))


sys.addaudithook(_hook)


def files_below(root: Path) -> Files:
    files: Files = {}
    for path in sorted(root.rglob("*")):
        files[path.relative_to(root).as_posix()] = None if path.is_dir() else path.read_bytes()
    return files


def restore(root: Path, files: Files) -> None:
    shutil.rmtree(root)
    root.mkdir()
    for name, content in files.items():
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)


def lasting(files: Files) -> Files:
    """Return the files without temporary ones and without those that have a clock's numbers."""
    kept = {}
    for name, content in files.items():
        if not any(part in name for part in (*TEMPORARY, *CLOCKED)):
            kept[name] = content
    return kept


@contextmanager
def recorded_states(root: Path) -> Iterator[list[Files]]:
    """Collect what is below `root` before each operation of this process that changes it."""
    global _record  # noqa: PLW0603
    states: list[Files] = []
    process, lock = os.getpid(), threading.RLock()
    seen: Files = {}
    busy = False

    def record(path: str) -> None:
        nonlocal busy, seen
        with lock:
            # rmtree gives names relative to an open folder.
            is_elsewhere = Path(path).is_absolute() and not path.startswith(str(root))
            if busy or os.getpid() != process or is_elsewhere:
                return
            busy = True
            try:
                files = files_below(root)
            finally:
                busy = False
            if states and os.environ.get("CRASHES") != "all" and lasting(files) == seen:
                states.pop()  # the later one has more temporary files
            seen = lasting(files)
            states.append(files)

    _record = record
    try:
        yield states
    finally:
        _record = None


def crash_everywhere(
    root: Path, stage: Callable[[], Any], *, check: Callable[[], Any] = lambda: None
) -> int:
    """Run a stage once, then from the state before each of its operations; return their number.

    All runs must leave the same files. `check` is called on each state.
    """
    with recorded_states(root) as states:
        assert stage().exit_code == 0
    expected = files_below(root)
    assert not [name for name in expected if any(part in name for part in TEMPORARY)]
    for state in states:
        restore(root, state)
        check()
        result = stage()
        assert result.exit_code == 0, result.output
        found = files_below(root)
        assert not [name for name in found if any(part in name for part in TEMPORARY)]
        assert lasting(found) == lasting(expected)
    assert any(name.endswith(".lock") for state in states for name in state)
    name = stage.__qualname__.split(".")[0]
    print(f"{name}: {len(states)} crash points")  # noqa: T201
    return len(states)


@pytest.mark.slow
def test_train(make_config: Make, make_prepared: Make) -> None:
    """One step per epoch; the whole run of the same settings is the expected result."""
    data = make_prepared(num_train=8, num_test=8)
    config = make_config("vae", training={"epochs": 2, "checkpoints": [1, 2]})
    root = config.parents[1]
    folders = {"results": config.parent, "logs": root / "logs", "scratch": root / "scratch"}
    number = crash_everywhere(root, lambda: run("train", config=config, data=data, **folders))
    assert number > 20


def test_the_state_is_deleted_before_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the file system lists it last."""
    scandir = os.scandir

    @contextmanager
    def state_last(folder: int | str) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(folder) as entries:
            yield sorted(entries, key=lambda entry: entry.name == STATE)

    monkeypatch.setattr(os, "scandir", state_last)
    scratch = tmp_path / "scratch"
    for name in ("frames/samples/epoch-0001.png", STATE):
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        (scratch / name).touch()
    with recorded_states(tmp_path) as states:
        delete_state(scratch)
    assert not scratch.exists()
    for state in states:
        assert f"scratch/{STATE}" not in state or "scratch/frames/samples/epoch-0001.png" in state


def test_prepare(tmp_path: Path) -> None:
    """Over a dataset of another seed, which stays complete until the new one is."""
    raw, root, config = tmp_path / "raw", tmp_path / "data", tmp_path / "digits.yaml"
    root.mkdir()
    output, digests = root / "prepared" / "digits", []

    def prepare(seed: int) -> Any:
        digits = {"source": "glyphs", "num_train": 10, "num_test": 10, "seed": seed}
        params = {"studies": {}, "datasets": {"digits": digits}, "experiments": {}}
        content = parse_params(params, where="params.yaml").dataset("digits")
        write_yaml(config, content.model_dump(mode="json"))
        assert run("fetch", config=config, output=raw).exit_code == 0
        result = run("prepare", config=config, raw=raw, output=output, workers=1)
        digests.append(PreparedDataset.open(output).manifest.digest)
        return result

    prepare(0)
    prepare(1)
    allowed = set(digests)
    assert len(allowed) == 2
    prepare(0)
    complete = []

    def check() -> None:
        complete.append(opens(lambda: PreparedDataset.open(output).manifest.digest, allowed))

    crash_everywhere(root, lambda: prepare(1), check=check)
    assert [key for key, _ in itertools.groupby(complete)] == [True, False, True]


def opens(read: Callable[[], Any], allowed: set[Any]) -> bool:
    """Return whether files can be read; if so, they are one of the allowed sets."""
    try:
        found = read()
    except ArtifactError:
        return False
    assert found in allowed
    return True


def test_reference(make_prepared: Make, make_dataset_config: Make, tmp_path: Path) -> None:
    data, root = make_prepared(num_train=20, num_test=8), tmp_path / "root"
    root.mkdir()

    def build_with(max_images: int) -> Any:
        config = make_dataset_config(max_images=max_images, epochs=1)
        return run("reference", config=config, data=data, output=root / "reference")

    assert build_with(10).exit_code == 0
    complete = []

    def check() -> None:
        read = lambda: ReferenceManifest.read(root / "reference").num_images  # noqa: E731
        complete.append(opens(read, {10, 12}))

    crash_everywhere(root, lambda: build_with(12), check=check)
    assert [key for key, _ in itertools.groupby(complete)] == [True, False, True]


@pytest.mark.slow
def test_evaluate(make_prepared: Make, build_reference: Make, make_experiment: Make) -> None:
    data = make_prepared(num_train=20, num_test=8)
    reference = build_reference(data, epochs=1)
    results = make_experiment(data, evaluation={"kid_subset_size": 4})

    def evaluate_with(num_samples: int) -> Any:
        config = yaml.safe_load((results / "config.yaml").read_text())
        config["evaluation"]["num_samples"] = num_samples
        write_yaml(results / "config.yaml", config)
        return evaluate(results, reference, data)

    assert evaluate_with(9).exit_code == 0

    def check() -> None:
        if (results / LAST_METRICS).exists():
            number = read_json(results / LAST_METRICS)["num_samples"]
            assert {row["num_samples"] for row in read_csv(results / METRICS)} == {str(number)}
            assert read_arrays(results / EVALUATION_ARRAYS)["class_counts"].sum() == number

    crash_everywhere(results.parents[2], lambda: evaluate_with(10), check=check)


def test_explore(
    make_prepared: Make,
    build_reference: Make,
    make_experiment: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = make_prepared(num_train=20, num_test=8)
    reference, results = build_reference(data, epochs=1), make_experiment(data, "vae")

    def explore_with(value: int) -> Any:
        pictures = {
            "samples": np.full((8, 4, 4, 1), value, np.uint8),
            "reconstruction_real": np.zeros((2, 4, 4, 1), np.uint8),
            "reconstruction_decoded": np.zeros((2, 4, 4, 1), np.uint8),
            "interpolation_spherical": np.zeros((1, 3, 4, 4, 1), np.uint8),
            "interpolation_real": np.zeros((1, 2, 4, 4, 1), np.uint8),
        }
        found = Findings(pictures, {"value": value})
        monkeypatch.setattr(explore, "EXPLORATIONS", {"stub": lambda _: found})
        folders = {"data": data, "reference": reference, "results": results}
        return run("explore", config=results / "config.yaml", **folders)

    assert explore_with(1).exit_code == 0

    def check() -> None:
        if (results / LATENT_FACTS).exists():
            value = read_json(results / LATENT_FACTS)["value"]
            assert (read_arrays(results / LATENT_ARRAYS)["samples"] == value).all()

    crash_everywhere(results.parents[1], lambda: explore_with(2), check=check)


def test_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, output = tmp_path / "root", tmp_path / "root" / "report"
    sources = tmp_path / "sources"
    sources.mkdir(parents=True)
    root.mkdir()
    config = SimpleNamespace(
        name="s",
        notebooks=["training", "latent"],
        all_notebooks=["glance", "training", "latent"],
        model_dump=lambda **_: {"study": "s"},
    )
    study = SimpleNamespace(config=config, members=(), files=[], load=lambda: None)
    for name in ("glance.ipynb", "training.ipynb", "latent.ipynb", *build.document.PARTS):
        (sources / name).write_text("")
    monkeypatch.setattr(build, "open_study", lambda _: study)
    monkeypatch.setattr(build, "with_citations", lambda notebook, _: notebook)
    monkeypatch.setattr(build.headline, "head", lambda _: "")
    monkeypatch.setattr(build.document, "join_chapters", str)
    monkeypatch.setattr(build.document, "split_interactive", lambda notebook: (notebook, []))
    monkeypatch.setattr(build, "notebook_text", str)

    def report_with(value: str) -> Any:
        chapters = {"training.ipynb": value, "latent.ipynb": value}
        monkeypatch.setattr(build, "_execute", lambda *_: chapters)
        monkeypatch.setattr(build.document, "to_page", lambda *_: value)
        monkeypatch.setattr(build.document, "to_pdf", lambda *_: value.encode())
        return run("report", results=tmp_path, sources=sources, output=output)

    assert report_with("old").exit_code == 0

    def check() -> None:
        if (output / PAGE).exists():
            text = (output / PAGE).read_text()
            assert (output / PDF).read_text() == text
            assert text in (output / "latent.ipynb").read_text()

    crash_everywhere(root, lambda: report_with("new"), check=check)


def test_handin(tmp_path: Path) -> None:
    root, report, results = tmp_path / "root", tmp_path / "report", tmp_path / "results" / "s"
    study = {"title": "old", "notebooks": ["training"], "archive_name": "{study}"}
    vae = {"study": "s", "dataset": "d", "model": {"name": "vae"}, "training": {"epochs": 1}}
    params = {
        "studies": {"s": study},
        "datasets": {"d": {"source": "glyphs"}},
        "experiments": {"vae": vae},
    }
    files = [report / name for name in (PAGE, PDF, *map(notebook_name, ("glance", "training")))]
    files += [results / "vae" / name for name in SUBMITTED_FILES]
    files += [results / "study.yaml", tmp_path / "project" / "requirements" / "walkthrough.lock"]
    for path in (*files, checkpoint_path(results / "vae", 1)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    write_manifest(results / "vae" / PROVENANCE, {})
    (tmp_path / "project" / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "1"\n')
    root.mkdir()

    def handin_with(title: str) -> Any:
        study["title"] = title
        write_yaml(tmp_path / "params.yaml", params)
        folders = {"results": results, "report": report, "project": tmp_path / "project"}
        folders["walkthrough"] = tmp_path / "walkthrough"
        words = {"params": tmp_path / "params.yaml", "study": Path("s"), "output": root / "handin"}
        return run("handin", **words, **folders)

    result = handin_with("old")
    assert result.exit_code == 0, result.output
    [archive] = (root / "handin").iterdir()
    old = archive.read_bytes()
    found = []
    crash_everywhere(
        root, lambda: handin_with("new"), check=lambda: found.append(archive.read_bytes() == old)
    )
    assert [key for key, _ in itertools.groupby(found)] == [True, False]
