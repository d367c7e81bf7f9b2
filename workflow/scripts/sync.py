"""Let one engine record what the other has made, or say in a sentence why that would record something untrue.

sync.py dvc STUDY          after Snakemake: DVC records the results
sync.py snakemake STUDY    after DVC: Snakemake takes them as its own
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

from latentbench.config.load import read_params
from latentbench.errors import ConfigError

RECORDS = Path(".snakemake/metadata")
SPLIT = "data/params"
# What both engines read, whatever profile the environment names.
PARAMS = ("--configfile", "params.yaml", "--")


def main() -> None:
    engine, study = sys.argv[1:]
    try:
        studies = read_params(Path("params.yaml")).studies
    except ConfigError as error:
        refuse(str(error))
    if study not in studies:
        refuse(f"params.yaml has no study {study}; it has {', '.join(studies)}")
    {"dvc": to_dvc, "snakemake": to_snakemake}[engine](study)


def to_dvc(study: str) -> None:
    """`dvc commit` records what lies there, so all of it must be what Snakemake's jobs left, and nothing else."""
    makers = made_by_snakemake(study)
    if missing := [file for file in makers if not Path(file).exists()]:
        refuse(f"{listed(missing)} is missing: snakemake {study} --forcerun {makers[missing[0]]}")
    times = recorded_times()
    if changed := [
        file for file in makers if abs(Path(file).stat().st_mtime - times.get(file, 0)) > 1e-3
    ]:
        refuse(
            f"{listed(changed)} is not as Snakemake left it. If DVC made it: make sync-snakemake STUDY={study}; "
            f"else make it again: snakemake {study} --forcerun {makers[changed[0]]}"
        )
    if strays := strays_among(makers, study):
        refuse(
            f"{listed(strays)} comes from no job, and DVC would keep it with what does: move it away"
        )
    # The stage that DVC alone has, so that it need not read all of params.yaml for each of the others.
    shutil.rmtree(SPLIT, ignore_errors=True)
    run("latentbench", "split", "--params", "params.yaml", "--output", SPLIT)
    stages = ("--with-deps", f"report@{study}")
    # Relinking would write files anew that Snakemake knows by their time.
    run("dvc", "commit", "--force", "--no-relink", "--quiet", *stages)
    run("dvc", "status", *stages)


def to_snakemake(study: str) -> None:
    """`snakemake --touch` takes what lies there, so all of it must be what dvc.lock says."""
    changed = json.loads(
        run("dvc", "status", "--json", "--with-deps", f"report@{study}", quiet=True)
    )
    if changed:
        refuse(f"DVC still has to run {listed(changed)}: dvc repro report@{study}")
    run("snakemake", "--touch", "--forceall", "--quiet", "all", *PARAMS, study, quiet=True)
    made_by_snakemake(study)
    print("Snakemake takes them as its own.")


def made_by_snakemake(study: str) -> dict[str, str]:
    """The study's files with the rules that make them, once no job is left to run."""
    said = run("snakemake", "--summary", *PARAMS, study, quiet=True)
    rows = list(csv.DictReader(said.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    if pending := dict.fromkeys(row["rule"] for row in rows if row["plan"] != "no update"):
        refuse(f"Snakemake still has to run {listed(pending)}: snakemake {study}")
    return {row["output_file"]: row["rule"] for row in rows}


def recorded_times() -> dict[str, float]:
    """When each file was written, as Snakemake noted after its job; its records are named by paths in base64."""
    records = [path for path in RECORDS.rglob("*") if path.is_file()]
    names = ("".join(path.relative_to(RECORDS).parts).replace("@", "") for path in records)
    return {
        urlsafe_b64decode(name).decode(): json.loads(path.read_text())["endtime"]
        for name, path in zip(names, records, strict=True)
    }


def strays_among(makers: dict[str, str], study: str) -> list[str]:
    """Files beside the results that no job lists; of what was fetched, jobs list only the manifest."""
    data = {
        str(Path(file).parent)
        for file in makers
        if file.startswith(("data/prepared/", "data/reference/"))
    }
    folders = map(Path, sorted({f"results/{study}", f"report/{study}", *data}))
    found = [
        str(path) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()
    ]
    strays = [path for path in found if path not in makers]
    if not strays:
        return []
    ignored = subprocess.run(
        ["dvc", "check-ignore", *strays], capture_output=True, text=True, check=False
    )
    return [path for path in strays if path not in ignored.stdout.splitlines()]


def listed(names: Iterable[str]) -> str:
    first, *others = names
    return f"{first} (and {len(others)} more)" if others else first


def run(*command: str, quiet: bool = False) -> str:
    """Its standard output; a command that fails ends this one with what it said."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        refuse(f"{' '.join(command[:2])} failed:\n{(result.stdout + result.stderr).strip()}")
    if not quiet:
        print(result.stdout, end="")
    return result.stdout


def refuse(sentence: str) -> NoReturn:
    sys.exit(f"Nothing is recorded: {sentence}")


if __name__ == "__main__":
    main()
