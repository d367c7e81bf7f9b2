"""Many experiments: what Snakemake takes to say what it would run, against what it takes for the same DAG alone.

The params are VAEs that differ in their learning rate, on one dataset, in ten studies. Ours is this checkout; the other
side is a Snakefile that has the same rules with the same files as inputs and outputs, read from what Snakemake made of
ours, and nothing else: no params, no resources, no Python package. Nothing has been run on either side.

A second line is of Snakemake within a job, which a cluster's node starts twice for each: to list the rules of one. A
third is DVC's dry run, against a dvc.yaml that has the same stages written out one by one. It ends at the first input
that is not there, so params.yaml is split first, and DVC comes to say that it would configure each experiment.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from turns import Turns, take_turns

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
STUDIES = 10
DUMP = """
import json
KINDS = ("input", "output", "log")
RULES = {rule.name: {kind: [*map(str, getattr(rule, kind))] for kind in KINDS} for rule in workflow.rules}
Path("rules.json").write_text(json.dumps(RULES))
"""
PLAIN = """
import json
from pathlib import Path

for name, files in json.loads(Path("rules.json").read_text()).items():
    rule:
        name: name
        input: files["input"]
        output: files["output"]
        log: files["log"]
        message: name
        shell: "touch {output}"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=1_000)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ours, plain = Path(name, "ours"), Path(name, "plain")
        for folder in (ours, plain):
            copy_checkout(folder)
            (folder / "params.yaml").write_text(yaml.safe_dump(params(arguments.experiments)))
        compare(ours, plain, arguments.turns)
        compare_dvc(ours, plain, arguments.turns)


def params(number: int) -> dict[str, Any]:
    """Tiny VAEs."""
    experiments = {
        f"vae-{index:04}": {
            "study": f"rates-{index % STUDIES}",
            "dataset": "digits",
            "model": {
                "name": "vae",
                "latent_dim": 16,
                "width": 8,
                "learning_rate": 1e-6 * (index + 1),
            },
        }
        for index in range(number)
    }
    return {
        "budget": "full",
        "studies": {
            f"rates-{index}": {"title": f"Learning rates, part {index}"} for index in range(STUDIES)
        },
        "datasets": {"digits": {"source": "glyphs", "num_train": 640, "num_test": 120}},
        "defaults": {"training": {"epochs": 2, "checkpoints": [1, 2]}},
        "experiments": experiments,
    }


def copy_checkout(folder: Path) -> None:
    """Its files as they are, committed or not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)


def called(folder: Path, *command: str) -> str:
    # Where Slurm's plugin is installed, Snakemake asks the cluster at each start: this one is none.
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "SLURM_CONF": os.devnull,
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed.\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def compare(ours: Path, plain: Path, number_of_turns: int) -> None:
    rules = rules_of(ours)
    (plain / "Snakefile").write_text(PLAIN)
    (plain / "rules.json").write_text(json.dumps(rules))
    dry = ("snakemake", "--dry-run")
    turns = take_turns(lambda: called(ours, *dry), lambda: called(plain, *dry), number_of_turns)
    wanted, also_wanted = (
        said.rpartition("\ntotal")[2].split()[0] for said in (turns.ours, turns.theirs)
    )
    assert wanted == also_wanted
    show(f"snakemake -n of {int(wanted):,} jobs", turns)

    within_job = (
        "snakemake",
        "--list-rules",
        "--allowed-rules",
        next(name for name in rules if name[:5] == "train"),
    )
    turns = take_turns(
        lambda: called(ours, *within_job), lambda: called(plain, *within_job), number_of_turns
    )
    show("snakemake within one job", turns)


def compare_dvc(ours: Path, plain: Path, number_of_turns: int) -> None:
    stages = written_out(ours)
    (plain / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    for folder in (ours, plain):
        called(folder, "latentbench", "split", "--params", "params.yaml", "--output", "data/params")
    turns = take_turns(lambda: dry_run(ours), lambda: dry_run(plain), number_of_turns)
    assert turns.ours == turns.theirs != []
    show(f"dvc repro --dry of {len(stages):,} stages", turns)


def dry_run(folder: Path) -> list[str]:
    """The stages that it would run."""
    command = [str(BIN / "dvc"), "repro", "--dry"]
    said = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True).stdout
    return [
        line.split("'")[1].replace("-of-", "@")
        for line in said.splitlines()
        if line.startswith("Running stage")
    ]


def written_out(folder: Path) -> dict[str, Any]:
    """Every stage of dvc.yaml with its template filled in, under a name that a stage outside of `foreach` may have."""
    entries = yaml.safe_load((folder / "params.yaml").read_text())
    stages: dict[str, Any] = {}
    for name, template in yaml.safe_load((folder / "dvc.yaml").read_text())["stages"].items():
        if "foreach" not in template:
            stages[name] = template
            continue
        for key, item in entries[template["foreach"][2:-1]].items():
            words = {"${key}": key} | {
                f"${{item.{word}}}": str(value) for word, value in item.items()
            }
            stages[f"{name}-of-{key}"] = filled(template["do"], words)
    return stages


def filled(part: Any, words: dict[str, str]) -> Any:
    if isinstance(part, dict):
        return {filled(key, words): filled(value, words) for key, value in part.items()}
    if isinstance(part, list):
        return [filled(each, words) for each in part]
    for word, value in words.items():
        part = part.replace(word, value) if isinstance(part, str) else part
    return part


def rules_of(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Inputs, outputs and log of each rule, as Snakemake has them; it does not say them of jobs with a message."""
    snakefile = folder / "Snakefile"
    own = snakefile.read_text()
    snakefile.write_text(own + DUMP)
    called(folder, "snakemake", "--list-rules")
    snakefile.write_text(own)
    rules: dict[str, dict[str, list[str]]] = json.loads((folder / "rules.json").read_text())
    return rules


def show(what: str, turns: Turns) -> None:
    ratios = [1 / ratio for ratio in turns.ratios]
    print(
        f"scale     {what}, latentbench {turns.ours_s:.1f} s, the same DAG alone {turns.theirs_s:.1f} s, "
        f"ratio {sorted(ratios)[len(ratios) // 2]:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
