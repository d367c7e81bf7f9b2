"""A forecast in words."""

from __future__ import annotations

from collections.abc import Iterator

from latentbench.artifacts.dependencies import OF_EXPERIMENTS
from latentbench.forecast.forecast import Forecast

STAGES = ("prepare", "reference", *OF_EXPERIMENTS, "report")


def lines(study: str, forecast: Forecast) -> Iterator[str]:
    """A table of minutes by subject and stage, then what they come to."""
    subjects = list(dict.fromkeys(job.subject for job in forecast.jobs))
    width = max(len("minutes"), *map(len, subjects))
    yield "  ".join([f"{'minutes':{width}}", *(f"{stage:>9}" for stage in STAGES), f"{'MB':>9}"])
    for subject in subjects:
        own = {job.stage: job for job in forecast.jobs if job.subject == subject}
        cells = [
            f"{own[stage].seconds / 60:9.1f}" if stage in own else f"{'':9}" for stage in STAGES
        ]
        megabytes = sum(job.disk_bytes for job in own.values()) / 1e6
        yield "  ".join([f"{subject:{width}}", *cells, f"{megabytes:9,.0f}"])
    yield (
        f"{study}: {len(forecast.jobs)} jobs; {duration(forecast.seconds)} one after another, "
        f"{duration(forecast.critical_seconds)} with as many machines like this one as it can use; "
        f"{forecast.disk_bytes / 1e9:,.2f} GB. Downloads do not count."
    )


def duration(seconds: float) -> str:
    """`12 min` or `3.4 h`: a forecast is no more exact."""
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
