"""The select stage: which trial of a search has the samples closest to the validation images.

Nothing else reads these images: no model and no classifier is trained on them, and no reported
number is measured with them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import read_manifest
from latentbench.artifacts.lock import lock_folder
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    DIVERGED,
    FEATURES,
    REFERENCE_MANIFEST,
    SELECT_RECORD,
    SELECTED,
    VALIDATION,
    checkpoint_path,
)
from latentbench.artifacts.progress import log
from latentbench.artifacts.provenance import ResourceUsage, write_record
from latentbench.artifacts.selection import write_selection
from latentbench.artifacts.tensors import require_same_settings
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ArtifactError, DivergenceError
from latentbench.evaluation.cache import FeatureCache
from latentbench.evaluation.evaluate import Folders
from latentbench.evaluation.features.extract import (
    FeatureExtractor,
    extract_features,
    prepare_measurement,
)
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.metrics.distances import first_distance
from latentbench.evaluation.samples import Sampler


def select_trial(config: ExperimentConfig, folders: Folders) -> None:
    """Measure the trials of an experiment's search, and write search/selected.json.

    A trial that diverged has no distance.

    `results` and `scratch` of the folders are those of the experiment.

    Raises:
        LatentbenchError: ArtifactError, DataError, DownloadError or StorageError; DivergenceError
            if all trials diverged.
    """
    with lock_folder(folders.results / SELECTED, "select"):
        _select(config, folders)


def _select(config: ExperimentConfig, folders: Folders) -> None:
    device = prepare_measurement(config.compute)
    dataset = PreparedDataset.open(folders.data)
    reference = ReferenceManifest.read(folders.reference)
    reference.require_match(folders.reference, dataset, config)
    name = reference.preferred_extractor
    extractor = reference.load_extractor(name, folders.reference, device=device)
    validation = _validation_features(dataset, extractor)
    distance = first_distance(name, validation)
    trials: list[dict[str, Any]] = []
    checkpoints = []
    for trial, values in zip(config.trials(), config.combinations(), strict=True):
        place = Path(trial.name).relative_to(config.name)
        sampler = Sampler(
            trial,
            folders.results / place,
            reference=reference,
            extractors={name: extractor},
            cache=FeatureCache(folders.scratch / place / FEATURES),
            device=device,
        )
        mean, std = None, None
        try:
            distances = _distances(sampler, name, distance, dataset)
            mean = statistics.mean(distances)
            std = statistics.stdev(distances) if len(distances) > 1 else None
            log(f"{trial.name}: {values}, distance {mean:.4g}.")
        except DivergenceError as error:
            log(f"{trial.name}: {values}. {error}")
        trials.append({"values": values, "seed": trial.seed, "mean": mean, "std": std})
        checkpoints.append(_checkpoint(trial, folders.results / place))
    write_selection(
        folders.results / SELECTED,
        config,
        trials,
        metric=reference.extractors[name].metric,
        num_images=sum(map(len, validation)),
        class_counts=_class_counts(dataset),
        num_samples=config.evaluation.num_samples,
        num_seeds=config.evaluation.num_seeds,
    )
    write_record(
        folders.results / SELECT_RECORD,
        "select",
        settings=settings_of("select", config.model_dump(mode="json")),
        inputs=[
            *checkpoints,
            folders.data / DATASET_MANIFEST,
            folders.reference / REFERENCE_MANIFEST,
        ],
        outputs=[folders.results / SELECTED],
        cost=ResourceUsage.measure(),
    )


def _validation_features(dataset: PreparedDataset, extractor: FeatureExtractor) -> list[Tensor]:
    """Return the features of the validation images, in batches (batch, dim)."""
    found = dataset.manifest.validation
    number = 0 if found is None else found.num_images
    if number < 2:
        raise ArtifactError(
            f"{dataset.folder} has {number} validation images, but a search needs two; raise "
            f"datasets.{dataset.manifest.name}.validation_fraction and prepare it again."
        )
    return list(extract_features(extractor, dataset.images(VALIDATION)))


def _class_counts(dataset: PreparedDataset) -> dict[str, int]:
    """Return the number of validation images of each class; empty without classes."""
    names, labels = dataset.manifest.class_names, dataset.labels(VALIDATION)
    counts = np.bincount(labels[labels >= 0], minlength=len(names)).tolist()
    return dict(zip(names, counts, strict=True))


def _checkpoint(trial: ExperimentConfig, results: Path) -> Path:
    """Return the checkpoint of a trial, or what it has in its place if its training diverged."""
    diverged = results / DIVERGED
    return diverged if diverged.is_file() else checkpoint_path(results, trial.training.epochs)


def _distances(
    sampler: Sampler,
    name: str,
    distance: Callable[[Tensor], float],
    dataset: PreparedDataset,
) -> list[float]:
    """Return the distance of each set of samples of a trial to the validation images.

    It is measured over the features of the network of this name.

    Raises:
        DivergenceError: The training diverged, or its samples are not finite.
    """
    path = _checkpoint(sampler.config, sampler.results)
    if path.name == Path(DIVERGED).name:
        found = read_manifest(path)
        require_same_settings(
            {key: found.get(key) for key in ("settings", "data_digest")},
            {
                "settings": sampler.config.training_settings(),
                "data_digest": dataset.manifest.digest,
            },
            path=path,
            remedy="train the trial again",
        )
        raise DivergenceError(found["reason"])
    epoch, prior = sampler.config.training.epochs, sampler.config.model.prior_kind
    trained = sampler.load(epoch)
    distances = []
    for place in range(sampler.settings.num_seeds):
        samples = sampler.draw(trained, epoch, place, prior)
        distances.append(distance(samples.features[name]))
    return distances
