"""What `latentbench plan` foretells of a study against what it then takes: seconds of each stage, job by job.

The study runs in a copy of this checkout, one job at a time, so that a job has the machine to itself as the forecast
supposes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from latentbench.config.load import read_params
from latentbench.forecast.forecast import forecast
from latentbench.forecast.rates import seconds_to_start

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", nargs="?", default="demo")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--budget", choices=["full", "small"], default="small")
    arguments = parser.parse_args()
    params = read_params(arguments.params).model_copy(update={"budget": arguments.budget})
    start = seconds_to_start()
    found = forecast(
        params, arguments.study, Path("nowhere"), seconds_to_start=start, tell=lambda _: None
    )
    foretold: dict[str, float] = defaultdict(float)
    for job in found.jobs:
        foretold[job.stage] += job.seconds
    taken = run(arguments.study, arguments.params.resolve(), arguments.budget)
    for stage, seconds in taken.items():
        print(row(stage, foretold[stage], seconds))
    print(row("all but the report", sum(foretold[stage] for stage in taken), sum(taken.values())))


def row(what: str, foretold: float, taken: float) -> str:
    return f"forecast  {what}: {foretold:.0f} s foretold, {taken:.0f} s taken, ratio {foretold / taken:.2f}"


def run(study: str, params: Path, budget: str) -> dict[str, float]:
    """Seconds by stage, from the records that the stages leave."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkout"
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        command = [
            str(Path(sys.executable).parent / "snakemake"),
            "-j1",
            "--configfile",
            str(params),
        ]
        command += ["--config", f"budget={budget}", "--quiet", "all", "--", study]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        taken: dict[str, float] = defaultdict(float)
        records = [
            *folder.glob("data/provenance/*/*.json"),
            *folder.glob(f"results/{study}/*/provenance/*.json"),
        ]
        for record in map(json.loads, (path.read_text() for path in records)):
            taken[record["stage"]] += record["cost"]["wall_seconds"]
    return dict(taken)


if __name__ == "__main__":
    main()
