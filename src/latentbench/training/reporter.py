"""What a run reports while it trains: history.csv, TensorBoard, sample images and checkpoints."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np
from torch import Tensor

from latentbench.artifacts.paths import HISTORY, PROVENANCE, WARNINGS
from latentbench.artifacts.progress import log
from latentbench.data.image_grid import Images, image_grid, write_png
from latentbench.data.images import to_uint8
from latentbench.models.objective import HasPosterior, draw_latents
from latentbench.rng import torch_generator
from latentbench.training.evolution import image_row, max_columns
from latentbench.training.history import device_memory_mb, write_history
from latentbench.training.monitor import Values, find_warnings
from latentbench.training.outputs import frame_path, save_checkpoint
from latentbench.training.run import Run
from latentbench.training.state import Progress
from latentbench.training.tensorboard import TensorBoardLogger


class Reporter:
    """Reports the progress of a run; only the first process has one.

    A context manager: leaving it closes the TensorBoard log, whatever happened, so that the log
    of a resumed run has no gap.
    """

    def __init__(self, run: Run, progress: Progress) -> None:
        self._run = run
        self._progress = progress
        self._tensorboard = TensorBoardLogger(run.folders.logs, step=progress.step)
        self._latents, self._labels = _sample_inputs(run)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tensorboard.close()

    def report_interval(self, losses: Values) -> None:
        """Log the mean loss terms of the steps since the last call."""
        scalars = {f"loss/{name}": value for name, value in losses.items()}
        self._tensorboard.add_scalars(scalars, step=self._progress.step)

    def report_epoch(self, losses: Values, validation: Values) -> None:
        """Write a row of history.csv, images and perhaps a checkpoint at the end of an epoch.

        The objective must be in inference mode.

        Args:
            losses: The means of the loss terms over the epoch.
            validation: The monitor's loss terms on fixed images of both splits.
        """
        run, progress = self._run, self._progress
        samples = to_uint8(run.objective.sample(self._latents, self._labels)).cpu().numpy()
        reconstructions = run.monitor.reconstructions(run.objective)
        monitored = validation | run.monitor.measure_samples(run.objective, samples, self._labels)
        warnings = find_warnings(
            losses | monitored,
            latent_dim=run.objective.latent_dim,
            has_prior=run.config.model.has_prior,
            has_posterior=isinstance(run.objective, HasPosterior),
        )
        row = self._clock_columns() | losses | monitored | self._learning_rates()
        progress.rows.append(row | {WARNINGS: "; ".join(warnings)})
        # The record of an earlier run, whose results are replaced from here on.
        (run.folders.results / PROVENANCE).unlink(missing_ok=True)
        write_history(run.folders.results / HISTORY, progress.rows, run.objective.terms)
        self._log_epoch_scalars(row, monitored)
        grid = self._write_images(row["epoch"], samples, reconstructions)
        if row["epoch"] in run.config.training.checkpoint_epochs:
            save_checkpoint(run, progress, row["epoch"], grid)
        self._log_epoch(row, losses, warnings)

    def _clock_columns(self) -> dict[str, Any]:
        progress, batches = self._progress, self._run.batches
        previous_seconds = progress.rows[-1]["seconds"] if progress.rows else 0.0
        images_per_epoch = batches.steps_per_epoch * batches.batch_size
        progress.peak_memory_mb = max(progress.peak_memory_mb, device_memory_mb(self._run.device))
        return {
            "epoch": progress.step // batches.steps_per_epoch,
            "step": progress.step,
            "images": progress.step * batches.batch_size,
            "seconds": progress.seconds,
            "images_per_second": images_per_epoch / (progress.seconds - previous_seconds),
            "peak_memory_mb": progress.peak_memory_mb,
        }

    def _learning_rates(self) -> dict[str, float]:
        optimizers = self._run.objective.optimizers
        return {f"learning_rate/{name}": adam.learning_rate for name, adam in optimizers.items()}

    def _log_epoch_scalars(self, row: dict[str, Any], monitored: Values) -> None:
        scalars: Values = {f"epoch/{name}": value for name, value in monitored.items()}
        for name in ("images_per_second", "peak_memory_mb"):
            scalars[f"speed/{name}"] = row[name]
        scalars |= self._learning_rates()
        self._tensorboard.add_scalars(scalars, step=self._progress.step)

    def _write_images(self, epoch: int, samples: Images, reconstructions: Images | None) -> Images:
        """Write the frames of this epoch and return the grid of its samples."""
        run, step, scratch = self._run, self._progress.step, self._run.folders.scratch
        grid = image_grid(samples, columns=len(samples) // run.config.training.sample_grid)
        path = frame_path(scratch, "samples", epoch)
        write_png(path, grid)
        self._progress.add_file(scratch, path)
        self._tensorboard.add_image("samples", grid, step=step)
        if reconstructions is not None:
            path = frame_path(scratch, "reconstructions", epoch)
            write_png(path, image_row(reconstructions))
            self._progress.add_file(scratch, path)
            images = np.concatenate([run.monitor.inputs, reconstructions])
            pairs = image_grid(images, columns=len(reconstructions))
            self._tensorboard.add_image("reconstructions", pairs, step=step)
        return grid

    def _log_epoch(self, row: dict[str, Any], losses: Values, warnings: list[str]) -> None:
        config = self._run.config
        terms = [f"{name} {value:.4g}" for name, value in losses.items() if value is not None]
        log(
            f"Epoch {row['epoch']} of {config.training.epochs}: {', '.join(terms)}; "
            f"{row['images_per_second']:,.0f} images/s."
        )
        for warning in warnings:
            log(f"{config.name}, epoch {row['epoch']}: {warning}.")


def _sample_inputs(run: Run) -> tuple[Tensor, Tensor]:
    """Return the latents and labels of the sample grid, the same in every epoch.

    With labels, each column of the grid shows one label and each row one latent. Labels beyond
    the widest picture are left out.
    """
    size = run.config.training.sample_grid
    generator = torch_generator(run.config.seed, "fixed latents")
    latents = draw_latents(size**2, run.objective.latent_dim, generator)
    labels = run.labels.round_robin(len(latents))
    if run.labels.names:
        columns = min(len(run.labels), max_columns(run.config.image_size))
        latents = latents[:size].repeat_interleave(columns, dim=0)
        labels = run.labels.round_robin(columns).repeat(size, 1)
    return latents.to(run.device), labels.to(run.device)
