"""Scores that a checkpoint's discriminator gives real and generated images, and its error rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.progress import track
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.images import to_model, to_uint8
from latentbench.data.labels import label_vectors
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DivergenceError
from latentbench.evaluation.findings import Findings
from latentbench.evaluation.predictions.classes import LabelClassifier
from latentbench.evaluation.predictions.discriminator import (
    MAX_PER_CLASS,
    DecisionThreshold,
    rows_by_class,
)
from latentbench.models.gan_losses import estimates_probability
from latentbench.models.objective import HasDiscriminator, Objective, draw_latents
from latentbench.rng import numpy_generator, torch_generator

NUM_TRAINING = 1_000  # training images that are scored; a critic's threshold is fitted to them

NUM_EXTREMES = 5  # images per kind of judgment that are kept

# Images per batch. Batch norm makes a score depend on its batch, so this is no setting.
_BATCH_SIZE = 100

Indices = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class ScoredSamples:
    """Samples, uint8 (number, height, width, channel), with their scores and predicted classes."""

    images: Tensor
    scores: Tensor
    classes: Tensor | None


class DiscriminatorScorer:
    """Scores real and generated images in separate batches of mixed classes, as in training."""

    def __init__(
        self,
        config: ExperimentConfig,
        objective: Objective,
        dataset: PreparedDataset,
        classifier: LabelClassifier | None,
        *,
        device: torch.device,
    ) -> None:
        self.config = config
        self.objective = objective
        self.dataset = dataset
        self.classifier = classifier
        self.device = device

    def findings(self) -> Findings:
        """Return scores, threshold, error rates and the images with the most telling scores.

        The arrays `judged_real` and `judged_generated` hold images (3, number, height, width,
        channel), see `DecisionThreshold.extremes`, and those with the suffix `_scores` their
        scores. There are no findings without a discriminator.
        """
        if not isinstance(self.objective, HasDiscriminator):
            return Findings()
        train, test = self._training_rows(), self._test_rows()
        scores = {"train": self._score_real("train", train), "test": self._score_real("test", test)}
        generated = self._score_generated(self._labels("test", test), "discriminator")
        scores["generated"] = generated.scores
        decision = self._decision_threshold(scores["train"], self._labels("train", train))
        overall = decision.row("all", real=scores["test"], generated=generated.scores)
        facts = {
            "threshold": decision.threshold,
            "estimates_probability": estimates_probability(self._loss),
            "all": overall,
            "classes": self._rows_by_class(decision, scores, test, generated.classes),
        }
        arrays = {f"scores_{kind}": values.numpy() for kind, values in scores.items()}
        for kind, is_real in (("test", True), ("generated", False)):
            chosen = decision.extremes(scores[kind], is_real=is_real, number=NUM_EXTREMES)
            name = "judged_real" if is_real else "judged_generated"
            arrays[f"{name}_scores"] = scores[kind][chosen].numpy()
            if is_real:
                arrays[name] = np.array(self.dataset.images("test")[test[chosen.numpy()]])
            else:
                arrays[name] = generated.images[chosen].numpy()
        return Findings(arrays, {"discriminator": facts})

    @property
    def _loss(self) -> str | None:
        """The loss in the settings; None for critics, which have none to choose."""
        return getattr(self.config.model, "loss", None)

    def _decision_threshold(self, train_scores: Tensor, labels: Tensor) -> DecisionThreshold:
        if self._loss is not None:
            return DecisionThreshold.from_loss(self._loss)
        generated = self._score_generated(labels, "discriminator threshold")
        return DecisionThreshold.maximizing_accuracy(real=train_scores, generated=generated.scores)

    def _rows_by_class(
        self,
        decision: DecisionThreshold,
        scores: dict[str, Tensor],
        test: Indices,
        predicted_classes: Tensor | None,
    ) -> list[dict[str, Any]]:
        """Return no rows where samples have neither a requested nor a predicted class."""
        real = torch.from_numpy(self.dataset.labels("test")[test])
        # Conditional models generate one sample for the label of each real image.
        generated = real if self.config.model.condition == "class" else predicted_classes
        if generated is None:
            return []
        return rows_by_class(
            decision,
            self.dataset.manifest.class_names,
            real=scores["test"],
            generated=scores["generated"],
            classes=(real, generated),
        )

    def _training_rows(self) -> Indices:
        number = self.dataset.manifest.train.num_images
        order = numpy_generator(self.config.seed, "scored training images").permutation(number)
        return order[:NUM_TRAINING]

    def _test_rows(self) -> Indices:
        """Return at most MAX_PER_CLASS random rows of each class; without classes, of all."""
        labels = self.dataset.labels("test")
        order = numpy_generator(self.config.seed, "scored test images").permutation(len(labels))
        ranks = np.zeros(len(order), dtype=np.int64)
        for label in np.unique(labels):
            in_class = labels[order] == label
            ranks[in_class] = np.arange(in_class.sum())
        return order[ranks < MAX_PER_CLASS]

    def _labels(self, split: str, rows: Indices) -> Tensor:
        """Return label vectors, float (number, num_labels)."""
        vectors = label_vectors(self.dataset, split, self.config.model.condition)
        return torch.from_numpy(vectors[rows]).float()

    @torch.no_grad()
    def _score_real(self, split: str, rows: Indices) -> Tensor:
        images = self.dataset.images(split)
        labels = self._labels(split, rows)
        scores = []
        for batch in self._batches(len(rows), f"{split} images"):
            pixels = torch.from_numpy(np.array(images[rows[batch]])).to(self.device)
            scores.append(self._score(to_model(pixels), labels[batch]))
        return torch.cat(scores)

    @torch.no_grad()
    def _score_generated(self, labels: Tensor, stream: str) -> ScoredSamples:
        """Generate and score a sample per label (number, num_labels).

        Classes (number,) are predicted where there is a classifier.
        """
        generator = torch_generator(self.config.seed, stream)
        latents = draw_latents(len(labels), self.objective.latent_dim, generator).to(self.device)
        samples, scores, classes = [], [], []
        for batch in self._batches(len(labels), "generated images"):
            images = self.objective.sample(latents[batch], labels[batch].to(self.device))
            scores.append(self._score(images, labels[batch]))
            pixels = to_uint8(images)
            samples.append(pixels.cpu())
            if self.classifier is not None:
                classes.append(self.classifier.predict(pixels))
        predicted = torch.cat(classes) if classes else None
        return ScoredSamples(torch.cat(samples), torch.cat(scores), predicted)

    def _score(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return float32 (batch,), on the CPU."""
        assert isinstance(self.objective, HasDiscriminator)
        scores = self.objective.discriminate(images, labels.to(self.device)).float().cpu()
        if not bool(torch.isfinite(scores).all()):
            raise DivergenceError(
                f"The discriminator of {self.config.name} outputs infinite or NaN scores: its "
                "training diverged. Train the experiment again with a lower learning rate."
            )
        return scores

    def _batches(self, number: int, kind: str) -> Iterator[slice]:
        """Return batches of nearly equal size: a small one would have other batch statistics."""
        edges = np.linspace(0, number, -(-number // _BATCH_SIZE) + 1).round().astype(int).tolist()
        batches = [slice(start, stop) for start, stop in pairwise(edges)]
        return track(batches, f"{self.config.name}, scores of {kind}", unit="batches")
