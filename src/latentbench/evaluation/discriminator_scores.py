"""What a checkpoint's discriminator gives real and generated images, and what follows for it."""

from __future__ import annotations

from collections.abc import Iterator
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
from latentbench.evaluation.classes import ClassRecognizer
from latentbench.evaluation.discriminator import MOST_PER_CLASS, DecisionThreshold, rows_by_class
from latentbench.evaluation.findings import Findings
from latentbench.models.objective import HasDiscriminator, Objective, draw_latents
from latentbench.rng import numpy_generator, torch_generator

NUM_TRAINING = 1_000  # training images that are scored, and that a critic's threshold is found with

# Images that are scored at once. Where there is batch norm a score depends on its batch, so that this is no setting.
_BATCH = 100

Indices = np.ndarray[Any, np.dtype[np.int64]]


class Scorer:
    """Scores as in training: real and generated images apart, and classes mixed within a batch."""

    def __init__(
        self,
        config: ExperimentConfig,
        objective: Objective,
        dataset: PreparedDataset,
        recognizer: ClassRecognizer | None,
        *,
        device: torch.device,
    ) -> None:
        self.config = config
        self.objective = objective
        self.dataset = dataset
        self.recognizer = recognizer
        self.device = device

    def findings(self) -> Findings:
        """Nothing where the objective does not discriminate."""
        if not isinstance(self.objective, HasDiscriminator):
            return Findings()
        train, test = self._training_rows(), self._test_rows()
        scores = {"train": self._real("train", train), "test": self._real("test", test)}
        scores["generated"], recognized = self._generated(
            self._labels("test", test), "discriminator"
        )
        rule = self._rule(scores["train"], self._labels("train", train))
        whole = rule.row("all", real=scores["test"], generated=scores["generated"])
        classes = self._rows_by_class(rule, scores, test, recognized)
        facts = {"threshold": rule.threshold, "all": whole, "classes": classes}
        arrays = {f"scores_{kind}": values.numpy() for kind, values in scores.items()}
        return Findings(arrays, {"discriminator": facts})

    def _rule(self, scores_train: Tensor, labels: Tensor) -> DecisionThreshold:
        loss = getattr(self.config.model, "loss", None)
        if loss is not None:
            return DecisionThreshold.of_loss(loss)
        generated, _ = self._generated(labels, "discriminator threshold")
        return DecisionThreshold.best(real=scores_train, generated=generated)

    def _rows_by_class(
        self,
        rule: DecisionThreshold,
        scores: dict[str, Tensor],
        test: Indices,
        recognized: Tensor | None,
    ) -> list[dict[str, Any]]:
        """Nothing where the dataset has no classes, or nothing says which a sample is of."""
        real = torch.from_numpy(self.dataset.labels("test")[test])
        # One sample was asked for by the label of each real image.
        generated = real if self.config.model.condition == "class" else recognized
        if generated is None:
            return []
        names, classes = self.dataset.manifest.class_names, (real, generated)
        return rows_by_class(
            rule, names, real=scores["test"], generated=scores["generated"], classes=classes
        )

    def _training_rows(self) -> Indices:
        number = self.dataset.manifest.train.num_images
        return numpy_generator(self.config.seed, "scored training images").permutation(number)[
            :NUM_TRAINING
        ]

    def _test_rows(self) -> Indices:
        """At most MOST_PER_CLASS of each class, in random order; without classes, of all."""
        labels = self.dataset.labels("test")
        order = numpy_generator(self.config.seed, "scored test images").permutation(len(labels))
        ranks = np.zeros(len(order), dtype=np.int64)
        for label in np.unique(labels):
            own = labels[order] == label
            ranks[own] = np.arange(own.sum())
        return order[ranks < MOST_PER_CLASS]

    def _labels(self, split: str, rows: Indices) -> Tensor:
        """Float (number, num_labels)."""
        return torch.from_numpy(
            label_vectors(self.dataset, split, self.config.model.condition)[rows]
        ).float()

    @torch.no_grad()
    def _real(self, split: str, rows: Indices) -> Tensor:
        images = self.dataset.images(split)
        labels = self._labels(split, rows)
        scores = []
        for part in self._parts(len(rows), f"{split} images"):
            batch = to_model(torch.from_numpy(np.array(images[rows[part]])).to(self.device))
            scores.append(self._score(batch, labels[part]))
        return torch.cat(scores)

    @torch.no_grad()
    def _generated(self, labels: Tensor, stream: str) -> tuple[Tensor, Tensor | None]:
        """Of one sample per label (number, num_labels): scores (number,), and classes where they are recognized."""
        generator = torch_generator(self.config.seed, stream)
        latents = draw_latents(len(labels), self.objective.latent_dim, generator)
        scores, classes = [], []
        for part in self._parts(len(labels), "generated images"):
            images = self.objective.sample(
                latents[part].to(self.device), labels[part].to(self.device)
            )
            scores.append(self._score(images, labels[part]))
            if self.recognizer is not None:
                classes.append(self.recognizer.recognize(to_uint8(images)))
        return torch.cat(scores), torch.cat(classes) if classes else None

    def _score(self, images: Tensor, labels: Tensor) -> Tensor:
        """Float32 (batch,), on the CPU."""
        assert isinstance(self.objective, HasDiscriminator)
        scores = self.objective.discriminate(images, labels.to(self.device)).float().cpu()
        if not bool(torch.isfinite(scores).all()):
            raise DivergenceError(
                f"The discriminator of {self.config.name} gives infinite or NaN scores: its training diverged; "
                "train the experiment again with a lower learning rate."
            )
        return scores

    def _parts(self, number: int, kind: str) -> Iterator[slice]:
        """Batches of nearly equal size: none of a few images, whose statistics would be like no other's."""
        edges = np.linspace(0, number, -(-number // _BATCH) + 1).round().astype(int).tolist()
        parts = [slice(start, stop) for start, stop in pairwise(edges)]
        return track(parts, f"{self.config.name}, scores of {kind}", unit="batches")
