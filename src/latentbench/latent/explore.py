"""The explore stage: what an experiment's last checkpoint has learned, and of what; arrays, facts, quick pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import write_arrays, write_json
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    EXPLORATION_FILES,
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
from latentbench.evaluation.checkpoints import load_checkpoint
from latentbench.evaluation.features import prepare_measurement
from latentbench.evaluation.findings import Array, Findings
from latentbench.latent.attribute_directions import explore_directions
from latentbench.latent.dataset import explore_data
from latentbench.latent.label_embeddings import explore_embeddings
from latentbench.latent.model_probe import ModelProbe
from latentbench.latent.paths import explore_paths
from latentbench.latent.perturbation import explore_noise
from latentbench.latent.prior_samples import explore_means, explore_samples, explore_truncation
from latentbench.latent.projections import explore_codes
from latentbench.latent.realism import Realism
from latentbench.latent.reconstruction import explore_reconstruction

# Each answers one question, and leaves nothing where a model cannot be asked it.
EXPLORATIONS: dict[str, Callable[[ModelProbe], Findings]] = {
    "the data": explore_data,
    "random samples": explore_samples,
    "truncated samples": explore_truncation,
    "mean images": explore_means,
    "reconstructions": explore_reconstruction,
    "interpolations": explore_paths,
    "noise around the mean": explore_noise,
    "label embeddings": explore_embeddings,
    "codes": explore_codes,
    "attribute directions": explore_directions,
}


def explore_experiment(
    config: ExperimentConfig, data: Path, reference: Path, results: Path
) -> None:
    """Write latent/arrays.npz, pictures of the most asked for, and latent/explore.json, the last.

    Raises ArtifactError, DataError and StorageError.
    """
    device = prepare_measurement(config.compute)
    dataset = PreparedDataset.open(data)
    epoch = config.training.checkpoint_epochs[-1]
    trained = load_checkpoint(
        config, results, epoch, device=device, data_digest=dataset.manifest.digest
    )
    subject = ModelProbe(
        config, trained, dataset, Realism.open(reference, dataset, config, device=device), device
    )
    (results / LATENT_FACTS).unlink(missing_ok=True)
    parts = []
    for what, explore in EXPLORATIONS.items():
        log(f"{config.name}: {what}.")
        parts.append(explore(subject))
    found = Findings.joined(parts)
    write_arrays(results / LATENT_ARRAYS, found.arrays)
    _write_pictures((results / LATENT_ARRAYS).parent, found)
    about = {"epoch": epoch, "seed": config.seed, "class_names": dataset.manifest.class_names}
    write_json(results / LATENT_FACTS, about | found.facts)
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


def _write_pictures(folder: Path, found: Findings) -> None:
    """Pixel for pixel, for a first look; the report draws all of them with words."""
    arrays = found.arrays
    write_png(folder / "samples.png", image_grid(arrays["samples"], columns=8))
    pairs = np.concatenate([arrays["reconstruction_real"], arrays["reconstruction_decoded"]])
    write_png(folder / "reconstruction.png", image_grid(pairs, columns=len(pairs) // 2))
    write_png(
        folder / "interpolation.png",
        _with_ends(arrays["interpolation_spherical"], arrays["interpolation_real"]),
    )


def _with_ends(paths: Array, ends: Array) -> Array:
    """A row per pair: the real image, the path from its code, the other real image."""
    rows = np.concatenate([ends[:, :1], paths, ends[:, 1:]], axis=1)
    return image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
