"""The evaluate stage: the metrics of each checkpoint, and findings on the last one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import write_arrays, write_csv, write_json, write_together
from latentbench.artifacts.lock import lock_folder
from latentbench.artifacts.metrics import (
    CLASS_SHARES,
    CLOSER_TO_TRAIN,
    DISTANCES,
    LABEL_ACCURACY,
    PRDC,
    feature_column,
    mean_and_std,
)
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
from latentbench.config.models import PriorKind
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.cache import FeatureCache
from latentbench.evaluation.features.classifier import ClassifierExtractor
from latentbench.evaluation.features.extract import prepare_measurement
from latentbench.evaluation.findings import Findings
from latentbench.evaluation.last_checkpoint import (
    CheckpointSamples,
    class_findings,
    memorization_findings,
)
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.metadata import protocol_metadata, reference_scores, warnings
from latentbench.evaluation.metrics.class_shares import ClassShares
from latentbench.evaluation.metrics.distances import Distances
from latentbench.evaluation.metrics.likelihood import LikelihoodEstimator
from latentbench.evaluation.metrics.memorization import Memorization
from latentbench.evaluation.metrics.sample_size import MIN_SAMPLES, SampleSizes
from latentbench.evaluation.predictions.attribute_accuracy import (
    AttributeAccuracy,
    mean_balanced_accuracy,
)
from latentbench.evaluation.predictions.attribute_conditioning import AttributeClassifier
from latentbench.evaluation.predictions.classes import ClassPredictions, LabelClassifier
from latentbench.evaluation.predictions.discriminator_scores import DiscriminatorScorer
from latentbench.evaluation.real_scores import RealScores
from latentbench.evaluation.samples import Sampler, SampleSet
from latentbench.evaluation.sampling_cost import SamplingCost, measure_sampling
from latentbench.inference.model import Model
from latentbench.runtime.device import device_name, float64_device
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup

Row = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Folders:
    """The folders that the stage reads and writes."""

    data: Path
    reference: Path
    results: Path
    scratch: Path


def evaluate_experiment(
    config: ExperimentConfig, folders: Folders, *, processes: ProcessGroup = SINGLE_PROCESS
) -> None:
    """Write metrics.csv (a row per checkpoint and prior), metrics.json (the last one) and arrays.

    All processes of a group make this call: they share the sampling, and the first one measures and
    writes.

    Raises:
        LatentbenchError: ArtifactError, DataError, DownloadError, DivergenceError or StorageError.
    """
    device = prepare_measurement(config.compute, num_processes=processes.world_size)
    if not processes.is_first:
        _Evaluator(config, folders, device, processes).sample_all()
        ResourceUsage.measure().all_reduce(processes.sum_over_processes)
        return
    with lock_folder(folders.results, "evaluate"), lock_folder(folders.scratch, "evaluate"):
        _evaluate(config, folders, device, processes)


def _evaluate(
    config: ExperimentConfig, folders: Folders, device: torch.device, processes: ProcessGroup
) -> None:
    """Evaluate in the first process and write all files."""
    results = folders.results
    evaluator = _Evaluator(config, folders, device, processes)
    sentences = evaluator.warnings()
    for sentence in sentences:
        log(f"{config.name}: {sentence}")
    rows: list[Row] = []
    for epoch in config.training.checkpoint_epochs:
        of_last = evaluator.evaluate_checkpoint(epoch)
        rows += of_last.values()
    findings = evaluator.findings()
    if warning := findings.facts["memorization"]["warning"]:
        log(f"{config.name}: {warning}")
        sentences.append(warning)
    others = evaluator.other_priors(of_last)
    sampling, costs = evaluator.sampling()
    last = of_last[config.model.prior_kind] | {
        "seed": config.seed,
        "warnings": sentences,
        "sample_sizes": evaluator.sample_sizes(),
        "prior_components": evaluator.last.trained.prior.num_components,
        "other_priors": others,
        "sampling": sampling,
        **evaluator.values_by_network(config.model.prior_kind),
    }
    with write_together(results, last=LAST_METRICS) as staged:
        write_arrays(staged / EVALUATION_ARRAYS, findings.arrays)
        write_csv(staged / METRICS, rows, columns=list(rows[0]))
        write_json(staged / LAST_METRICS, last | evaluator.metadata() | findings.facts)
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
        # Times differ from run to run, so they are no part of the results.
        sampling={"device": device_name(device), "costs": [asdict(each) for each in costs]},
    )
    evaluator.cache.remove_unused()


class _Evaluator:
    """Loads what all checkpoints share, and evaluates one checkpoint after another."""

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
        self.sampler = Sampler(
            config,
            folders.results,
            reference=self.reference,
            extractors=self.extractors,
            cache=self.cache,
            device=device,
            processes=processes,
        )
        # Fail on an unusable checkpoint before the features are read.
        self.sampler.load(config.training.checkpoint_epochs[0])
        condition = config.model.condition
        self.label_classifier = LabelClassifier.from_extractors(
            self.extractors, self.reference, conditional=condition == "class"
        )
        self.attribute_classifier = AttributeClassifier.from_extractors(
            self.extractors, self.reference, condition
        )
        self.distances: dict[str, Distances] = {}
        self.memorization: dict[str, Memorization] = {}
        for name in self.reference.extractors:
            dim = self.extractors[name].dim
            self.distances[name] = Distances.load(
                folders.reference, name, self.settings, dim=dim, device=float64_device(device)
            )
            self.memorization[name] = Memorization.load(folders.reference, name, self.reference)
        self.class_shares: dict[str, ClassShares] = {}
        for name, extractor in self.extractors.items():
            if not self.reference.extractors[name].predicts_classes:
                continue
            assert isinstance(extractor, ClassifierExtractor)
            statistics, real = self.distances[name].statistics, self.memorization[name].real
            self.class_shares[name] = ClassShares(statistics, real, extractor)

    def sample_all(self) -> None:
        """Compute this process's share of all samples."""
        for epoch in self.config.training.checkpoint_epochs:
            trained = self.sampler.load(epoch)
            for prior in trained.priors:
                for seed_index in range(self.settings.num_seeds):
                    self.sampler.draw(trained, epoch, seed_index, prior)
        for steps in self.config.other_sampling_steps():
            other = trained.with_sampling(steps=steps)
            self.sampler.draw(other, epoch, 0, self.config.model.prior_kind)

    def evaluate_checkpoint(self, epoch: int) -> dict[PriorKind, Row]:
        """Return a checkpoint's rows of metrics.csv by prior, and keep samples for `findings`."""
        trained = self.sampler.load(epoch)
        self.samples: dict[PriorKind, CheckpointSamples] = {}
        self.scores: dict[PriorKind, dict[str, list[list[float]]]] = {}
        return {prior: self._evaluate_prior(trained, epoch, prior) for prior in trained.priors}

    def _evaluate_prior(self, trained: Model, epoch: int, prior: PriorKind) -> Row:
        scores: dict[str, list[list[float]]] = defaultdict(list)
        class_predictions: list[ClassPredictions] = []
        attribute_accuracies: list[list[AttributeAccuracy]] = []
        for seed_index in range(self.settings.num_seeds):
            samples = self.sampler.draw(trained, epoch, seed_index, prior)
            if seed_index == 0:
                first = samples
            for name, values in self._scores(samples, seed_index).items():
                scores[name].append(values)
            if self.label_classifier is not None:
                predictions = self.label_classifier.predict_samples(samples)
                class_predictions.append(predictions)
                if (accuracy := predictions.accuracy()) is not None:
                    scores[LABEL_ACCURACY].append([accuracy])
            if self.attribute_classifier is not None:
                accuracies = self.attribute_classifier.evaluate(samples)
                attribute_accuracies.append(accuracies)
                scores[LABEL_ACCURACY].append([mean_balanced_accuracy(accuracies)])
        self.samples[prior] = CheckpointSamples(
            self.sampler, trained, epoch, first, class_predictions, attribute_accuracies
        )
        row: Row = {
            "epoch": epoch,
            "prior": prior,
            "num_samples": self.settings.num_samples,
            "num_seeds": self.settings.num_seeds,
            "num_reference": self.reference.num_images,
        }
        for name, table in scores.items():
            row |= mean_and_std(name, table)
        self.scores[prior] = scores
        return row

    def values_by_network(self, prior: PriorKind) -> dict[str, Any]:
        """Return the values of the last checkpoint's metrics over several networks, if there are.

        `values_by_network` has a list of sets of samples per metric, with a value per network.
        """
        found = {}
        for name, table in self.scores[prior].items():
            if len(table[0]) > 1 and np.isfinite(table).all():
                found[name] = table
        return {"values_by_network": found} if found else {}

    @property
    def last(self) -> CheckpointSamples:
        """The samples of the checkpoint that was evaluated last, from the model's own prior."""
        return self.samples[self.config.model.prior_kind]

    def _scores(self, samples: SampleSet, seed_index: int) -> dict[str, list[float]]:
        """Return a set's values of each metric, one for each network of its extractor."""
        scores: dict[str, list[float]] = defaultdict(list)
        for name, distances in self.distances.items():
            features = samples.features[name]
            found = self._distances(name, samples, seed_index)
            closer = self.memorization[name].closer_to_train(features)
            found[feature_column(CLOSER_TO_TRAIN, distances.extractor)] = closer
            if name in self.class_shares:
                found[CLASS_SHARES] = self.class_shares[name].distance(features)
            for metric, value in found.items():
                scores[metric].append(value)
        return scores

    def _distances(self, name: str, samples: SampleSet, seed_index: int) -> dict[str, float]:
        """Return a set's distances, precision, recall, density and coverage by a network."""
        distances, features = self.distances[name], samples.features[name]
        found = distances.measure(features, seed=self.config.seed, step=seed_index)
        for metric, value in distances.precision_recall(features).items():
            found[feature_column(metric, distances.extractor)] = value
        return found

    def sampling(self) -> tuple[list[Row], list[SamplingCost]]:
        """Return distances by the number of sampling steps, ascending, and what an image costs.

        They are of the last checkpoint's first set of samples from the model's own prior. A model
        that samples in one step has one row, whose `steps` are None.
        """
        last, prior = self.last, self.config.model.prior_kind
        measured = [(last.trained, {name: sets[0] for name, sets in self.scores[prior].items()})]
        for steps in self.config.other_sampling_steps():
            model = last.trained.with_sampling(steps=steps)
            samples = self.sampler.draw(model, last.epoch, 0, prior)
            scores: dict[str, list[float]] = defaultdict(list)
            for name in self.distances:
                for metric, value in self._distances(name, samples, 0).items():
                    scores[metric].append(value)
            measured.append((model, scores))
        measured.sort(key=lambda pair: pair[0].sampling.steps if pair[0].sampling else 1)
        rows, costs = [], []
        first = slice(self.settings.batch_size)
        for model, values in measured:
            cost = measure_sampling(model, last.first.latents[first], last.first.labels[first])
            row: Row = {"steps": cost.steps, "evaluations": cost.evaluations}
            for name in self._distance_names():
                row[name] = mean_and_std(name, [values[name]])[name]
            rows.append(row)
            costs.append(cost)
        return rows, costs

    def _distance_names(self) -> list[str]:
        """Return the names of what `_distances` measures."""
        names: dict[str, None] = {}
        for distances in self.distances.values():
            prdc = [feature_column(each, distances.extractor) for each in PRDC]
            names |= dict.fromkeys([*DISTANCES[distances.extractor], *prdc])
        return list(names)

    def findings(self) -> Findings:
        """Return arrays and facts on the checkpoint that was evaluated last."""
        last, data, reference = self.last, self.dataset, self.folders.reference
        scorer = DiscriminatorScorer(
            self.config, last.trained.objective, data, self.label_classifier, device=self.device
        )
        likelihood = LikelihoodEstimator(self.config, last.trained, data, device=self.device)
        parts = [
            self._memorization_findings(last),
            class_findings(last, self.label_classifier, data, reference),
            scorer.findings(),
            likelihood.findings(),
        ]
        if self.attribute_classifier is not None:
            parts.append(self.attribute_classifier.findings(last.attribute_accuracies))
        return Findings.merge(parts)

    def other_priors(self, rows: dict[PriorKind, Row]) -> dict[PriorKind, dict[str, Any]]:
        """Return the rows of priors that are not the model's own, with facts on memorization."""
        others = {}
        for prior, samples in self.samples.items():
            if prior != self.config.model.prior_kind:
                facts = self._memorization_findings(samples).facts
                others[prior] = rows[prior] | facts | self.values_by_network(prior)
        return others

    def _memorization_findings(self, samples: CheckpointSamples) -> Findings:
        return memorization_findings(
            samples, self.memorization, self.dataset, self.folders.reference
        )

    def sample_sizes(self) -> dict[str, dict[str, Any]]:
        """Return each Fréchet distance for fewer samples, and its extrapolation."""
        if self.settings.num_samples < MIN_SAMPLES:
            return {}
        sizes: dict[str, list[SampleSizes]] = defaultdict(list)
        for name, distances in self.distances.items():
            described = self.reference.extractors[name]
            if described.has_frechet_distance:
                features = self.last.first.features[name]
                by_size = distances.frechet_by_size(features, seed=self.config.seed)
                sizes[described.metric].append(by_size)
        return {metric: asdict(SampleSizes.mean(found)) for metric, found in sizes.items()}

    def warnings(self) -> list[str]:
        """Return sentences on what limits the meaning of the distances."""
        return warnings(
            self.reference,
            num_samples=self.settings.num_samples,
            is_generative=self.config.model.is_generative,
        )

    def metadata(self) -> dict[str, Any]:
        """Return the protocols and the scores of real images."""
        real = RealScores(
            self.dataset, self.folders.reference, self.settings, float64_device(self.device)
        )
        test_scores = real.measure(self.distances, self.class_shares)
        test_scores |= reference_scores(self.reference, self.attribute_classifier)
        return (
            protocol_metadata(self.reference, self.distances)
            | {"test_scores": test_scores}
            | real.facts()
        )
