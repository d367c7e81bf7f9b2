"""Snakemake and DVC have the same stages: names, commands, files, settings and sources."""

from __future__ import annotations

import ast
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname
from typing import Any

import grimp
import pytest
import yaml
from click.testing import CliRunner

from latentbench.artifacts.dependencies import SOURCES
from latentbench.cli import main
from tests.workflow.conftest import ROOT, Workplace, job_name

# All on one worker, which makes the workplace once.
pytestmark = pytest.mark.slow

PACKAGE = "src/latentbench/"


@dataclass
class Stage:
    """A stage of either engine: `sources` are parts of the package and the report's own files."""

    command: str
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)


def split_sources(paths: list[str]) -> tuple[set[str], set[str]]:
    """Return the files that other stages write, and the sources."""
    sources = set()
    written = set()
    for path in paths:
        if path.startswith(PACKAGE):
            sources.add(path.removeprefix(PACKAGE).partition("/")[0])
        elif re.fullmatch(r"report/[^/]+\.[a-z]+", path):
            sources.add(path)
        elif not path.startswith("data/params/") and path != "params.yaml":
            written.add(path)
    return written, sources


@pytest.fixture(scope="module")
def in_snakemake(finished: Workplace) -> dict[str, Stage]:
    """The jobs as Snakemake recorded them."""
    stages: dict[str, Stage] = {}
    for row in finished.summary(detailed=True):
        inputs, sources = split_sources(row["input-file(s)"].split(","))
        command = re.sub(r"^printf .* \| | &> .*$", "", row["shellcmd"])
        # DVC has no pipes: what Snakemake pipes into a job, DVC's stage `split` writes into a file.
        command = re.sub(
            r"--params - --(\w+) (\S+)", r"--params data/params/\1/\2.yaml --\1 \2", command
        )
        command = re.sub(r"\$\(dirname (\S+)\)", lambda match: dirname(match[1]), command)
        name = job_name(row["rule"], row["output_file"])
        stage = stages.setdefault(name, Stage(command, inputs - {""}, sources=sources))
        stage.outputs.add(row["output_file"])
    return stages


@pytest.fixture(scope="module")
def in_dvc(finished: Workplace) -> dict[str, Any]:
    """The stages of dvc.yaml with their templates filled in, as DVC locks them."""
    finished.run("git", "init", "--quiet")
    finished.run("latentbench", "split", "--params", "params.yaml", "--output", "data/params")
    for name in ("vae", "dcgan", "wgan-gp"):  # as workflow/scripts/sync.py does
        for kind in ("repeats", "search"):
            (finished.folder / "results" / "tiny" / name / kind).mkdir(exist_ok=True)
    committed = finished.run("dvc", "commit", "--force", "--no-relink", "--quiet")
    assert committed.returncode == 0, committed.stderr
    lock: dict[str, Any] = yaml.safe_load((finished.folder / "dvc.lock").read_text())["stages"]
    return lock


def dvc_stage(locked: dict[str, Any]) -> Stage:
    inputs, sources = split_sources([dep["path"] for dep in locked.get("deps", [])])
    return Stage(locked["cmd"], inputs, {out["path"] for out in locked["outs"]}, sources)


def test_both_engines_run_the_same_stages_and_commands(
    in_snakemake: dict[str, Stage], in_dvc: dict[str, Any]
) -> None:
    ours = {name: stage.command for name, stage in in_snakemake.items()}
    theirs = {name: locked["cmd"] for name, locked in in_dvc.items() if name != "split"}
    assert in_both(ours) == in_both(theirs)


def in_both(stages: dict[str, Any]) -> dict[str, Any]:
    """Return the stages that both engines have.

    DVC has one for all repeats of an experiment, and one for its search.
    """
    return {
        name: stage
        for name, stage in stages.items()
        if not name.startswith(("configure", "repeat@", "search@", "select@"))
        and "/repeats/" not in name
        and "/search/" not in name
    }


def test_dvc_splits_the_params_that_its_stages_read(in_dvc: dict[str, Any]) -> None:
    for name, locked in in_dvc.items():
        read = [
            dep["path"] for dep in locked.get("deps", []) if dep["path"].startswith("data/params/")
        ]
        assert read == re.findall(r"--params (data/params/\S+)", locked["cmd"]), name


def test_both_engines_name_the_same_files(
    in_snakemake: dict[str, Stage], in_dvc: dict[str, Any]
) -> None:
    for name, ours in in_both(in_snakemake).items():
        theirs = dvc_stage(in_dvc[name])
        if name == "walkthrough@tiny":
            # DVC cannot name the dataset of a study. The results, which it names, depend on it.
            ours.inputs.discard("data/prepared/digits")
        assert_covers(theirs.outputs, ours.outputs)
        assert_covers(theirs.inputs, ours.inputs)
    configured: list[set[str]] = [set(), set()]
    for stages, outputs in zip((in_snakemake, in_dvc), configured, strict=True):
        for name, stage in stages.items():
            is_of_another = "/repeats/" in name or "search" in name
            if name.startswith("configure") and not is_of_another:
                outputs.update(
                    stage.outputs if isinstance(stage, Stage) else dvc_stage(stage).outputs
                )
    assert_covers(configured[1], configured[0])


@pytest.mark.parametrize(
    ("stage", "place"), [("repeat@vae", "vae/repeats"), ("search@dcgan", "dcgan/search")]
)
def test_a_stage_of_dvc_makes_all_further_trainings_of_an_experiment(
    workplace: Workplace,
    in_snakemake: dict[str, Stage],
    in_dvc: dict[str, Any],
    stage: str,
    place: str,
) -> None:
    folder = f"results/tiny/{place}"
    outputs = [file for each in in_snakemake.values() for file in each.outputs]
    assert_covers(dvc_stage(in_dvc[stage]).outputs, {f for f in outputs if f.startswith(folder)})
    before = contents(workplace.folder / folder)
    shutil.rmtree(workplace.folder / folder)
    result = workplace.run(*in_dvc[stage]["cmd"].split())
    assert result.returncode == 0, result.stderr
    assert contents(workplace.folder / folder) == before
    assert contents(workplace.folder / "results/tiny/wgan-gp" / Path(place).name) == {}


def test_both_engines_configure_what_a_search_selects(
    workplace: Workplace, in_dvc: dict[str, Any]
) -> None:
    """The fake stage selects the last trial."""
    folder = workplace.folder / "results" / "tiny" / "dcgan"
    configs = {path: path.read_text() for path in folder.glob("config*/*.yaml")}
    configs[folder / "config.yaml"] = (folder / "config.yaml").read_text()
    for text in configs.values():
        assert yaml.safe_load(text)["model"]["learning_rate"] == 1e-3
    trial = folder / "search" / "1" / "config" / "train.yaml"
    assert yaml.safe_load(trial.read_text())["model"]["learning_rate"] == 2e-4
    for path in configs:
        path.unlink()
    result = workplace.run(*in_dvc["configure_experiment@dcgan"]["cmd"].split())
    assert result.returncode == 0, result.stderr
    assert {path: path.read_text() for path in configs} == configs


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file that is not hidden, by path within the folder."""
    files = [path for path in sorted(folder.rglob("[!.]*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def assert_covers(places: set[str], files: set[str]) -> None:
    """Each file is one of the places or lies in one; each place holds some file."""
    held = {
        file: {place for place in places if f"{file}/".startswith(f"{place}/")} for file in files
    }
    assert all(len(holders) == 1 for holders in held.values()), held
    assert set().union(*held.values()) == places


def test_dvc_depends_on_the_sources_that_each_stage_runs(
    in_snakemake: dict[str, Stage], in_dvc: dict[str, Any]
) -> None:
    """Snakemake's rules have the digest of the same sources among their params."""
    for name, locked in in_dvc.items():
        stage = name.partition("@")[0].partition("_")[0]
        templates = in_snakemake[name].sources if name in in_snakemake else set()
        assert dvc_stage(locked).sources == set(SOURCES[stage]) | templates, name


def test_the_zip_depends_on_the_whole_package() -> None:
    parts = {path.name for path in (ROOT / PACKAGE).iterdir()}
    assert set(SOURCES["handin"]) == parts - {"__pycache__", "py.typed"}


def test_sources_are_what_each_stage_imports() -> None:
    graph = grimp.build_graph("latentbench")
    commands = ast.parse((ROOT / PACKAGE / "cli" / "stages.py").read_text())
    functions = {node.name: node for node in commands.body if isinstance(node, ast.FunctionDef)}
    for stage, sources in SOURCES.items():
        # `repeat` and `search` start other stages.
        started = {"repeat": ("train", "evaluate"), "search": ("train", "select")}
        run = (stage, *started.get(stage, ()))
        nodes = [node for name in run for node in ast.walk(functions[name])]
        entries = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        modules = entries.union(*(graph.find_upstream_modules(entry) for entry in entries))
        parts = {module.split(".")[1] for module in modules if "." in module}
        listed = {source.removesuffix(".py") for source in sources}
        assert parts <= listed, f"{stage} also runs {parts - listed}"
        base = {source.removesuffix(".py") for source in SOURCES["configure"]}
        # The notebook of `walkthrough` runs these, and `handin` packs all.
        base |= {"walkthrough": {"models", "runtime", "inference"}, "handin": listed}.get(
            stage, set()
        )
        assert listed - base <= parts, f"{stage} does not run {listed - base - parts}"


def test_the_schema_is_the_one_of_the_code() -> None:
    generated = CliRunner().invoke(main, ["schema"]).output
    assert (ROOT / "workflow/schemas/params.schema.json").read_text() == generated, (
        "make it anew: latentbench schema > workflow/schemas/params.schema.json"
    )


def test_dvc_accepts_the_results_of_snakemake(finished: Workplace, in_dvc: dict[str, Any]) -> None:
    status = finished.run("dvc", "status")
    assert "up to date" in status.stdout, status.stdout


def test_dvc_reruns_what_depends_on_a_change(workplace: Workplace, in_dvc: dict[str, Any]) -> None:
    workplace.edit("params.yaml", "name: vae,", "name: vae, learning_rate: 5.0e-4,")
    edited = yaml.safe_load((workplace.folder / "params.yaml").read_text())
    edited["experiments"]["dcgan"]["evaluation"] = {"num_samples": 201}
    (workplace.folder / "params.yaml").write_text(yaml.safe_dump(edited, sort_keys=False))
    output = workplace.run("dvc", "repro").stdout
    # The params of a study's experiments are among those of the study, which are resolved again.
    assert set(re.findall("Running stage '(.*)'", output)) == {
        *("split", "configure_experiment@vae", "configure_experiment@dcgan"),
        *("configure_study@tiny", "train@vae", "evaluate@vae", "explore@vae", "evaluate@dcgan"),
        *("repeat@vae", "repeat@dcgan", "search@vae", "search@dcgan"),
        *("walkthrough@tiny", "report@tiny", "handin@tiny"),
    }
    notebook = workplace.folder / "report" / "comparison.ipynb"
    notebook.write_text(notebook.read_text() + "\n")
    status = json.loads(workplace.run("dvc", "status", "--json").stdout)
    assert set(status) == {"report@tiny"}
