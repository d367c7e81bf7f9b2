"""How long the jobs of a study take on some cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The stages whose jobs a stage waits for: of the whole study, or of the same training.
_AFTER_ALL = {
    "prepare": ("fetch",),
    "reference": ("fetch", "prepare"),
    "train": ("fetch", "prepare"),
    "select": ("reference",),
    "evaluate": ("reference",),
    "explore": ("reference",),
}
_LAST = ("walkthrough", "report", "handin")
# As the rules of Snakemake have it: trainings start first.
_PRIORITIES = {"train": 2, "select": 2, "reference": 1}


@dataclass(frozen=True)
class Work:
    """A job that runs or waits, with the seconds that it still takes."""

    stage: str
    subject: str
    seconds: float
    is_running: bool = False


def makespan(jobs: Sequence[Work], num_slots: int) -> float:
    """Return the seconds until all jobs are done, `num_slots` of them at once.

    A waiting job starts when a slot is free and the jobs that it needs are done, in the order of
    the rules' priorities. Trainings wait until all datasets are prepared.
    """
    waiting = sorted(
        (job for job in jobs if not job.is_running),
        key=lambda job: -_PRIORITIES.get(job.stage, 0),
    )
    ends = [(job.seconds, job) for job in jobs if job.is_running]
    now = 0.0
    while waiting or ends:
        unfinished = [*waiting, *(job for _, job in ends)]
        ready = [job for job in waiting if not _waits(job, unfinished)]
        for job in ready[: max(0, num_slots - len(ends))]:
            waiting.remove(job)
            ends.append((now + job.seconds, job))
        if not ends:  # they need jobs that are not among these
            return now + sum(job.seconds for job in waiting)
        first = min(ends, key=lambda end: end[0])
        ends.remove(first)
        now = first[0]
    return now


def _waits(job: Work, unfinished: Sequence[Work]) -> bool:
    """Return whether a job needs one of the unfinished ones."""
    return any(_needs(job, other) for other in unfinished)


def _needs(job: Work, other: Work) -> bool:
    if job.stage in _LAST:
        return other.stage not in _LAST[_LAST.index(job.stage) :]
    if other.stage == "select" and job.stage == "train":
        experiment, _, kind = job.subject.partition("/")
        return other.subject == experiment and not kind.startswith("search/")
    return other.stage in _AFTER_ALL.get(job.stage, ()) or _is_training_of(job, other)


def _is_training_of(job: Work, other: Work) -> bool:
    if other.stage != "train":
        return False
    if job.stage == "select":
        return other.subject.startswith(f"{job.subject}/search/")
    return job.stage in ("evaluate", "explore") and other.subject == job.subject
