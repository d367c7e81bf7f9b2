"""The one training loop: it knows time, and no objective by name."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import atomic_write, write_csv
from latentbench.artifacts.paths import (
    ARCHITECTURE,
    DATASET_MANIFEST,
    EVOLUTION,
    HISTORY,
    ITERATIONS,
    PROVENANCE,
    RECONSTRUCTIONS,
    TROUBLE,
    checkpoint_path,
    samples_path,
    training_files,
)
from latentbench.artifacts.progress import log, track
from latentbench.artifacts.provenance import ResourceUsage, write_record
from latentbench.artifacts.tensors import write_tensors
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.image_grid import Images, image_grid, write_png
from latentbench.data.images import to_uint8
from latentbench.data.labels import LabelSet
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DivergenceError, InterruptedRun
from latentbench.models.networks import Shape, count_parameters
from latentbench.models.objective import Objective, draw_latents
from latentbench.models.registry import build_objective
from latentbench.rng import torch_generator
from latentbench.runtime.device import prepare_compute, resolve_precision
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from latentbench.runtime.sync_batch_norm import SyncBatchNorm
from latentbench.training.architecture import COLUMNS as ARCHITECTURE_COLUMNS
from latentbench.training.architecture import describe_networks
from latentbench.training.batches import Batches, step_generator
from latentbench.training.evolution import image_row, write_evolution, write_reconstructions
from latentbench.training.history import (
    Points,
    RunningMeans,
    Stateful,
    device_memory_mb,
    write_history,
    write_points,
)
from latentbench.training.monitor import Monitor, Values, troubles
from latentbench.training.signals import StopRequest, stop_on_sigterm
from latentbench.training.state import Progress, discard_state, load_state, run_identity, save_state
from latentbench.training.tensorboard import TensorBoardLogger

# The state is saved at the end of each epoch, and this often within one.
SECONDS_BETWEEN_STATES = 30.0
CHECKPOINT_FORMAT = 1
FRAMES = "frames"  # in scratch: every epoch's pictures


@dataclass(frozen=True)
class Folders:
    data: Path
    results: Path
    logs: Path
    scratch: Path


def train_experiment(
    config: ExperimentConfig,
    folders: Folders,
    *,
    restart: bool = False,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train to the last epoch, from the saved state where there is one.

    Where there are several processes, each makes this call; the first one writes what they made together. Asked to
    end (SIGTERM), it keeps its state after the step that it is in and raises InterruptedRun.
    Raises DivergenceError, ArtifactError (a state of other settings), DataError and StorageError.
    """
    device = prepare_compute(config.compute)
    dataset = PreparedDataset.open(folders.data)
    dataset.require_shape(image_size=config.image_size, channels=config.channels)
    if restart and processes.is_first:
        discard_state(folders.scratch)
    processes.barrier()
    with stop_on_sigterm() as interruption:
        run = _Run(config, folders, dataset, device, interruption, processes)
        run.resume()
        run.finish() if run.is_done else run.loop()


class _Run:
    """What the loop holds: the objective, its data, its clock and where it writes."""

    def __init__(
        self,
        config: ExperimentConfig,
        folders: Folders,
        dataset: PreparedDataset,
        device: torch.device,
        interruption: StopRequest,
        processes: ProcessGroup,
    ) -> None:
        self.interruption = interruption
        self.processes = processes
        self.config = config
        self.folders = folders
        self.device = device
        training = config.training
        self.batches = Batches(
            dataset,
            condition=config.model.condition,
            batch_size=training.batch_size,
            flip=training.flip,
            seed=config.seed,
            device=device,
            processes=processes,
        )
        self.labels = LabelSet.from_dataset(dataset, config.model.condition)
        self.shape = Shape(config.image_size, config.channels, num_labels=len(self.labels.names))
        self.last_step = training.epochs * self.batches.steps_per_epoch
        self.objective = self._build_objective()
        self.data_digest = dataset.manifest.digest
        self.identity = run_identity(config.training_settings(), self.data_digest)
        self.epoch_means = RunningMeans(self.objective.terms, device)
        self.point_means = RunningMeans(self.objective.terms, device)
        self.points = Points(self.objective.terms)
        self.told: dict[str, Stateful] = {
            "epoch": self.epoch_means,
            "point": self.point_means,
            "points": self.points,
        }
        self.progress = Progress()
        self.earlier = ResourceUsage()
        self.monitor = Monitor(
            dataset, config.model.condition, seed=config.seed, device=device, processes=processes
        )
        self.fixed_latents, self.fixed_labels = (
            tensor.to(device) for tensor in self._fixed_inputs()
        )

    @property
    def is_done(self) -> bool:
        return self.progress.step == self.last_step

    def resume(self) -> None:
        progress = load_state(self.folders.scratch, self.identity, self.objective, self.told)
        self.processes.barrier()  # before one of them writes another state
        if progress is None:
            if self.processes.is_first:
                discard_state(self.folders.scratch)
            return
        self.progress = progress
        self.earlier = ResourceUsage(**progress.spent)
        if not self.processes.is_first:
            return
        log(f"Going on after step {progress.step} of {self.last_step}.")
        # What was kept before the interruption; an engine may have removed it from the results.
        for kept in sorted((self.folders.scratch / "results").rglob("epoch-*")):
            self._publish(kept)

    def loop(self) -> None:
        # Closed however it ends, so that TensorBoard misses nothing that a resumed run does not write again.
        with (
            closing(TensorBoardLogger(self.folders.logs, step=self.progress.step))
            if self.processes.is_first
            else nullcontext() as journal
        ):
            self._take_steps(journal)
        self.finish()

    def _take_steps(self, journal: TensorBoardLogger | None) -> None:
        """From the step of the progress to the last one. Raises InterruptedRun and DivergenceError."""
        clock = saved = time.perf_counter()
        for step in track(
            range(self.progress.step, self.last_step), self.config.name, unit="steps"
        ):
            generator = step_generator(self.config.seed, step, self.device)
            images, labels = self.batches.batch(step, generator)
            with self._shared_statistics():
                terms = self.objective.step(images, labels, step=step, generator=generator)
            terms = dict(
                zip(terms, self.processes.all_reduce_mean(list(terms.values())), strict=True)
            )
            self.epoch_means.add(terms)
            self.point_means.add(terms)
            self.progress.step = step + 1

            if self.progress.step % self.config.training.log_every == 0:
                self._write_point(journal)
            is_epoch_end = self.progress.step % self.batches.steps_per_epoch == 0
            is_asked, is_late = self.processes.any(
                self.interruption.asked, time.perf_counter() - saved >= SECONDS_BETWEEN_STATES
            )
            if not (is_epoch_end or is_late or is_asked):
                continue

            # Outside the steps the clock stands still: pictures and files are not training time.
            self._synchronize()
            self.progress.seconds += time.perf_counter() - clock
            if is_epoch_end:
                self._end_epoch(journal)
            self.progress.spent = asdict(self._spent())
            if self.processes.is_first:
                save_state(
                    self.folders.scratch, self.identity, self.objective, self.progress, self.told
                )
            if is_asked and not self.is_done:
                self.processes.barrier()  # until the state is written
                raise InterruptedRun(
                    f"{self.config.name} was asked to end after step {self.progress.step} of {self.last_step} and kept "
                    "its state; the same command goes on from there."
                )
            clock = saved = time.perf_counter()

    def finish(self) -> None:
        """Write what describes the whole run; only then let go of the state."""
        spent = self._spent()
        if not self.processes.is_first:
            return
        write_history(self.folders.results / HISTORY, self.progress.rows, self.objective.terms)
        write_points(
            self.folders.results / ITERATIONS, self.points, batch_size=self.batches.batch_size
        )
        self._write_pictures()
        layers = describe_networks(self.objective, self.shape)
        write_csv(self.folders.results / ARCHITECTURE, layers, columns=ARCHITECTURE_COLUMNS)
        last = self.progress.rows[-1]
        files = training_files(
            self.config.training.checkpoint_epochs, has_encoder=self.config.model.has_encoder
        )
        self._remove_all_but(files)
        write_record(
            self.folders.results / PROVENANCE,
            "train",
            settings=settings_of("train", self.config.model_dump(mode="json")),
            inputs=[self.folders.data / DATASET_MANIFEST],
            outputs=[self.folders.results / file for file in files],
            cost=spent,
            device=torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            threads=self.config.compute.threads,
            processes=self.processes.world_size,
            precision=str(self.objective.precision).removeprefix("torch."),
            seed=self.config.seed,
            data_digest=self.data_digest,
            seconds=last["seconds"],
            images_per_second=last["images"] / last["seconds"],
            peak_memory_mb=last["peak_memory_mb"],
            parameters={
                name: count_parameters(network)
                for name, network in self.objective.networks().items()
            },
        )
        discard_state(self.folders.scratch)

    def _remove_all_but(self, files: Sequence[Path]) -> None:
        """Checkpoints and samples of earlier settings, which nobody would tell from this run's."""
        for folder in {file.parent for file in files} - {Path()}:
            for path in (self.folders.results / folder).glob("epoch-*"):
                if path.relative_to(self.folders.results) not in files:
                    path.unlink()

    def _write_pictures(self) -> None:
        """Of all epochs together, from what each left in scratch."""
        results, epochs = self.folders.results, [row["epoch"] for row in self.progress.rows]
        mosaics = [(epoch, self._frame("samples", epoch)) for epoch in epochs]
        write_evolution(mosaics, [results / name for name in EVOLUTION])
        if self.config.model.has_encoder:
            frames = [self._frame("reconstructions", epoch) for epoch in epochs]
            write_reconstructions(image_row(self.monitor.inputs), frames, results / RECONSTRUCTIONS)

    def _shared_statistics(self) -> AbstractContextManager[object]:
        # Of one process alone nothing is shared, and a mode would cost each operation a call.
        return SyncBatchNorm(self.processes) if self.processes.world_size > 1 else nullcontext()

    def _spent(self) -> ResourceUsage:
        """By all processes, and by the tries that were interrupted before."""
        return (
            ResourceUsage.measure()
            .all_reduce(self.processes.sum_over_processes)
            .combined_with(self.earlier)
        )

    def _frame(self, kind: str, epoch: int) -> Path:
        return self.folders.scratch / FRAMES / kind / f"epoch-{epoch:04d}.png"

    def _build_objective(self) -> Objective:
        config = self.config
        objective = build_objective(config.model, self.shape, seed=config.seed).to(self.device)
        objective.precision = resolve_precision(config.training.precision, self.device)
        objective.make_optimizers()
        objective.distribute(self.processes)
        if config.training.compile:
            objective.compile_networks()
        return objective.train()

    def _write_point(self, journal: TensorBoardLogger | None) -> None:
        values = self.point_means.read()
        self._check_finite(values)
        self.points.add(self.progress.step, values)
        if journal is not None:
            journal.scalars(
                {f"loss/{name}": value for name, value in values.items()}, step=self.progress.step
            )
        self.point_means.reset()

    def _end_epoch(self, journal: TensorBoardLogger | None) -> None:
        values = self.epoch_means.read()
        self._check_finite(values)
        self.epoch_means.reset()
        self.objective.eval()
        seen = self.monitor.validate(
            self.objective, epoch=self.progress.step // self.batches.steps_per_epoch
        )
        if journal is not None:
            self._tell_epoch(values, seen, journal)
        self.objective.train()

    def _tell_epoch(self, values: Values, seen: Values, journal: TensorBoardLogger) -> None:
        """A row and a picture of the epoch that has ended, by the first process; the objective is in inference mode."""
        samples = (
            to_uint8(self.objective.sample(self.fixed_latents, self.fixed_labels)).cpu().numpy()
        )
        reconstructions = self.monitor.reconstructions(self.objective)

        progress = self.progress
        epoch = progress.step // self.batches.steps_per_epoch
        images = progress.step * self.batches.batch_size
        seconds_before = progress.rows[-1]["seconds"] if progress.rows else 0.0
        rate = (
            self.batches.steps_per_epoch
            * self.batches.batch_size
            / (progress.seconds - seconds_before)
        )
        progress.peak_memory_mb = max(progress.peak_memory_mb, device_memory_mb(self.device))
        clock = {
            "epoch": epoch,
            "step": progress.step,
            "images": images,
            "seconds": progress.seconds,
            "images_per_second": rate,
            "peak_memory_mb": progress.peak_memory_mb,
        }
        seen = seen | self.monitor.look(self.objective, samples, self.fixed_labels)
        signs = troubles(
            values | seen,
            latent_dim=self.objective.latent_dim,
            has_prior=self.config.model.has_prior,
        )
        progress.rows.append(
            clock | values | seen | self._learning_rates() | {TROUBLE: "; ".join(signs)}
        )
        write_history(self.folders.results / HISTORY, progress.rows, self.objective.terms)

        picture = image_grid(samples, columns=len(samples) // self.config.training.sample_grid)
        write_png(self._frame("samples", epoch), picture)
        journal.picture("samples", picture, step=progress.step)
        if reconstructions is not None:
            write_png(self._frame("reconstructions", epoch), image_row(reconstructions))
            pairs = image_grid(
                np.concatenate([self.monitor.inputs, reconstructions]), columns=len(reconstructions)
            )
            journal.picture("reconstructions", pairs, step=progress.step)
        told: Values = {f"epoch/{name}": value for name, value in seen.items()}
        told |= {"speed/images_per_second": rate, "speed/peak_memory_mb": progress.peak_memory_mb}
        told |= self._learning_rates()
        journal.scalars(told, step=progress.step)
        if epoch in self.config.training.checkpoint_epochs:
            self._keep(epoch, picture)
        shown = ", ".join(
            f"{name} {value:.4g}" for name, value in values.items() if value is not None
        )
        log(f"Epoch {epoch} of {self.config.training.epochs}: {shown}; {rate:,.0f} images/s.")
        for sign in signs:
            log(f"{self.config.name}, epoch {epoch}: {sign}.")

    def _learning_rates(self) -> dict[str, float]:
        return {
            f"learning_rate/{name}": adam.learning_rate
            for name, adam in self.objective.optimizers.items()
        }

    def _keep(self, epoch: int, picture: Images) -> None:
        """A checkpoint and its samples, in scratch for a resumed run and in the results for everyone."""
        kept = self.folders.scratch / "results"
        metadata = {
            "format": CHECKPOINT_FORMAT,
            "settings": self.config.training_settings(),
            "data_digest": self.data_digest,
            "epoch": epoch,
            "step": self.progress.step,
            "labels": vars(self.labels),
        }
        write_tensors(checkpoint_path(kept, epoch), self.objective.weights(), metadata)
        write_png(samples_path(kept, epoch), picture)
        self._publish(checkpoint_path(kept, epoch))
        self._publish(samples_path(kept, epoch))

    def _publish(self, kept: Path) -> None:
        place = self.folders.results / kept.relative_to(self.folders.scratch / "results")
        with atomic_write(place) as partial:
            shutil.copyfile(kept, partial)

    def _fixed_inputs(self) -> tuple[Tensor, Tensor]:
        """Latents and labels of the mosaic: a column per kind of label, with the same latent all along a row."""
        rows = self.config.training.sample_grid
        latents = draw_latents(
            rows**2, self.objective.latent_dim, torch_generator(self.config.seed, "fixed latents")
        )
        if not self.labels.names:
            return latents, self.labels.round_robin(len(latents))
        columns = len(self.labels)
        return latents[:rows].repeat_interleave(columns, dim=0), self.labels.round_robin(
            rows * columns
        )

    def _check_finite(self, values: dict[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None and not math.isfinite(value):
                epoch = (self.progress.step - 1) // self.batches.steps_per_epoch + 1
                raise DivergenceError(
                    f"{self.config.name}: {name} became {value} by step {self.progress.step} (epoch {epoch}); "
                    f"lower model.learning_rate (now {self.config.model.learning_rate:g})."
                )

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
