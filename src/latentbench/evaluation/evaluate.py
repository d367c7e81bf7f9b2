"""The evaluate stage: how far each checkpoint's samples are from real images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import write_arrays, write_csv, write_json
from latentbench.artifacts.metrics import CLOSER_TO_TRAIN, LABEL_ACCURACY, feature_column
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    EVALUATION_ARRAYS,
    EVALUATION_FILES,
    FEATURES,
    LAST_METRICS,
    METRICS,
    REFERENCE_MANIFEST,
    checkpoint_path,
    record_name,
)
from latentbench.artifacts.progress import log
from latentbench.artifacts.provenance import ResourceUsage, write_record
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.attribute_accuracy import AttributeAccuracy, mean_balanced
from latentbench.evaluation.attribute_conditioning import AttributeRecognizer
from latentbench.evaluation.cache import FeatureCache
from latentbench.evaluation.classes import ClassPredictions, ClassRecognizer
from latentbench.evaluation.discriminator_scores import Scorer
from latentbench.evaluation.distances import Distances
from latentbench.evaluation.features import prepare_measurement
from latentbench.evaluation.findings import Findings
from latentbench.evaluation.last_checkpoint import (
    CheckpointSamples,
    beside_training_images,
    class_by_class,
)
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.memorization import Memorization
from latentbench.evaluation.metadata import description, warnings
from latentbench.evaluation.sample_size import FEWEST_SAMPLES
from latentbench.evaluation.samples import Samples, SampleSet
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup

Row = dict[str, float | int | None]


@dataclass(frozen=True)
class Folders:
    """Where the stage reads and writes."""

    data: Path
    reference: Path
    results: Path
    scratch: Path


def evaluate_experiment(
    config: ExperimentConfig, folders: Folders, *, processes: ProcessGroup = SINGLE_PROCESS
) -> None:
    """Write metrics.csv, a row per checkpoint, metrics.json, the last row and how it was measured, and the arrays of a
    closer look at the last checkpoint.

    Where there are several processes, each makes this call: they share the samples, the first one measures and writes.
    Raises ArtifactError, DataError, DownloadError, DivergenceError and StorageError.
    """
    device = prepare_measurement(config.compute)
    results = folders.results
    if not processes.is_first:
        _Evaluator(config, folders, device, processes).sample()
        ResourceUsage.measure().all_reduce(processes.sum_over_processes)
        return
    (results / LAST_METRICS).unlink(missing_ok=True)
    evaluator = _Evaluator(config, folders, device, processes)
    told = evaluator.warnings()
    for warning in told:
        log(f"{config.name}: {warning}")
    rows = [evaluator.measure(epoch) for epoch in config.training.checkpoint_epochs]
    findings = evaluator.examine()
    if verdict := findings.facts["memorization"]["warning"]:
        log(f"{config.name}: {verdict}")
        told.append(verdict)
    last = rows[-1] | {
        "seed": config.seed,
        "warnings": told,
        "sample_sizes": evaluator.sample_sizes(),
    }
    write_arrays(results / EVALUATION_ARRAYS, findings.arrays)
    write_csv(results / METRICS, rows, columns=list(rows[0]))
    write_json(results / LAST_METRICS, last | evaluator.description() | findings.facts)
    write_record(
        results / record_name("evaluate"),
        "evaluate",
        settings=settings_of("evaluate", config.model_dump(mode="json")),
        inputs=[
            *(checkpoint_path(results, epoch) for epoch in config.training.checkpoint_epochs),
            folders.data / DATASET_MANIFEST,
            folders.reference / REFERENCE_MANIFEST,
        ],
        outputs=[results / name for name in EVALUATION_FILES],
        cost=ResourceUsage.measure().all_reduce(processes.sum_over_processes),
    )
    evaluator.cache.remove_unused()


class _Evaluator:
    """What is loaded once and serves every checkpoint."""

    def __init__(
        self,
        config: ExperimentConfig,
        folders: Folders,
        device: torch.device,
        processes: ProcessGroup,
    ) -> None:
        self.config = config
        self.settings = config.evaluation
        self.folders = folders
        self.device = device
        self.reference = ReferenceManifest.read(folders.reference)
        self.dataset = PreparedDataset.open(folders.data)
        self.reference.require_match(folders.reference, self.dataset, config)
        self.cache = FeatureCache(folders.scratch / FEATURES)
        self.extractors = {
            name: self.reference.load_extractor(name, folders.reference, device=device)
            for name in self.reference.extractors
        }
        self.samples = Samples(
            config,
            folders.results,
            reference=self.reference,
            extractors=self.extractors,
            cache=self.cache,
            device=device,
            processes=processes,
        )
        # A checkpoint that cannot be measured should say so before the features are read.
        self.samples.load(config.training.checkpoint_epochs[0])
        self.has_prior = config.model.has_prior
        condition = config.model.condition
        self.recognizer = ClassRecognizer.among(
            self.extractors, self.reference, asks=condition == "class"
        )
        self.attribute_recognizer = AttributeRecognizer.among(
            self.extractors, self.reference, condition
        )
        self.distances: dict[str, Distances] = {}
        self.memories: dict[str, Memorization] = {}
        for name, described in self.reference.extractors.items():
            dim = self.extractors[name].dim
            self.distances[name] = Distances.open(
                folders.reference, name, self.settings, dim=dim, device=device
            )
            self.memories[name] = Memorization.open(folders.reference, name, described)

    def sample(self) -> None:
        """Only help to draw what the first process measures."""
        for epoch in self.config.training.checkpoint_epochs:
            trained = self.samples.load(epoch)
            for seed_index in range(self.settings.num_seeds):
                self.samples.draw(trained, epoch, seed_index)

    def measure(self, epoch: int) -> Row:
        """A checkpoint's row of metrics.csv."""
        trained = self.samples.load(epoch)
        scores: dict[str, list[float]] = defaultdict(list)
        seeds: list[ClassPredictions] = []
        recognitions: list[list[AttributeAccuracy]] = []
        for seed_index in range(self.settings.num_seeds):
            drawn = self.samples.draw(trained, epoch, seed_index)
            if seed_index == 0:
                first = drawn
            seeds += [self.recognizer.sorted(drawn)] if self.recognizer else []
            recognitions += (
                [self.attribute_recognizer.recognize(drawn)] if self.attribute_recognizer else []
            )
            for name, values in self._scores(drawn, seed_index).items():
                scores[name] += values
        if accuracies := [accuracy for one in seeds if (accuracy := one.accuracy()) is not None]:
            scores[LABEL_ACCURACY] = accuracies
        if recognitions:
            scores[LABEL_ACCURACY] = [mean_balanced(of_seed) for of_seed in recognitions]
        self.last = CheckpointSamples(self.samples, trained, epoch, first, seeds, recognitions)
        row: Row = {
            "epoch": epoch,
            "num_samples": self.settings.num_samples,
            "num_seeds": self.settings.num_seeds,
            "num_reference": self.reference.num_images,
        }
        for name, values in scores.items():
            row |= mean_and_std(name, np.array(values))
        return row

    def _scores(self, drawn: SampleSet, seed_index: int) -> dict[str, list[float]]:
        """Of one seed's samples, the values whose mean and spread are told."""
        scores: dict[str, list[float]] = {}
        for name, distances in self.distances.items():
            described, own = self.reference.extractors[name], drawn.features[name]
            over_subsets = distances.kernel_over_subsets(
                own, seed=self.config.seed, step=seed_index
            )
            scores[described.metric] = [distances.frechet(own)]
            scores[described.kernel_metric] = over_subsets.tolist()
            scores |= {
                feature_column(quantity, name): [value]
                for quantity, value in distances.overlap(own).items()
            }
            scores[feature_column(CLOSER_TO_TRAIN, name)] = [self.memories[name].nearer(own)]
        return scores

    def examine(self) -> Findings:
        """A closer look at the checkpoint that was measured last."""
        last, data, reference = self.last, self.dataset, self.folders.reference
        return Findings.joined(
            [
                beside_training_images(last, self.memories, data, reference),
                class_by_class(last, self.recognizer, data, reference),
                self.attribute_recognizer.findings(last.recognitions)
                if self.attribute_recognizer
                else Findings(),
                Scorer(
                    self.config, last.trained.objective, data, self.recognizer, device=self.device
                ).findings(),
            ]
        )

    def sample_sizes(self) -> dict[str, dict[str, Any]]:
        """By Fréchet distance, what it is of fewer and of infinitely many samples of the last checkpoint."""
        features = self.last.first.features
        return {
            self.reference.extractors[name].metric: asdict(
                distances.frechet_by_size(features[name], seed=self.config.seed)
            )
            for name, distances in self.distances.items()
            if self.settings.num_samples >= FEWEST_SAMPLES
        }

    def warnings(self) -> list[str]:
        return warnings(
            self.reference, num_samples=self.settings.num_samples, has_prior=self.has_prior
        )

    def description(self) -> dict[str, Any]:
        return description(self.reference, self.distances, self.attribute_recognizer)


def mean_and_std(
    metric: str, values: np.ndarray[Any, np.dtype[np.float64]]
) -> Mapping[str, float | None]:
    """The two columns of a metric; the second is empty where one value has no standard deviation."""
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return {metric: float(values.mean()), f"{metric}_std": std}
