"""What is handed in is complete, says how to check itself, and is the same bytes again."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from snakemake.cli import get_argument_parser

from latentbench.artifacts.files import write_manifest
from latentbench.artifacts.paths import METRICS, PAGE, PDF, checkpoint_path, notebook_name
from latentbench.config.load import parse_params, read_params
from latentbench.config.params import GLANCE, NOTEBOOKS, Params
from latentbench.errors import ArtifactError
from latentbench.report.submission import (
    LOCK,
    PARAMS,
    READ_ME,
    READER_LOCK,
    SETUP,
    SUMS,
    Folders,
    build_submission,
)

NAME = "group_7_A.Author.zip"
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "latentbench"
version = "0.1"
[tool.hatch.build.targets.sdist]
only-include = ["module.py"]
"""


@pytest.fixture
def whole(make_study, tmp_path) -> dict[str, Any]:
    """A study that has come to its report, as arguments."""
    results = make_study()
    report = tmp_path / "report" / "demo"
    report.mkdir(parents=True)
    for name in (PAGE, PDF, *map(notebook_name, (GLANCE, *NOTEBOOKS))):
        (report / name).write_text(f"{name} of the report")
    for name in ("vae", "dcgan", "wgan-gp"):
        checkpoint = checkpoint_path(results / name, 4)
        checkpoint.parent.mkdir()
        checkpoint.write_bytes(name.encode() * 100)
    lock = tmp_path / "project" / READER_LOCK
    lock.parent.mkdir(parents=True)
    lock.write_text("numpy==2.0 --hash=sha256:0\n")
    (tmp_path / "project" / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "project" / "module.py").write_text("x = 1\n")
    folders = Folders(results, report, tmp_path / "walkthrough" / "demo", tmp_path / "project")
    return {"folders": folders, "output": tmp_path / "handin" / "demo"}


def params(**study: Any) -> Params:
    about = {
        "title": "Three models",
        "question": "Which is best?",
        "authors": ["A. Author"],
        "group_id": 7,
    }
    model = {"vae": "vae", "dcgan": "dcgan", "wgan-gp": "wgan_gp"}
    return parse_params(
        {
            "studies": {
                "demo": about | {"archive_name": "group_{group_id}_{names}"} | study,
                "other": {"title": "Not this"},
            },
            "datasets": {
                "glyphs": {"source": "glyphs"},
                "mine": {"source": "folder", "path": "~/mine.zip"},
            },
            "defaults": {"training": {"epochs": 4}},
            "experiments": {
                name: {"study": "demo", "dataset": "glyphs", "model": {"name": objective}}
                for name, objective in model.items()
            }
            | {"more": {"study": "other", "dataset": "mine", "model": {"name": "vae"}}},
        },
        where="params.yaml",
    )


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_holds_report_models_params_and_their_sums(whole, tmp_path):
    build_submission(params(), "demo", **whole)
    found = contents(whole["output"] / NAME)
    assert {PAGE, PDF, READ_ME, PARAMS, LOCK, SUMS} <= set(found)
    assert {name for name in found if name.startswith("notebooks/")} == {
        f"notebooks/{n}.ipynb" for n in (GLANCE, *NOTEBOOKS)
    }
    assert found["models/vae/checkpoints/epoch-0004.safetensors"] == b"vae" * 100
    assert (
        found[f"models/vae/{METRICS}"] == (whole["folders"].results / "vae" / METRICS).read_bytes()
    )
    sums = dict(reversed(line.split("  ")) for line in found.pop(SUMS).decode().splitlines())
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    text = found[READ_ME].decode()
    for said in (
        "Three models",
        "Which is best?",
        "By A. Author",
        f"sha256sum --check {SUMS}",
        "0123456789abcdef",
    ):
        assert said in text
    command = next(line for line in text.splitlines() if "snakemake" in line)
    arguments = get_argument_parser(profiles=None).parse_args(shlex.split(command)[1:])
    assert arguments.configfile == [Path("..", PARAMS)]
    assert arguments.targets == ["demo"]
    assert "small budget" not in text


def test_its_params_are_those_of_the_study_alone_and_resolve_to_the_same(whole, tmp_path):
    build_submission(params(), "demo", **whole)
    text = contents(whole["output"] / NAME)[PARAMS].decode()
    kept = yaml.safe_load(text)
    assert set(kept["studies"]) == {"demo"}
    assert set(kept["datasets"]) == {"glyphs"}
    again = read_params(tmp_path / "params.yaml", text=text)
    for name in ("vae", "dcgan", "wgan-gp"):
        assert again.experiment(name) == params().experiment(name)
    assert again.study("demo") == params().study("demo")


def test_the_same_files_make_the_same_bytes_wherever_and_whenever(whole, tmp_path):
    build_submission(params(), "demo", **whole)
    first = (whole["output"] / NAME).read_bytes()
    moved = tmp_path / "elsewhere"
    shutil.copytree(whole["folders"].results, moved)  # with new times
    os.utime(tmp_path / "project" / "module.py", (0, 0))
    folders = replace(whole["folders"], results=moved)
    build_submission(params(), "demo", folders, tmp_path / "again")
    assert (tmp_path / "again" / NAME).read_bytes() == first


@pytest.mark.parametrize(
    "part", ["report/demo/report.pdf", "results/demo/vae/metrics.csv", f"project/{READER_LOCK}"]
)
def test_what_is_missing_is_named_and_nothing_is_written(whole, tmp_path, part):
    (tmp_path / part).unlink()
    with pytest.raises(ArtifactError, match=f"{part} is missing; run the study demo"):
        build_submission(params(), "demo", **whole)
    assert not (whole["output"] / NAME).exists()


def test_a_checkpoint_that_changed_after_training_is_not_packed(whole, tmp_path):
    checkpoint = checkpoint_path(whole["folders"].results / "dcgan", 4)
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    record = whole["folders"].results / "dcgan" / "provenance" / "train.json"
    write_manifest(record, {"outputs": {f"../checkpoints/{checkpoint.name}": digest}})
    build_submission(params(), "demo", **whole)
    before = contents(whole["output"] / NAME)
    checkpoint.write_bytes(b"\x01" + checkpoint.read_bytes()[1:])
    with pytest.raises(ArtifactError, match=f"dcgan/checkpoints/{checkpoint.name}"):
        build_submission(params(), "demo", **whole)
    assert contents(whole["output"] / NAME) == before


def test_the_source_is_an_sdist_and_a_script_installs_it(whole, tmp_path):
    build_submission(params(), "demo", **whole)
    found = contents(whole["output"] / NAME)
    with tarfile.open(fileobj=io.BytesIO(found["latentbench-0.1.tar.gz"])) as archive:
        assert {"latentbench-0.1/module.py", "latentbench-0.1/PKG-INFO"} <= set(archive.getnames())
    (tmp_path / SETUP).write_bytes(found[SETUP])
    subprocess.run(["sh", "-n", tmp_path / SETUP], check=True)
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    environment = os.environ | {"PYTHON": str(old)}
    ran = subprocess.run(
        ["sh", tmp_path / SETUP], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "3.11" in ran.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_walkthrough_reads_the_models_and_images_of_the_zip(whole, tmp_path):
    cell = nbformat.v4.new_code_cell('results = "../../results/demo"\ndata = "x"\nepochs = 3')
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(notebook, whole["folders"].report / "walkthrough.ipynb")
    study = params(notebooks=["comparison", "walkthrough"])
    with pytest.raises(ArtifactError, match="latentbench walkthrough"):
        build_submission(study, "demo", **whole)
    place = whole["folders"].walkthrough
    (place / "data" / "glyphs").mkdir(parents=True)
    image = place / "data" / "glyphs" / "test-images.npy"
    image.write_bytes(b"images")
    digest = hashlib.sha256(b"images").hexdigest()
    outputs = {"data/glyphs/test-images.npy": digest, "walkthrough.ipynb": "0"}
    write_manifest(place / "provenance.json", {"outputs": outputs})
    build_submission(study, "demo", **whole)
    found = contents(whole["output"] / NAME)
    text = nbformat.reads(found["walkthrough.ipynb"].decode(), as_version=4).cells[0].source
    assert text == 'results = "models"\ndata = "data"\nepochs = 3'
    assert found["data/glyphs/test-images.npy"] == b"images"
    assert found["models/study.yaml"] == (whole["folders"].results / "study.yaml").read_bytes()
    assert "notebooks/walkthrough.ipynb" not in found
    assert "jupyter lab walkthrough.ipynb" in found[READ_ME].decode()
    image.write_bytes(b"others")
    with pytest.raises(ArtifactError, match=r"test-images\.npy"):
        build_submission(study, "demo", **whole)
