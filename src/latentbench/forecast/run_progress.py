"""Progress of a run of the workflow, a line at a time: stage, model, epoch, time left.

The workflow engine reports which jobs start and end. How far a running job is stands in its log.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from latentbench.forecast.saved_forecast import Seconds
from latentbench.forecast.schedule import Work, makespan

# Stages by rule. Other rules take no time: they write settings, or name a target.
STAGES = {
    "fetch": "fetch",
    "prepare": "prepare",
    "reference": "reference",
    "train": "train",
    "train_trial": "train",
    "select": "select",
    "evaluate": "evaluate",
    "explore": "explore",
    "walkthrough": "walkthrough",
    "report": "report",
    "handin": "handin",
}
# A running job has a line at this interval, and long jobs have fewer lines.
SECONDS_BETWEEN_LINES = 10.0
_SHARE_BETWEEN_LINES = 0.03  # of the job's time so far
# Most that finished jobs change the forecast of others: a short job may have waited for the disk.
_LARGEST_CORRECTION = 4.0
# Jobs of one stage change the forecast of another's little: it counts as so many measured seconds.
_FORECAST_WEIGHT = 60.0
_OVERDUE_SHARE = 0.1
_MAX_LISTED = 6

_EPOCH = re.compile(r"^Epoch (?P<epoch>\d+) of (?P<epochs>\d+):")
_COUNT = re.compile(
    r"^(?P<what>.+): (?P<done>\d+) of (?P<total>\d+) (?P<unit>\w+), (?P<seconds>\d+) s$"
)


@dataclass
class RunningJob:
    """A job that runs: its log, and what was read there."""

    stage: str
    subject: str
    log: Path | None
    started: float
    expected: float | None
    offset: int = 0
    last_line: float = field(default=0.0)
    text: str = ""
    epochs: tuple[int, int] | None = None  # the last one that is finished, and their number
    share: float = 0.0  # of its work that is done
    share_at: float = 0.0  # when this was logged
    first: tuple[float, float] | None = None  # the first share and its time: after the start-up

    def read_log(self, now: float) -> None:
        """Read what was written to the log since the last call."""
        if self.log is None:
            return
        try:
            size = self.log.stat().st_size
            if size < self.offset:
                self.offset = 0
            with self.log.open("rb") as file:
                file.seek(self.offset)
                content = file.read()
        except OSError:
            return
        complete = content[: content.rfind(b"\n") + 1]
        self.offset += len(complete)
        for line in complete.decode("utf-8", "replace").splitlines():
            self._read_line(line, now)

    def _read_line(self, line: str, now: float) -> None:
        if match := _EPOCH.match(line):
            self.epochs = int(match["epoch"]), int(match["epochs"])
            self._set_share(self.epochs[0] / self.epochs[1], now)
        elif match := _COUNT.match(line):
            done, total = int(match["done"]), int(match["total"])
            if match["unit"] == "steps" and self.stage == "train":
                self._set_share(done / max(total, 1), now)
            else:
                what = match["what"].removeprefix(f"{self.subject}, ")
                self.text = f"{what}, {done} of {total} {match['unit']}"

    def _set_share(self, share: float, now: float) -> None:
        if share < self.share:
            return
        self.share, self.share_at = share, now
        if self.first is None or self.first[1] == now:
            self.first = share, now

    def seconds_left(self, now: float, correction: float) -> float | None:
        """Return the time left; None without progress if it is unknown or has passed."""
        if self.first is not None:
            left = self._left_by_share(correction)
            return max(left - (now - self.share_at), 0.0)
        if self.expected is None:
            return None
        left = self.expected * correction - (now - self.started)
        return left if left > 0 else None

    def _left_by_share(self, correction: float) -> float:
        """Return the time that was left when the share was logged."""
        assert self.first is not None
        first_share, first_at = self.first
        if self.share > first_share:
            return (self.share_at - first_at) * (1 - self.share) / (self.share - first_share)
        if self.expected is not None:
            return self.expected * correction * (1 - self.share)
        return (self.share_at - self.started) * (1 - self.share) / max(self.share, 1e-6)

    def describe(self) -> str:
        """Return how far the job is."""
        if self.stage != "train":
            return self.text
        if self.epochs is None:
            return "epoch 1"
        done, total = self.epochs
        return f"epoch {min(done + 1, total)} of {total}"


class RunProgress:
    """Writes a line when a job starts, ends or has gone on for a while.

    Args:
        forecast: Seconds by stage and subject; they may be missing.
        write: Receives each line.
        clock: Returns seconds.
    """

    def __init__(
        self,
        forecast: Seconds,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._forecast = forecast
        self._write = write
        self._clock = clock
        self._began = clock()
        self._num_slots = 1
        self._left: Counter[str] = Counter()  # jobs that have not ended, by stage
        self._running: dict[int, RunningJob] = {}
        self._started: set[tuple[str, str]] = set()
        self._took: dict[str, tuple[float, float]] = {}  # seconds and their forecast, by stage
        self._width = max((len(subject) for _, subject in forecast), default=8)

    def begin(self, jobs: Mapping[str, int], num_slots: int) -> None:
        """Write what will be done and how long it takes.

        `jobs` are numbers by rule; `num_slots` jobs run at once.
        """
        self._num_slots = num_slots
        for rule, number in jobs.items():
            if rule in STAGES:
                self._left[STAGES[rule]] += number
        if not self._left:
            return
        left = self.seconds_left()
        estimate = f", about {rough_duration(left)}" if left is not None else ""
        self._write(f"{self._left.total()} jobs, {num_slots} at once{estimate}:")
        for stage in dict.fromkeys(STAGES.values()):
            if number := self._left[stage]:
                self._write(f"  {stage:9}  {self._subjects(stage, number)}")

    def start_job(
        self, jobid: int, rule: str, wildcards: Mapping[str, str], log: Path | None
    ) -> None:
        """Write that a job starts."""
        if rule not in STAGES:
            return
        stage = STAGES[rule]
        subject = _subject(wildcards)
        expected = self._forecast.get((stage, subject))
        now = self._clock()
        job = RunningJob(stage, subject, log, now, expected, last_line=now)
        if log is not None and log.is_file():
            job.offset = log.stat().st_size  # of an earlier run; the shell empties it
        self._running[jobid] = job
        self._started.add((stage, subject))
        left = job.seconds_left(now, self._correction(stage))
        self._line(job, "starts" + (f", about {rough_duration(left)}" if left else ""))

    def poll(self) -> None:
        """Read the logs of running jobs, and write a line for those that are due."""
        now = self._clock()
        for job in list(self._running.values()):
            job.read_log(now)
            interval = max(SECONDS_BETWEEN_LINES, _SHARE_BETWEEN_LINES * (now - job.started))
            if now - job.last_line < interval:
                continue
            left = job.seconds_left(now, self._correction(job.stage))
            parts = [job.describe()]
            if left is not None:
                parts.append(f"about {rough_duration(left)} left")
            text = ", ".join(part for part in parts if part)
            job.last_line = now
            default = "takes longer than forecast" if job.expected else "runs"
            self._line(job, text or default)

    def finish_job(self, jobid: int) -> None:
        """Write that a job is done, and the time left for all others."""
        job = self._end(jobid)
        if job is None:
            return
        seconds = self._clock() - job.started
        if job.expected:
            took, expected = self._took.get(job.stage, (0.0, 0.0))
            self._took[job.stage] = took + seconds, expected + job.expected
        left = self.seconds_left()
        parts = [f"done in {rough_duration(seconds)}"]
        if self._left.total():
            parts.append(f"{_number(self._left.total(), 'job')} left")
            if left is not None:
                parts.append(f"about {rough_duration(left)}")
        self._line(job, ", ".join(parts))

    def fail_job(self, jobid: int) -> None:
        """Write that a job failed; what it logged is written by the caller."""
        job = self._end(jobid)
        if job is not None:
            self._line(job, f"failed after {rough_duration(self._clock() - job.started)}")

    def seconds_left(self) -> float | None:
        """Return the time until all jobs are done; None if nothing is known of a stage's jobs."""
        now = self._clock()
        work = []
        for job in self._running.values():
            left = job.seconds_left(now, self._correction(job.stage))
            if left is None:  # longer than forecast: as if a tenth were left
                left = _OVERDUE_SHARE * (now - job.started)
            work.append(Work(job.stage, job.subject, left, is_running=True))
        running = Counter(job.stage for job in self._running.values())
        for stage, number in self._left.items():
            waiting = self._waiting(stage, number - running[stage])
            if waiting is None:
                return None
            work += waiting
        return makespan(work, self._num_slots)

    def _waiting(self, stage: str, number: int) -> list[Work] | None:
        """Return as many jobs of a stage as have not started: the longest ones of the forecast."""
        if number <= 0 or stage in ("fetch", "handin"):  # a download's time is unknown
            return []
        known = []
        for (of_stage, subject), seconds in self._forecast.items():
            if of_stage == stage and (stage, subject) not in self._started:
                known.append(Work(stage, subject, seconds * self._correction(stage)))
        if len(known) < number:
            return None
        return sorted(known, key=lambda work: -work.seconds)[:number]

    def _correction(self, stage: str) -> float:
        """Return by how much jobs take longer than forecast: of this stage, else of all."""
        if stage in self._took:
            seconds, expected = self._took[stage]
        else:
            seconds = _FORECAST_WEIGHT + sum(took for took, _ in self._took.values())
            expected = _FORECAST_WEIGHT + sum(expected for _, expected in self._took.values())
        ratio = seconds / expected
        return min(max(ratio, 1 / _LARGEST_CORRECTION), _LARGEST_CORRECTION)

    def _end(self, jobid: int) -> RunningJob | None:
        job = self._running.pop(jobid, None)
        if job is not None:
            self._left[job.stage] -= 1
        return job

    def _subjects(self, stage: str, number: int) -> str:
        names = [subject for of_stage, subject in self._forecast if of_stage == stage]
        if len(names) == number <= _MAX_LISTED:
            return ", ".join(names)
        return f"{number} of {len(names)}" if len(names) > number else str(number)

    def _line(self, job: RunningJob, text: str) -> None:
        elapsed = _elapsed(self._clock() - self._began)
        self._width = max(self._width, len(job.subject))
        self._write(f"{elapsed:>7}  {job.stage:9}  {job.subject:{self._width}}  {text}")


def rough_duration(seconds: float) -> str:
    """Return seconds as `5 s`, `40 s`, `12 min` or `3.4 h`."""
    if seconds < 10:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 90:
        return f"{5 * round(seconds / 5)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def error_lines(log: Path) -> Sequence[str]:
    """Return the sentence of a stage in its log, else the whole log; without a log, nothing.

    A stage that Ctrl-C ended has no sentence of its own.
    """
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    if lines and lines[-1] == "Aborted!":
        return ["The job was interrupted."]
    sentences = [line for line in lines if line.startswith(("Error: ", "Usage: "))]
    return sentences[-1:] or lines


def _subject(wildcards: Mapping[str, str]) -> str:
    for name in ("experiment", "dataset", "study"):
        if name in wildcards:
            return wildcards[name]
    return ""


def _elapsed(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
