"""The explore stage: the latent space of an experiment's last checkpoint, and its dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import write_arrays, write_json, write_together
from latentbench.artifacts.lock import lock_folder
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    EXPLORATION_FILES,
    INTERACTIVE_ARRAYS,
    LATENT_ARRAYS,
    LATENT_FACTS,
    REFERENCE_MANIFEST,
    checkpoint_path,
    record_name,
)
from latentbench.artifacts.progress import log
from latentbench.artifacts.provenance import ResourceUsage, write_record
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.image_grid import image_grid, write_png
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.features.extract import prepare_measurement
from latentbench.evaluation.findings import Array, Findings
from latentbench.inference.checkpoints import load_checkpoint
from latentbench.latent.explorations.attribute_directions import explore_directions
from latentbench.latent.explorations.dataset import explore_data
from latentbench.latent.explorations.denoising import explore_denoising
from latentbench.latent.explorations.label_embeddings import explore_embeddings
from latentbench.latent.explorations.label_sliders import (
    explore_class_directions,
    explore_label_mixes,
)
from latentbench.latent.explorations.paths import explore_paths
from latentbench.latent.explorations.perturbation import explore_noise
from latentbench.latent.explorations.principal_directions import explore_principal
from latentbench.latent.explorations.prior_samples import (
    explore_means,
    explore_samples,
    explore_truncation,
)
from latentbench.latent.explorations.projections import explore_projections
from latentbench.latent.explorations.reconstruction import explore_reconstruction
from latentbench.latent.model_probe import ModelProbe
from latentbench.latent.realism import Realism

# Each returns no findings for models that do not support it.
EXPLORATIONS: dict[str, Callable[[ModelProbe], Findings]] = {
    "dataset": explore_data,
    "random samples": explore_samples,
    "denoising": explore_denoising,
    "truncated samples": explore_truncation,
    "mean images": explore_means,
    "reconstructions": explore_reconstruction,
    "interpolations": explore_paths,
    "noise around the mean": explore_noise,
    "label embeddings": explore_embeddings,
    "projections": explore_projections,
    "principal directions": explore_principal,
    "attribute directions": explore_directions,
    "class directions": explore_class_directions,
    "mixed labels": explore_label_mixes,
}


def explore_experiment(
    config: ExperimentConfig, data: Path, reference: Path, results: Path
) -> None:
    """Write the arrays, previews as PNG files and latent/explore.json.

    Raises:
        LatentbenchError: ArtifactError, DataError or StorageError.
    """
    with lock_folder(results, "explore"):
        _explore(config, data, reference, results)


def _explore(config: ExperimentConfig, data: Path, reference: Path, results: Path) -> None:
    device = prepare_measurement(config.compute)
    dataset = PreparedDataset.open(data)
    epoch = config.training.checkpoint_epochs[-1]
    model = load_checkpoint(
        config, results, epoch, device=device, data_digest=dataset.manifest.digest
    )
    realism = Realism.load(reference, dataset, config, device=device)
    probe = ModelProbe(model, dataset, realism)
    parts = []
    for name, explore in EXPLORATIONS.items():
        log(f"{config.name}: {name}.")
        parts.append(explore(probe))
    found = Findings.merge(parts)
    about = {"epoch": epoch, "seed": config.seed, "class_names": dataset.manifest.class_names}
    with write_together(results, last=LATENT_FACTS) as staged:
        write_arrays(staged / LATENT_ARRAYS, found.arrays)
        write_arrays(staged / INTERACTIVE_ARRAYS, found.interactive)
        _write_previews((staged / LATENT_ARRAYS).parent, found.arrays)
        write_json(staged / LATENT_FACTS, about | found.facts)
    write_record(
        results / record_name("explore"),
        "explore",
        settings=settings_of("explore", config.model_dump(mode="json")),
        inputs=[
            checkpoint_path(results, epoch),
            data / DATASET_MANIFEST,
            reference / REFERENCE_MANIFEST,
        ],
        outputs=[results / name for name in EXPLORATION_FILES],
        cost=ResourceUsage.measure(),
    )


def _write_previews(folder: Path, arrays: Mapping[str, Array]) -> None:
    """Write image grids; the report's figures have titles and more images."""
    write_png(folder / "samples.png", image_grid(arrays["samples"], columns=8))
    pairs = np.concatenate([arrays["reconstruction_real"], arrays["reconstruction_decoded"]])
    write_png(folder / "reconstruction.png", image_grid(pairs, columns=len(pairs) // 2))
    write_png(
        folder / "interpolation.png",
        _interpolation_grid(arrays["interpolation_spherical"], arrays["interpolation_real"]),
    )


def _interpolation_grid(paths: Array, ends: Array) -> Array:
    """Return a grid with a row per pair: a real image, the path, the other real image."""
    rows = np.concatenate([ends[:, :1], paths, ends[:, 1:]], axis=1)
    return image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
