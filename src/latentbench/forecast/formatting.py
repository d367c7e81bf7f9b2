"""A forecast as text."""

from __future__ import annotations

from latentbench.artifacts.dependencies import OF_EXPERIMENTS
from latentbench.forecast.forecast import Forecast

STAGES = ("prepare", "reference", *OF_EXPERIMENTS, "select", "walkthrough", "report")


def format_forecast(study: str, forecast: Forecast) -> str:
    """Return a table of minutes by subject and stage, a line with the totals, and advice."""
    subjects = list(dict.fromkeys(job.subject for job in forecast.jobs))
    width = max(len("minutes"), *map(len, subjects))
    header = "".join(f"  {stage:>11}" for stage in (*STAGES, "MB"))
    lines = [f"{'minutes':{width}}{header}"]
    for subject in subjects:
        minutes, megabytes = dict.fromkeys(STAGES, ""), 0.0
        for job in forecast.jobs:
            if job.subject == subject:
                minutes[job.stage] = f"{job.seconds / 60:.1f}"
                megabytes += job.disk_bytes / 1e6
        row = "".join(f"  {cell:>11}" for cell in (*minutes.values(), f"{megabytes:,.0f}"))
        lines.append(f"{subject:{width}}{row}")
    one_by_one = format_duration(forecast.seconds)
    at_once = format_duration(forecast.critical_seconds)
    lines.append(
        f"{study}: {len(forecast.jobs)} jobs; {one_by_one} one after another, "
        f"{at_once} with as many machines like this one as needed; "
        f"{forecast.disk_bytes / 1e9:,.2f} GB. Downloads are not included."
    )
    return "\n".join([*lines, *forecast.advice])


def format_duration(seconds: float) -> str:
    """Return seconds as `12 min` or `3.4 h`, which is as precise as a forecast is."""
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
