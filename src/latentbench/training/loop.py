"""The training loop: steps, epoch ends, saved states and interruption, for any objective."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict

from latentbench.artifacts.progress import log, track
from latentbench.artifacts.provenance import ResourceUsage
from latentbench.errors import DivergenceError, InterruptedRun
from latentbench.runtime.adam import decay_factor
from latentbench.runtime.device import synchronize
from latentbench.runtime.signals import StopRequest
from latentbench.runtime.sync_batch_norm import SyncBatchNorm
from latentbench.training.batches import step_generator
from latentbench.training.history import LossTracker
from latentbench.training.monitor import Values
from latentbench.training.outputs import restore_outputs
from latentbench.training.reporter import Reporter
from latentbench.training.run import Run
from latentbench.training.state import (
    Progress,
    delete_state,
    load_state,
    run_identity,
    save_state,
)

# The state is saved at the end of each epoch, and within an epoch at this interval.
SECONDS_BETWEEN_STATES = 30.0


class TrainingLoop:
    """Runs from the saved state, or from the first step, to the last step.

    With several processes, all of them call the same methods in the same order. The first one
    reports and saves the state.
    """

    def __init__(self, run: Run, stop_request: StopRequest) -> None:
        self.run = run
        self.stop_request = stop_request
        self.progress = Progress()
        self.losses = LossTracker(run.objective.terms, run.device)
        self._identity = run_identity(run.config.training_settings(), run.data_digest)
        self._earlier_usage = ResourceUsage()
        self._clock = 0.0  # when the steps since the last pause began

    @property
    def is_done(self) -> bool:
        """Whether the last step is finished."""
        return self.progress.step == self.run.last_step

    def resume(self) -> None:
        """Load the saved state if there is one. Raises ArtifactError where it does not fit."""
        run = self.run
        progress = load_state(
            run.folders.scratch,
            self._identity,
            run.objective,
            self.losses,
            steps_per_epoch=run.batches.steps_per_epoch,
        )
        run.processes.barrier()  # all processes read the state before one writes the next
        if progress is None:
            if run.processes.is_first:
                delete_state(run.folders.scratch)
            return
        self.progress = progress
        self._earlier_usage = ResourceUsage(**progress.usage)
        if run.processes.is_first:
            log(f"Resuming after step {progress.step} of {run.last_step}.")
            restore_outputs(run, progress)

    def run_to_end(self) -> None:
        """Train to the last step. Raises InterruptedRun and DivergenceError."""
        if not self.run.processes.is_first:
            self._take_steps(None)
            return
        with Reporter(self.run, self.progress) as reporter:
            self._take_steps(reporter)

    def measure_usage(self) -> ResourceUsage:
        """Return the resources used by all processes, interrupted runs before included."""
        usage = ResourceUsage.measure().all_reduce(self.run.processes.sum_over_processes)
        return usage.combined_with(self._earlier_usage)

    def _take_steps(self, reporter: Reporter | None) -> None:
        steps_per_epoch = self.run.batches.steps_per_epoch
        steps = range(self.progress.step, self.run.last_step)
        self._clock = time.perf_counter()
        for step in track(steps, self.run.config.name, unit="steps"):
            self._take_step(step)
            if self.progress.step % self.run.config.training.log_every == 0:
                self._end_interval(reporter)
            is_epoch_end = self.progress.step % steps_per_epoch == 0
            must_stop, is_state_due = self.run.processes.any(
                self.stop_request.is_set,
                time.perf_counter() - self._clock >= SECONDS_BETWEEN_STATES,
            )
            if not (is_epoch_end or is_state_due or must_stop):
                continue
            # Reports and files do not count as training time.
            self._stop_clock()
            if is_epoch_end:
                self._end_epoch(reporter)
            self._save_state()
            if must_stop and not self.is_done:
                self._interrupt()
            self._clock = time.perf_counter()

    def _take_step(self, step: int) -> None:
        run = self.run
        generator = step_generator(run.config.seed, step, run.device)
        images, labels = run.batches.batch(step, generator)
        decay = run.config.model.learning_rate_decay
        factor = decay_factor(decay, step=step, last_step=run.last_step)
        run.objective.decay_learning_rates(factor)
        with self._synchronize_batch_norm():
            terms = run.objective.step(images, labels, step=step, generator=generator)
        means = run.processes.all_reduce_mean(list(terms.values()))
        self.losses.add(dict(zip(terms, means, strict=True)))
        self.progress.step = step + 1

    def _synchronize_batch_norm(self) -> AbstractContextManager[object]:
        # In a single process the mode would only cost a Python call per operation.
        if self.run.processes.world_size == 1:
            return nullcontext()
        return SyncBatchNorm(self.run.processes)

    def _stop_clock(self) -> None:
        synchronize(self.run.device)
        self.progress.seconds += time.perf_counter() - self._clock

    def _end_interval(self, reporter: Reporter | None) -> None:
        values = self.losses.interval.read()
        self._require_finite(values)
        self.losses.end_interval(self.progress.step, values)
        if reporter is not None:
            reporter.report_interval(values)

    def _end_epoch(self, reporter: Reporter | None) -> None:
        run = self.run
        values = self.losses.epoch.read()
        self._require_finite(values)
        self.losses.epoch.reset()
        run.objective.eval()
        validation = run.monitor.validate(
            run.objective, epoch=self.progress.step // run.batches.steps_per_epoch
        )
        if reporter is not None:
            reporter.report_epoch(values, validation)
        run.objective.train()

    def _save_state(self) -> None:
        self.progress.usage = asdict(self.measure_usage())
        if self.run.processes.is_first:
            save_state(
                self.run.folders.scratch,
                self._identity,
                self.run.objective,
                self.progress,
                self.losses,
            )

    def _interrupt(self) -> None:
        self.run.processes.barrier()  # until the first process has written the state
        raise InterruptedRun(
            f"{self.run.config.name} stopped after step {self.progress.step} of "
            f"{self.run.last_step} and saved its state. Run the same command again to resume."
        )

    def _require_finite(self, values: Values) -> None:
        step = self.progress.step
        for name, value in values.items():
            if value is not None and not math.isfinite(value):
                raise DivergenceError(
                    f"{self.run.config.name}: {name} became {value} by step {step} "
                    f"(epoch {self.run.epoch_at(step)}). Lower model.learning_rate "
                    f"(now {self.run.config.model.learning_rate:g})."
                )
