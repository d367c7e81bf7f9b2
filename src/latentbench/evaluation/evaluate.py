"""The evaluate stage: how far each checkpoint's samples are from real images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.files import write_csv, write_json
from latentbench.artifacts.layout import LAST_METRICS, METRICS, checkpoint_path, overlap_column
from latentbench.artifacts.progress import say, track
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.images import to_uint8
from latentbench.errors import DivergenceError
from latentbench.evaluation.checkpoints import Trained, load_checkpoint
from latentbench.evaluation.classifier import ClassifierExtractor
from latentbench.evaluation.distances import Distances
from latentbench.evaluation.features import FeatureExtractor, prepare_measurement, require_finite
from latentbench.evaluation.manifest import LABEL_ACCURACY, ReferenceManifest
from latentbench.evaluation.sample_size import FEWEST_SAMPLES
from latentbench.models.objective import draw_latents
from latentbench.rng import torch_generator

Features = dict[str, Tensor]
Row = dict[str, float | int | None]


def evaluate_experiment(config: ExperimentConfig, results: Path, reference: Path) -> None:
    """Write metrics.csv, a row per checkpoint, and metrics.json, the last row and how it was measured.

    Raises ArtifactError, DataError, DownloadError, DivergenceError and StorageError.
    """
    device = prepare_measurement(config.compute)
    (results / LAST_METRICS).unlink(missing_ok=True)
    evaluator = _Evaluator(config, results, reference, device)
    warnings = evaluator.warnings()
    for warning in warnings:
        say(f"{config.name}: {warning}")
    rows = [evaluator.measure(epoch) for epoch in config.training.checkpoint_epochs]
    last = rows[-1] | {"seed": config.seed, "warnings": warnings, "sample_sizes": evaluator.sample_sizes()}
    write_csv(results / METRICS, rows, columns=list(rows[0]))
    write_json(results / LAST_METRICS, last | evaluator.description())


class _Evaluator:
    """What is loaded once and serves every checkpoint."""

    def __init__(self, config: ExperimentConfig, results: Path, reference: Path, device: torch.device) -> None:
        self.config = config
        self.settings = config.evaluation
        self.results = results
        self.device = device
        self.reference = ReferenceManifest.read(reference)
        self.extractors: dict[str, FeatureExtractor] = {}
        self.distances: dict[str, Distances] = {}
        self.first_features: Features = {}  # of the last checkpoint that was measured, of the first seed
        # A checkpoint that cannot be measured should say so before the reference is read.
        self.has_prior = self._load(config.training.checkpoint_epochs[0]).objective.has_prior
        for name in self.reference.extractors:
            self.extractors[name] = self.reference.load_extractor(name, reference, device=device)
            self.distances[name] = Distances.open(reference, name, self.settings, device=device)

    def measure(self, epoch: int) -> Row:
        """A checkpoint's row of metrics.csv. All checkpoints decode the same latents."""
        trained = self._load(epoch)
        scores: dict[str, list[float]] = defaultdict(list)
        for seed_index in range(self.settings.num_seeds):
            latents, labels = self._inputs(trained, seed_index)
            features = self._features(trained, latents, labels, epoch)
            if seed_index == 0:
                self.first_features = features
            for name, values in self._scores(features, labels, seed_index).items():
                scores[name] += values
        row: Row = {
            "epoch": epoch,
            "num_samples": self.settings.num_samples,
            "num_seeds": self.settings.num_seeds,
            "num_reference": self.reference.num_images,
        }
        for name, values in scores.items():
            row |= mean_and_std(name, np.array(values))
        return row

    def _scores(self, features: Features, labels: Tensor, seed_index: int) -> dict[str, list[float]]:
        """Of one seed's samples, the values whose mean and spread are told."""
        scores: dict[str, list[float]] = {}
        for name, distances in self.distances.items():
            described, own = self.reference.extractors[name], features[name]
            over_subsets = distances.kernel_over_subsets(own, seed=self.config.seed, step=seed_index)
            scores[described.metric] = [distances.frechet(own)]
            scores[described.kernel_metric] = over_subsets.tolist()
            scores |= {overlap_column(quantity, name): [value] for quantity, value in distances.overlap(own).items()}
        recognised = self._recognised(features, labels)
        return scores | ({LABEL_ACCURACY: recognised} if recognised else {})

    def sample_sizes(self) -> dict[str, dict[str, Any]]:
        """By Fréchet distance, what it is of fewer and of infinitely many samples; to be called after `measure`."""
        return {
            self.reference.extractors[name].metric: asdict(
                distances.frechet_by_size(self.first_features[name], seed=self.config.seed)
            )
            for name, distances in self.distances.items()
            if self.settings.num_samples >= FEWEST_SAMPLES
        }

    def warnings(self) -> list[str]:
        """What makes a distance less than it seems."""
        promised = [
            "its samples decode latents of N(0, I), which it was not trained to do: their distance from the real "
            "images says how far its codes are from that distribution, not how well it reconstructs."
        ]
        sizes = {"generated": self.settings.num_samples, "real": self.reference.num_images}
        biased = [
            f"{described.metric.upper()} compares covariances of {described.feature_dim:,} features, but of "
            f"only {number:,} {kind} images, so it is biased upwards; compare it at equal numbers only."
            for described in self.reference.extractors.values()
            for kind, number in sizes.items()
            if number <= described.feature_dim
        ]
        return [*promised * (not self.has_prior), *biased]

    def description(self) -> dict[str, Any]:
        """The protocol of each extractor, and what real images of the test split score."""
        protocols: dict[str, str] = {}
        floor: dict[str, float] = {}
        for name, described in self.reference.extractors.items():
            distances = self.distances[name]
            protocols[name] = (
                f"{described.protocol}; {described.kernel_metric.upper()} is the mean, and its ± the "
                f"standard deviation, over {self.settings.kid_subsets} subsets of "
                f"{distances.subset_size:,} images per seed; precision, recall, density and coverage are of "
                f"{distances.num_overlapping:,} images on either side, with neighbourhoods up to the nearest "
                f"{distances.neighbours}"
            )
            floor |= {key: value for key, value in described.floor.items() if key != "num_images"}
        num_unseen = next(int(described.floor["num_images"]) for described in self.reference.extractors.values())
        return {"protocols": protocols, "floor": floor, "num_unseen": num_unseen}

    def _load(self, epoch: int) -> Trained:
        return load_checkpoint(
            self.config, self.results, epoch, device=self.device, data_digest=self.reference.data_digest
        )

    def _inputs(self, trained: Trained, seed_index: int) -> tuple[Tensor, Tensor]:
        """One seed's latents (num_samples, latent_dim) and labels (num_samples, num_labels).

        Drawn at once, on the CPU: neither the batch size nor the device changes one. Labels are as frequent as in
        the training data, which the samples are compared with.
        """
        generator = torch_generator(self.config.seed, "evaluation", seed_index)
        latents = draw_latents(self.settings.num_samples, trained.objective.latent_dim, generator)
        return latents, trained.labels.draw(self.settings.num_samples, generator)

    def _features(self, trained: Trained, latents: Tensor, labels: Tensor, epoch: int) -> Features:
        """Of the samples, (num_samples, dim) by extractor."""
        batches: dict[str, list[Tensor]] = {name: [] for name in self.extractors}
        for images in self._samples(trained, latents, labels, epoch):
            for name, extractor in self.extractors.items():
                features = extractor(images)
                require_finite(features, extractor)
                batches[name].append(features)
        return {name: torch.cat(parts) for name, parts in batches.items()}

    def _samples(self, trained: Trained, latents: Tensor, labels: Tensor, epoch: int) -> Iterator[Tensor]:
        """Batches of uint8 images (batch, height, width, channel): 8 bits, as a user would save them."""
        size = self.settings.batch_size
        inputs = zip(latents.split(size), labels.split(size), strict=True)
        for latent, label in track(
            inputs, f"{self.config.name}, epoch {epoch}", total=-(-len(latents) // size), unit="batches"
        ):
            images = trained.objective.sample(latent.to(self.device), label.to(self.device))
            if not bool(torch.isfinite(images).all()):
                raise DivergenceError(
                    f"{checkpoint_path(self.results, epoch)} generates infinite or NaN pixels: its training "
                    "diverged; train the experiment again with a lower learning rate."
                )
            yield to_uint8(images)

    def _recognised(self, features: Features, labels: Tensor) -> list[float]:
        """The share of samples that the classifier gives the class that was asked for, where both know classes."""
        classifier = self.extractors.get("classifier")
        asked_by_class = self.config.model.condition == "class"
        if not isinstance(classifier, ClassifierExtractor) or not asked_by_class:
            return []
        if self.reference.extractors["classifier"].task != "labels":
            return []
        predicted = classifier.predict(features["classifier"]).cpu()
        return [float((predicted == labels.argmax(dim=1)).float().mean())]


def mean_and_std(metric: str, values: np.ndarray[Any, np.dtype[np.float64]]) -> Mapping[str, float | None]:
    """The two columns of a metric; the second is empty where one value has no standard deviation."""
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return {metric: float(values.mean()), f"{metric}_std": std}
