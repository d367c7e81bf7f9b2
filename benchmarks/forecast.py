"""Accuracy of `latentbench plan`: forecast and measured seconds of each stage of a study.

The study runs in a clone of this repository, one job at a time, as the forecast assumes.
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
from latentbench.forecast.rates import measure_start_seconds

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", nargs="?", default="demo")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--budget", choices=["full", "small"], default="small")
    arguments = parser.parse_args()
    params = read_params(arguments.params).model_copy(update={"budget": arguments.budget})
    result = forecast(
        params,
        arguments.study,
        Path("no-prepared-data"),
        start_seconds=measure_start_seconds(),
        log=lambda _: None,
    )
    expected: dict[str, float] = defaultdict(float)
    for job in result.jobs:
        expected[job.stage] += job.seconds
    measured = run(arguments.study, arguments.params.resolve(), arguments.budget)
    total = 0.0
    for stage, seconds in measured.items():
        print(row(stage, expected[stage], seconds))
        total += expected[stage]
    print(row("all but the report", total, sum(measured.values())))


def row(stage: str, expected: float, measured: float) -> str:
    ratio = expected / measured
    return (
        f"forecast  {stage}: {expected:.0f} s forecast, {measured:.0f} s taken, ratio {ratio:.2f}"
    )


def run(study: str, params: Path, budget: str) -> dict[str, float]:
    """Run the study and return the seconds by stage, from the provenance records."""
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
        seconds: dict[str, float] = defaultdict(float)
        records = [
            *folder.glob("data/provenance/*/*.json"),
            *folder.glob(f"results/{study}/*/provenance/*.json"),
        ]
        for path in records:
            record = json.loads(path.read_text())
            seconds[record["stage"]] += record["cost"]["wall_seconds"]
    return dict(seconds)


if __name__ == "__main__":
    main()
