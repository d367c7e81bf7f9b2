"""Snakemake and DVC hold the same stages: names, commands, files, sources and settings."""

from __future__ import annotations

import ast
import csv
import re
from dataclasses import dataclass, field
from typing import Any

import grimp
import pytest
import yaml
from click.testing import CliRunner

from latentbench.artifacts.dependencies import SETTINGS, SOURCES
from latentbench.cli import main
from tests.workflow.conftest import ROOT, Workplace

PACKAGE = "src/latentbench/"


@dataclass
class Stage:
    """`sources` are folders and files under src/latentbench, and the report's own parts."""

    command: str
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)


def stage_of(job: str) -> str:
    """`train` of train@vae, `configure` of configure_study@demo."""
    return job.partition("@")[0].partition("_")[0]


def sorted_out(paths: list[str]) -> tuple[set[str], set[str]]:
    """What other stages made, and sources: the parts of the package, and the report's own files."""
    parts = {
        path.removeprefix(PACKAGE).partition("/")[0] for path in paths if path.startswith(PACKAGE)
    }
    own = {path for path in paths if re.fullmatch(r"report/[^/]+\.[a-z]+", path)}
    made = {
        path
        for path in paths
        if not path.startswith((PACKAGE, "data/params/")) and path != "params.yaml"
    }
    return made - own, parts | own


@pytest.fixture(scope="module")
def in_snakemake(finished: Workplace) -> dict[str, Stage]:
    """The jobs as Snakemake recorded them."""
    stages: dict[str, Stage] = {}
    rows = finished.run("snakemake", "--detailed-summary").stdout.splitlines()
    for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE):
        inputs, sources = sorted_out(row["input-file(s)"].split(","))
        command = re.sub(r"^printf .* \| | &> .*$", "", row["shellcmd"])
        # DVC pipes nothing: what Snakemake gives a job of params.yaml, DVC has from its own stage in a file.
        command = re.sub(
            r"--params - --(\w+) (\S+)", r"--params data/params/\1/\2.yaml --\1 \2", command
        )
        stage = stages.setdefault(row["rule"], Stage(command, inputs, sources=sources))
        stage.outputs.add(row["output_file"])
    return stages


@pytest.fixture(scope="module")
def in_dvc(finished: Workplace) -> dict[str, Any]:
    """The stages of dvc.yaml with their templates filled in, as DVC locks them."""
    finished.run("git", "init", "--quiet")
    finished.run("latentbench", "split", "--params", "params.yaml", "--output", "data/params")
    committed = finished.run("dvc", "commit", "--force", "--no-relink", "--quiet")
    assert committed.returncode == 0, committed.stderr
    lock: dict[str, Any] = yaml.safe_load((finished.folder / "dvc.lock").read_text())["stages"]
    return lock


def dvc_stage(locked: dict[str, Any]) -> Stage:
    inputs, sources = sorted_out([dep["path"] for dep in locked.get("deps", [])])
    configs = {path for path in locked.get("params", {}) if path != "params.yaml"}
    return Stage(locked["cmd"], inputs | configs, {out["path"] for out in locked["outs"]}, sources)


def test_both_engines_have_the_same_stages_and_commands(
    in_snakemake: dict[str, Stage], in_dvc: dict[str, Any]
) -> None:
    assert {name: stage.command for name, stage in in_snakemake.items()} == {
        name: locked["cmd"] for name, locked in in_dvc.items() if name != "split"
    }


def test_dvc_splits_the_params_that_its_stages_read(in_dvc: dict[str, Any]) -> None:
    assert dvc_stage(in_dvc["split"]).sources == set(SOURCES["split"])
    for name, locked in in_dvc.items():
        read = [
            dep["path"] for dep in locked.get("deps", []) if dep["path"].startswith("data/params/")
        ]
        assert read == re.findall(r"--params (data/params/\S+)", locked["cmd"]), name


def test_both_engines_name_the_same_files(
    in_snakemake: dict[str, Stage], in_dvc: dict[str, Any]
) -> None:
    for name, ours in in_snakemake.items():
        theirs = dvc_stage(in_dvc[name])
        assert_covers(theirs.outputs, ours.outputs)
        assert_covers(theirs.inputs, ours.inputs)
        assert theirs.sources == ours.sources, name


def assert_covers(places: set[str], files: set[str]) -> None:
    """Each file is one of the places or lies in one; each place holds some file."""
    held = {
        file: {place for place in places if f"{file}/".startswith(f"{place}/")} for file in files
    }
    assert all(len(holders) == 1 for holders in held.values()), held
    assert set().union(*held.values()) == places


def test_both_engines_read_the_same_settings(in_dvc: dict[str, Any]) -> None:
    for name, locked in in_dvc.items():
        for path, values in locked.get("params", {}).items():
            if path != "params.yaml":
                assert set(values) == set(SETTINGS[stage_of(name)]), name


def test_sources_are_what_each_stage_imports() -> None:
    graph = grimp.build_graph("latentbench")
    commands = ast.parse((ROOT / PACKAGE / "cli.py").read_text())
    functions = {node.name: node for node in commands.body if isinstance(node, ast.FunctionDef)}
    for stage, sources in SOURCES.items():
        entries = {
            node.module for node in ast.walk(functions[stage]) if isinstance(node, ast.ImportFrom)
        }
        modules = entries.union(*(graph.find_upstream_modules(entry) for entry in entries))
        parts = {module.split(".")[1] for module in modules if "." in module}
        listed = {source.removesuffix(".py") for source in sources}
        assert parts <= listed, f"{stage} also runs {parts - listed}"
        base = {source.removesuffix(".py") for source in SOURCES["configure"]}
        assert listed - base <= parts, f"{stage} does not run {listed - base - parts}"


def test_the_schema_is_the_one_of_the_code() -> None:
    generated = CliRunner().invoke(main, ["schema"]).output
    assert (ROOT / "workflow/schemas/params.schema.json").read_text() == generated, (
        "make it anew: latentbench schema > workflow/schemas/params.schema.json"
    )


def test_dvc_takes_over_what_snakemake_made(finished: Workplace, in_dvc: dict[str, Any]) -> None:
    status = finished.run("dvc", "status", "--quiet")
    assert status.returncode == 0, finished.run("dvc", "status").stdout


def test_dvc_runs_again_what_a_learning_rate_concerns(
    workplace: Workplace, in_dvc: dict[str, Any]
) -> None:
    workplace.edit("params.yaml", "name: vae,", "name: vae, learning_rate: 5.0e-4,")
    said = workplace.run("dvc", "repro").stdout
    concerned = {
        f"{stage}@vae" for stage in ("configure_experiment", "train", "evaluate", "explore")
    }
    # A study's members stand beside it, so DVC resolves it after a change of any.
    assert set(re.findall("Running stage '(.*)'", said)) == concerned | {
        "split",
        "configure_study@tiny",
        "report@tiny",
        "handin@tiny",
    }

    touched = workplace.snakemake("--touch", "--forceall", "--quiet", "all")
    assert workplace.wanted() == set(), touched
    workplace.edit("params.yaml", "learning_rate: 5.0e-4,", "learning_rate: 6.0e-4,")
    assert "train@vae" in workplace.wanted()
