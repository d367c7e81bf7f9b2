"""The files of a run in its results folder: checkpoints, samples, and what describes the run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import atomic_write, write_csv, write_manifest
from latentbench.artifacts.paths import (
    ARCHITECTURE,
    CHECKPOINT_FORMAT,
    DATASET_MANIFEST,
    DIVERGED,
    EVOLUTION,
    HISTORY,
    ITERATIONS,
    PROVENANCE,
    RECONSTRUCTIONS,
    checkpoint_path,
    samples_path,
    training_files,
)
from latentbench.artifacts.provenance import ResourceUsage, write_record
from latentbench.artifacts.tensors import write_tensors
from latentbench.config.models import EncoderModel
from latentbench.data.image_grid import Images, write_png
from latentbench.errors import DivergenceError
from latentbench.models.networks.architectures import count_parameters
from latentbench.models.networks.layer_table import COLUMNS, describe_networks
from latentbench.models.objective import HasEncoder
from latentbench.models.prior import Prior
from latentbench.rng import derive_seed
from latentbench.runtime.device import device_name
from latentbench.training.evolution import image_row, write_evolution, write_reconstructions
from latentbench.training.history import LossTracker, write_history, write_iterations
from latentbench.training.run import Run
from latentbench.training.state import Progress


def frame_path(scratch: Path, kind: str, epoch: int) -> Path:
    """Return the path in scratch of one epoch's image; `kind` is samples or reconstructions."""
    return scratch / "frames" / kind / f"epoch-{epoch:04d}.png"


def save_checkpoint(run: Run, progress: Progress, epoch: int, grid: Images) -> None:
    """Write a checkpoint and its sample grid to scratch and copy both to the results.

    `progress` records the files in scratch. A workflow engine may delete the results of an
    interrupted run; `restore_outputs` copies them again from scratch.
    """
    copies = _copies(run.folders.scratch)
    metadata = {
        "format": CHECKPOINT_FORMAT,
        "settings": run.config.training_settings(),
        "data_digest": run.data_digest,
        "epoch": epoch,
        "step": progress.step,
        "labels": vars(run.labels),
        # How to prepare other images for the model, which may be used without the dataset.
        "preparation": vars(run.resize_spec),
    }
    tensors = run.objective.weights() | _fitted_prior(run, epoch)
    write_tensors(checkpoint_path(copies, epoch), tensors, metadata)
    write_png(samples_path(copies, epoch), grid)
    for path in (checkpoint_path(copies, epoch), samples_path(copies, epoch)):
        progress.add_file(run.folders.scratch, path)
        _copy_to_results(run, path)


def _fitted_prior(run: Run, epoch: int) -> dict[str, Tensor]:
    """Fit the prior to the codes of training images and return its tensors; none for N(0, I)."""
    model, objective = run.config.model, run.objective
    if not isinstance(model, EncoderModel) or model.prior == "standard":
        return {}
    assert isinstance(objective, HasEncoder)
    codes = run.monitor.training_codes(objective, epoch=epoch)
    if not bool(torch.isfinite(codes).all()):
        raise DivergenceError(
            f"{run.config.name}: the encoder outputs infinite or NaN codes in epoch {epoch}. Lower "
            f"model.learning_rate (now {model.learning_rate:g})."
        )
    number = model.prior_components if model.prior == "mixture" else 1
    # The number of threads changes the order of sums and so the bits.
    with threadpool_limits(run.config.compute.threads):
        prior = Prior.fit(
            codes, num_components=number, seed=derive_seed(run.config.seed, "prior", epoch)
        )
    return prior.tensors()


def restore_outputs(run: Run, progress: Progress) -> None:
    """Copy the checkpoints and sample grids of an interrupted run to the results again."""
    copies = _copies(run.folders.scratch)
    for name in progress.files:
        path = run.folders.scratch / name
        if path.is_relative_to(copies):
            _copy_to_results(run, path)


def write_outputs(run: Run, progress: Progress, losses: LossTracker, usage: ResourceUsage) -> None:
    """Write the files that describe the whole run, last its provenance record."""
    results = run.folders.results
    _write_tables(run, progress, losses)
    _write_animations(run, progress)
    files = training_files(
        run.config.training.checkpoint_epochs, learns_codes=run.config.model.learns_codes
    )
    _delete_stale_epochs(results, files)
    (results / DIVERGED).unlink(missing_ok=True)
    _write_provenance(run, progress, usage, files)


def write_diverged_trial(
    run: Run, progress: Progress, losses: LossTracker, usage: ResourceUsage, error: DivergenceError
) -> None:
    """Write what is left of a trial whose training diverged, with the reason as its checkpoint."""
    results = run.folders.results
    for name in (DIVERGED, *EVOLUTION):
        folder = (results / name).parent
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    _write_tables(run, progress, losses)
    reason = {
        "settings": run.config.training_settings(),
        "data_digest": run.data_digest,
        "reason": str(error),
    }
    write_manifest(results / DIVERGED, reason)
    write_record(
        results / PROVENANCE,
        "train",
        settings=settings_of("train", run.config.model_dump(mode="json")),
        inputs=[run.folders.data / DATASET_MANIFEST],
        outputs=[results / name for name in (DIVERGED, HISTORY, ITERATIONS, ARCHITECTURE)],
        cost=usage,
    )


def _write_tables(run: Run, progress: Progress, losses: LossTracker) -> None:
    results = run.folders.results
    write_history(results / HISTORY, progress.rows, run.objective.terms)
    write_iterations(results / ITERATIONS, losses.curve, batch_size=run.batches.batch_size)
    layers = describe_networks(run.objective, run.shape)
    write_csv(results / ARCHITECTURE, layers, columns=COLUMNS)


def _copies(scratch: Path) -> Path:
    return scratch / "results"


def _copy_to_results(run: Run, path: Path) -> None:
    target = run.folders.results / path.relative_to(_copies(run.folders.scratch))
    with atomic_write(target) as partial:
        shutil.copyfile(path, partial)


def _write_animations(run: Run, progress: Progress) -> None:
    """Write the samples over all epochs, and the reconstructions of models that learn codes."""
    results, scratch = run.folders.results, run.folders.scratch
    epochs = [row["epoch"] for row in progress.rows]
    grids = [(epoch, frame_path(scratch, "samples", epoch)) for epoch in epochs]
    write_evolution(grids, [results / name for name in EVOLUTION])
    if run.config.model.learns_codes:
        rows = [frame_path(scratch, "reconstructions", epoch) for epoch in epochs]
        write_reconstructions(image_row(run.monitor.inputs), rows, results / RECONSTRUCTIONS)


def _delete_stale_epochs(results: Path, files: Sequence[Path]) -> None:
    """Delete checkpoints and samples of epochs that earlier settings kept."""
    for folder in {file.parent for file in files}:
        if folder == Path():
            continue
        for path in (results / folder).glob("epoch-*"):
            if path.relative_to(results) not in files:
                path.unlink()


def _write_provenance(
    run: Run, progress: Progress, usage: ResourceUsage, files: Sequence[Path]
) -> None:
    last_row = progress.rows[-1]
    networks = run.objective.networks()
    write_record(
        run.folders.results / PROVENANCE,
        "train",
        settings=settings_of("train", run.config.model_dump(mode="json")),
        inputs=[run.folders.data / DATASET_MANIFEST],
        outputs=[run.folders.results / file for file in files],
        cost=usage,
        device=device_name(run.device),
        threads=run.config.compute.threads,
        processes=run.processes.world_size,
        precision=str(run.objective.precision).removeprefix("torch."),
        seed=run.config.seed,
        data_digest=run.data_digest,
        seconds=last_row["seconds"],
        images_per_second=last_row["images"] / last_row["seconds"],
        peak_memory_mb=last_row["peak_memory_mb"],
        parameters={name: count_parameters(network) for name, network in networks.items()},
    )
