"""Time and memory that each stage of each experiment took."""

from __future__ import annotations

from latentbench.artifacts.dependencies import OF_EXPERIMENTS
from latentbench.artifacts.paths import SEARCH
from latentbench.results import Study, Table
from latentbench.results.formatting import duration, escape_markdown
from latentbench.results.quantities import format_integer
from latentbench.results.tables import ABSENT, pipe_table

TITLES = {"train": "Training", "evaluate": "Evaluation", "explore": "Exploration"}


def table(study: Study) -> Table:
    """Return a row per experiment, and one for all: seconds by stage, their sum, memory.

    They are sums over the trainings of an experiment.
    """
    costs = study.costs
    present, notes = study.with_rows(costs, "cost", "train")
    if not present:
        return Table(None, notes)
    grouped = costs.groupby("experiment", sort=False)
    times = costs.groupby(["experiment", "stage"])["wall_seconds"].sum().unstack()
    stages = [SEARCH, *OF_EXPERIMENTS] if SEARCH in times else list(OF_EXPERIMENTS)
    times = times.reindex(costs["experiment"].unique()).reindex(columns=stages)
    times = times.rename(columns=TITLES | {SEARCH: SEARCH.capitalize()})
    times["Together"] = grouped["wall_seconds"].sum()
    times["Processor time"] = grouped["cpu_seconds"].sum()
    memory = grouped["peak_memory_mb"].max()
    times, memory = times.rename(index=escape_markdown), memory.rename(index=escape_markdown)
    if len(present) > 1:
        times.loc["*all*"] = times.sum()
        memory["*all*"] = memory.max()
    cells = times.map(duration, na_action="ignore").fillna(ABSENT)
    cells["Memory (MB)"] = memory.map(lambda megabytes: format_integer(megabytes, 0))
    return Table(pipe_table(cells.rename_axis("Model").reset_index(), num_text=1), notes)
