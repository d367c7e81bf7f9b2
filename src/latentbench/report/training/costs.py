"""What a study took: time, work and memory of each stage and experiment, and their sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentbench.artifacts.dependencies import OF_EXPERIMENTS
from latentbench.report.presentation.formatting import duration
from latentbench.report.presentation.page import Table
from latentbench.report.results.tables import ABSENT, pipe_table
from latentbench.results.study import Study

ResourceUsage = Mapping[str, Any]

TITLES = {"train": "Training", "evaluate": "Evaluation", "explore": "Exploration"}


def table(study: Study) -> Table:
    """A row per experiment: the time of each stage, that of all, processor time and memory; then the study's."""
    present, notes = study.with_files("cost", "train", lambda e: e.costs)
    if not present:
        return Table(None, notes)
    rows = [[e.name, *_cells([e.costs.get(stage) for stage in OF_EXPERIMENTS])] for e in present]
    if len(present) > 1:
        by_stage = [
            _together([e.costs[stage] for e in present if stage in e.costs])
            for stage in OF_EXPERIMENTS
        ]
        rows.append(["*all*", *_cells(by_stage)])
    header = [
        "Model",
        *(TITLES[stage] for stage in OF_EXPERIMENTS),
        "Together",
        "Processor time",
        "Memory (MB)",
    ]
    return Table(pipe_table(header, rows, texts=1), notes)


def _cells(costs: Sequence[ResourceUsage | None]) -> list[str]:
    whole = _together([cost for cost in costs if cost])
    times = [duration(cost["wall_seconds"]) if cost else ABSENT for cost in costs]
    assert whole is not None  # an experiment that is present has a record
    memory = f"{whole['peak_memory_mb']:,.0f}"
    return [*times, duration(whole["wall_seconds"]), duration(whole["cpu_seconds"]), memory]


def _together(costs: Sequence[ResourceUsage]) -> ResourceUsage | None:
    """Times add up; of memory it is the most that one job held."""
    if not costs:
        return None
    times = {key: sum(cost[key] for cost in costs) for key in ("wall_seconds", "cpu_seconds")}
    return times | {"peak_memory_mb": max(cost["peak_memory_mb"] for cost in costs)}
