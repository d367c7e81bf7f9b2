"""Many experiments: `snakemake -n` and `dvc repro --dry` against the same jobs without parameters.

The experiments are VAEs with different learning rates, on one dataset, in ten studies. The baseline
for Snakemake is a Snakefile with a rule per job, which has the job's input and output files and
nothing else. Nothing has been run on either side. A second line is the start of Snakemake within a
job of a cluster: it lists the rules. The baseline for DVC is a dvc.yaml with the same stages,
written out without templates. DVC's dry run ends at the first missing input, so `params.yaml` is
split first, and DVC plans to configure every experiment.
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
PLAIN = """
import json
from pathlib import Path

JOBS = json.loads(Path("rules.json").read_text())
INPUTS = {file for job in JOBS.values() for file in job["input"]}

rule all:
    input: [file for job in JOBS.values() for file in job["output"] if file not in INPUTS]

for name, files in JOBS.items():
    rule:
        name: name
        input: files["input"]
        output: files["output"]
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
    """Return params with this number of tiny VAEs."""
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
    """Copy the repository's files, including uncommitted changes."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)


def called(folder: Path, *command: str) -> str:
    # If Slurm's plugin is installed, Snakemake queries the cluster at each start. There is none.
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
    (plain / "Snakefile").write_text(PLAIN)
    (plain / "rules.json").write_text(json.dumps(jobs_of(ours)))
    dry = ("snakemake", "--dry-run")
    turns = take_turns(lambda: called(ours, *dry), lambda: called(plain, *dry), number_of_turns)
    jobs, plain_jobs = number_of_jobs(turns.ours), number_of_jobs(turns.theirs)
    assert jobs == plain_jobs, (jobs, plain_jobs)
    show(f"snakemake -n of {jobs:,} jobs", turns)
    start = ("snakemake", "--list-rules")
    turns = take_turns(lambda: called(ours, *start), lambda: called(plain, *start), number_of_turns)
    show("snakemake within one job", turns)


def number_of_jobs(output: str) -> int:
    """Return the total of the table that a dry run prints."""
    return int(output.rpartition("\ntotal")[2].split()[0])


def jobs_of(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return the input and output files of each job, as a dry run prints them."""
    jobs: list[dict[str, list[str]]] = []
    for line in called(folder, "snakemake", "--dry-run").splitlines():
        key, _, files = line.strip().partition(": ")
        if line.startswith(("rule ", "localrule ")):
            jobs.append({"input": [], "output": []})
        elif jobs and key in jobs[-1]:
            jobs[-1][key] = files.split(", ")
    return {f"job_{index}": job for index, job in enumerate(jobs) if job["output"]}


def compare_dvc(ours: Path, plain: Path, number_of_turns: int) -> None:
    stages = written_out(ours)
    (plain / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    for folder in (ours, plain):
        called(folder, "latentbench", "split", "--params", "params.yaml", "--output", "data/params")
    turns = take_turns(lambda: dry_run(ours), lambda: dry_run(plain), number_of_turns)
    assert turns.ours == turns.theirs != []
    show(f"dvc repro --dry of {len(stages):,} stages", turns)


def dry_run(folder: Path) -> list[str]:
    """Return the stages that DVC would run."""
    command = [str(BIN / "dvc"), "repro", "--dry"]
    said = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True).stdout
    return [
        line.split("'")[1].replace("-of-", "@")
        for line in said.splitlines()
        if line.startswith("Running stage")
    ]


def written_out(folder: Path) -> dict[str, Any]:
    """Return the stages of dvc.yaml without templates, under names that need no `foreach`."""
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


def show(what: str, turns: Turns) -> None:
    ratios = [1 / ratio for ratio in turns.ratios]
    print(
        f"scale     {what}, latentbench {turns.ours_s:.1f} s, plain {turns.theirs_s:.1f} s, "
        f"ratio {sorted(ratios)[len(ratios) // 2]:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
