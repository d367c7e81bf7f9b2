"""Many experiments: the time of a dry run, compared with the same DAG in a bare Snakefile.

The params are VAEs with different learning rates, on one dataset, in ten studies; nothing has been
run. The bare Snakefile (bare.smk) has the same rules, files and similar commands, and
nothing else: no params, threads or resources, no Python package.

A second line is the start of Snakemake within a job, which happens twice per job on a cluster. A
third is a dry run of DVC, compared with a dvc.yaml that has the same stages written out one by one.
DVC stops at the first missing input, so params.yaml is split first, and DVC reports the configure
stages.
"""

from __future__ import annotations

import argparse
import os
import re
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=1_000)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ours, bare = Path(name, "ours"), Path(name, "bare")
        for folder in (ours, bare):
            copy_checkout(folder)
            (folder / "params.yaml").write_text(yaml.safe_dump(params(arguments.experiments)))
        compare(ours, bare, arguments.turns)
        compare_dvc(ours, bare, arguments.turns)


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


def run(folder: Path, *command: str) -> str:
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


def compare(ours: Path, bare: Path, number_of_turns: int) -> None:
    """Time dry runs and the start of Snakemake within a job."""
    shutil.copy(bare / "benchmarks/bare.smk", bare / "Snakefile")
    dry = ("snakemake", "--dry-run", "--quiet", "rules", "host", "reason")
    turns = take_turns(lambda: run(ours, *dry), lambda: run(bare, *dry), number_of_turns)
    jobs, also_jobs = (job_counts(output) for output in (turns.ours, turns.theirs))
    assert jobs == also_jobs
    show(f"snakemake -n of {jobs['total']:,} jobs", turns)

    for folder in (ours, bare):
        (folder / "data/prepared/digits").mkdir(parents=True)
        config = folder / "results/rates-0/vae-0000/config/train.yaml"
        config.parent.mkdir(parents=True)
        config.touch()
    job = "train:study=rates-0,experiment=vae-0000"
    options = ("--allowed-rules", "train", "--force", "--nolock", "--dry-run", "--quiet", "all")
    within_job = ("snakemake", "--target-jobs", job, *options)
    turns = take_turns(
        lambda: run(ours, *within_job), lambda: run(bare, *within_job), number_of_turns
    )
    show("snakemake within one job", turns)


def job_counts(output: str) -> dict[str, int]:
    """Return the number of jobs per rule that a dry run prints."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}


def compare_dvc(ours: Path, bare: Path, number_of_turns: int) -> None:
    stages = written_out(ours)
    (bare / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    for folder in (ours, bare):
        run(folder, "latentbench", "split", "--params", "params.yaml", "--output", "data/params")
    turns = take_turns(lambda: dry_run(ours), lambda: dry_run(bare), number_of_turns)
    assert turns.ours == turns.theirs != []
    show(f"dvc repro --dry of {len(stages):,} stages", turns)


def dry_run(folder: Path) -> list[str]:
    """Return the stages that DVC would run."""
    command = [str(BIN / "dvc"), "repro", "--dry"]
    output = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True).stdout
    return [
        line.split("'")[1].replace("-of-", "@")
        for line in output.splitlines()
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
        f"scale     {what}, latentbench {turns.ours_s:.1f} s, bare {turns.theirs_s:.1f} s, "
        f"ratio {sorted(ratios)[len(ratios) // 2]:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
