"""Record the results of one engine in the other, or say in a sentence why they cannot be recorded.

sync.py dvc STUDY          after Snakemake: DVC records the results
sync.py snakemake STUDY    after DVC: Snakemake records the results
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from latentbench.artifacts.paths import REPEATS, SEARCH
from latentbench.config.load import read_params
from latentbench.errors import ConfigError

RECORDS = Path(".snakemake/metadata")
SPLIT = "data/params"
# Both engines must read the same params, whatever profile the environment names.
PARAMS = ("--configfile", "params.yaml", "--")
# Times of files are compared to this precision, in seconds.
TOLERANCE = 1e-3


def main() -> None:
    """Record the results of STUDY for ENGINE, `dvc` or `snakemake`."""
    engine, study = sys.argv[1:]
    try:
        params = read_params(Path("params.yaml"))
    except ConfigError as error:
        refuse(str(error))
    if study not in params.studies:
        refuse(f"params.yaml has no study {study}; it has {', '.join(params.studies)}")
    if engine == "dvc":
        to_dvc(study, params.study(study).experiments)
    else:
        to_snakemake(study)


def to_dvc(study: str, experiments: Iterable[str]) -> None:
    """Record the results with `dvc commit`, if each file is as Snakemake's job left it."""
    rules = files_of_snakemake(study)
    if missing := [file for file in rules if not Path(file).exists()]:
        refuse(f"{listed(missing)} is missing: snakemake {study} --forcerun {missing[0]}")
    times = recorded_times()
    if changed := [file for file in rules if is_changed(Path(file), times.get(file, 0))]:
        refuse(
            f"{listed(changed)} changed after Snakemake's job. If DVC changed it: "
            f"make sync-snakemake STUDY={study}; else: snakemake {study} --forcerun {changed[0]}"
        )
    if strays := files_without_rule(rules, study):
        refuse(f"No rule writes {listed(strays)}, but DVC would record it: move it away")
    # Only DVC has this stage, so that it does not read all of params.yaml for each of the others.
    shutil.rmtree(SPLIT, ignore_errors=True)
    run("latentbench", "split", "--params", "params.yaml", "--output", SPLIT)
    # Without repeats, a search or a walkthrough, DVC's folder is empty, and Snakemake makes none.
    for experiment in experiments:
        for name in (REPEATS, SEARCH):
            Path("results", study, experiment, name).mkdir(exist_ok=True)
    Path("walkthrough", study).mkdir(parents=True, exist_ok=True)
    stages = ("--with-deps", f"report@{study}")
    # Relinking would rewrite files, and Snakemake compares their times.
    run("dvc", "commit", "--force", "--no-relink", "--quiet", *stages)
    run("dvc", "status", *stages)


def to_snakemake(study: str) -> None:
    """Record the results with `snakemake --touch`, if all of them are as dvc.lock says."""
    changed = json.loads(
        run("dvc", "status", "--json", "--with-deps", f"report@{study}", quiet=True)
    )
    if changed:
        refuse(f"DVC still has to run {listed(changed)}: dvc repro report@{study}")
    run("snakemake", "--touch", "--forceall", "--quiet", "all", *PARAMS, study, quiet=True)
    files_of_snakemake(study)
    print("Snakemake has recorded the results.")


def files_of_snakemake(study: str) -> dict[str, str]:
    """Return the outputs of the study with their rules; refuse while a job has to run."""
    table = run("snakemake", "--summary", *PARAMS, study, quiet=True)
    rows = list(csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    if pending := dict.fromkeys(row["rule"] for row in rows if row["plan"] != "no update"):
        refuse(f"Snakemake still has to run {listed(pending)}: snakemake {study}")
    return {row["output_file"]: row["rule"] for row in rows}


def recorded_times() -> dict[str, float]:
    """Return when each output was written; Snakemake names its records by path in base64."""
    times = {}
    for record in RECORDS.rglob("*"):
        if record.is_file():
            name = "".join(record.relative_to(RECORDS).parts).replace("@", "")
            times[urlsafe_b64decode(name).decode()] = json.loads(record.read_text())["endtime"]
    return times


def is_changed(output: Path, recorded: float) -> bool:
    """Return whether a file has another time than recorded, or a folder any change after that."""
    if not output.is_dir():
        return abs(output.stat().st_mtime - recorded) > TOLERANCE
    # Deleting and adding files changes the time of the folder itself.
    newest = max(path.stat().st_mtime for path in (output, *output.rglob("*")))
    return newest > recorded + TOLERANCE


def files_without_rule(rules: dict[str, str], study: str) -> list[str]:
    """Return the files among the results and settings that no rule writes."""
    folders = {Path("results", study)}
    folders |= {Path(file).parent for file in rules if file.startswith("data/config/")}
    strays = []
    for folder in sorted(folders):
        for path in sorted(folder.rglob("*")):
            outputs = {str(path), *map(str, path.parents)}
            if path.is_file() and not outputs & rules.keys():
                strays.append(str(path))
    if not strays:
        return []
    ignored = subprocess.run(
        ["dvc", "check-ignore", *strays], capture_output=True, text=True, check=False
    )
    return [path for path in strays if path not in ignored.stdout.splitlines()]


def listed(names: Iterable[str]) -> str:
    """Return the first name and the number of the others."""
    first, *others = names
    return f"{first} (and {len(others)} more)" if others else first


def run(*command: str, quiet: bool = False) -> str:
    """Return the standard output of a command; refuse with its output if it fails."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        refuse(f"{' '.join(command[:2])} failed:\n{(result.stdout + result.stderr).strip()}")
    if not quiet:
        print(result.stdout, end="")
    return result.stdout


def refuse(sentence: str) -> NoReturn:
    """Exit with the reason for which nothing is recorded."""
    sys.exit(f"Nothing is recorded: {sentence}")


if __name__ == "__main__":
    main()
