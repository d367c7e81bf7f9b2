"""The signs of trouble that training named, by model and epochs, and by what they are told."""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.artifacts.thresholds import LOW_DIVERSITY, MIN_ACTIVE_FRACTION, SATURATED_ACCURACY
from latentbench.report.presentation.formatting import NBSP, listed
from latentbench.report.presentation.page import Table
from latentbench.report.results.columns import ABSENT, pipe_table
from latentbench.report.results.study import Experiment, Study

# As training names them, and when it does.
_SIGNS = {
    "mode collapse": f"samples differ from each other by less than {100 * LOW_DIVERSITY:.0f}{NBSP}% of what real "
    "images differ by (the mean distance between two)",
    "saturated discriminator": f"it is right on {100 * SATURATED_ACCURACY:.0f}{NBSP}% or more of the real and of the "
    "generated images that it is trained with",
    "posterior collapse": f"fewer than {100 * MIN_ACTIVE_FRACTION:.0f}{NBSP}% of the latent units carry anything of the image",
}


def table(study: Study) -> Table:
    """The epochs of each sign, a row per model that showed any."""
    troubled = [experiment for experiment in study.experiments if experiment.troubles]
    signs = [sign for sign in _SIGNS if any(_seen(experiment, sign) for experiment in troubled)]
    if not signs:
        return Table(None)
    rows = [
        [e.name, str(len(e.history)), *(epochs_listed(_seen(e, sign)) or ABSENT for sign in signs)]
        for e in troubled
    ]
    return Table(
        pipe_table(["Model", "Epochs", *(sign.capitalize() for sign in signs)], rows, texts=5)
    )


def verdict(study: Study) -> str:
    """Of which models no epoch showed any, and when a sign is seen; nothing where no training was watched."""
    watched = [experiment for experiment in study.experiments if experiment.history]
    free = [experiment.name for experiment in watched if not experiment.troubles]
    if not watched:
        return ""
    if len(free) == len(watched):
        none = "No epoch showed signs of trouble. "
    else:
        none = f"No epoch of {listed(free)} showed signs of trouble. " if free else ""
    criteria = "; ".join(f"{sign}, where {criterion}" for sign, criterion in _SIGNS.items())
    return f"{none}Signs, by the numbers of each epoch: {criteria}."


def epochs_listed(numbers: Sequence[int]) -> str:
    """`3`, `1 and 2`, `1 to 4 and 7`; nothing of none."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [
        part
        for run in runs
        for part in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))
    ]
    return listed(parts) if parts else ""


def _seen(experiment: Experiment, sign: str) -> list[int]:
    return [epoch for epoch, signs in experiment.troubles.items() if sign in _names(signs)]


def _names(signs: str) -> list[str]:
    return [sign.partition(":")[0] for sign in signs.split("; ")]
