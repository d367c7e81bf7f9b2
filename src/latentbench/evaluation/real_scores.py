"""The metrics of real test images, measured in sets as samples are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.metrics import (
    CLASS_SHARES,
    Columns,
    feature_column,
    mean_and_std,
)
from latentbench.config.experiments import Evaluation
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.metrics.class_shares import ClassShares
from latentbench.evaluation.metrics.distances import REAL_SEED, Distances, read_test_features
from latentbench.rng import numpy_generator

# Sets of test images. On glyphs their distances vary by a fifth, so the mean is known to 6 %.
NUM_SETS = 10

# Sets whose classes are drawn have at least this share of the images that they could have.
_MIN_SHARE = 0.5

Labels = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class RealSets:
    """Rows of test images, int64 (sets, number), and whether their classes were drawn."""

    rows: Tensor
    has_random_classes: bool


def draw_real_sets(
    test_labels: Labels, train_labels: Labels, number: int, *, num_sets: int
) -> RealSets:
    """Draw sets of test images whose classes are drawn as those of samples are.

    The class of each image is random, with the frequencies of the training images. The image is a
    random test image of the class that the set does not have yet. Sets have `number` images, or
    fewer: they all end before any of them has used up a class. Numbers of images per class then
    vary as in samples, because a sum of independent draws that stops at a random time has the
    variance of its mean length (Wald's second identity).

    Where classes of the test images differ so much from those of the training images that less than
    half remain, sets are random test images.
    """
    limit = min(number, len(test_labels))
    classes, counts = np.unique(train_labels, return_counts=True)
    is_tested = np.isin(classes, test_labels)
    classes, counts = classes[is_tested], counts[is_tested]
    sets = []
    for place in range(num_sets):
        rng = numpy_generator(REAL_SEED, "test images", place)
        drawn = rng.choice(classes, size=limit, p=counts / counts.sum())
        rows = np.full(limit, -1)
        for label in classes:
            places = np.flatnonzero(drawn == label)
            images = rng.permutation(np.flatnonzero(test_labels == label))
            used = min(len(places), len(images))
            rows[places[:used]] = images[:used]
        sets.append(rows)
    drawn_rows = np.stack(sets)
    lacking = np.flatnonzero((drawn_rows < 0).any(axis=0))
    shared = int(lacking[0]) if len(lacking) else limit
    if shared >= max(2, _MIN_SHARE * limit):
        return RealSets(torch.from_numpy(drawn_rows[:, :shared]), len(classes) > 1)
    return RealSets(_random_sets(len(test_labels), limit, num_sets), False)


def _random_sets(num_images: int, number: int, num_sets: int) -> Tensor:
    """Return sets of random images, (sets, number); a single one where it has all images."""
    sets = []
    for place in range(num_sets if number < num_images else 1):
        order = numpy_generator(REAL_SEED, "random test images", place).permutation(num_images)
        sets.append(order[:number])
    return torch.from_numpy(np.stack(sets))


class RealScores:
    """Measures sets of test images like the sets of samples of one experiment."""

    def __init__(
        self, dataset: PreparedDataset, reference: Path, settings: Evaluation, device: torch.device
    ) -> None:
        """Draw the sets; `reference` is the folder that the reference stage wrote."""
        self.dataset = dataset
        self.reference = reference
        self.settings = settings
        self.device = device
        self.num_test = dataset.manifest.test.num_images
        self.sets = draw_real_sets(
            dataset.labels("test"),
            dataset.labels("train"),
            settings.num_samples,
            num_sets=NUM_SETS,
        )
        number = min(settings.num_samples, self.num_test)
        # Precision and recall depend on the number of images more than on their classes.
        self.compared = _random_sets(self.num_test, number, settings.num_seeds)

    def measure(
        self, distances: Mapping[str, Distances], class_shares: Mapping[str, ClassShares]
    ) -> Columns:
        """Return the columns of metrics.csv, means and standard deviations over sets."""
        tables: dict[str, list[list[float]]] = defaultdict(list)  # a list of sets per network
        for name, of_samples in distances.items():
            dim = of_samples.statistics.dim
            features = read_test_features(self.reference, name, shape=(self.num_test, dim))
            found = self._measure(of_samples, features.to(self.device), class_shares.get(name))
            for metric, values in found.items():
                tables[metric].append(values)
        scores: Columns = {}
        for metric, table in tables.items():
            scores |= mean_and_std(metric, list(zip(*table, strict=True)))
        return scores

    def _measure(
        self, distances: Distances, features: Tensor, class_shares: ClassShares | None
    ) -> dict[str, list[float]]:
        """Return the value of each set of test images over the features (number, dim) of all."""
        values: dict[str, list[float]] = defaultdict(list)
        resized = self._resize(distances, self.sets.rows.shape[1])
        for place, rows in enumerate(self.sets.rows):
            measured = resized.measure(features[rows], seed=REAL_SEED, step=place)
            if class_shares is not None:
                measured[CLASS_SHARES] = class_shares.distance(features[rows])
            for metric, value in measured.items():
                values[metric].append(value)
        resized = self._resize(distances, self.compared.shape[1])
        for rows in self.compared:
            for metric, value in resized.precision_recall(features[rows]).items():
                values[feature_column(metric, distances.extractor)].append(value)
        return values

    def facts(self) -> dict[str, Any]:
        """Return the numbers of test images and of sets."""
        return {
            "num_test_images": self.sets.rows.shape[1],
            "num_test_sets": len(self.sets.rows),
            "num_test_compared": self.compared.shape[1],
            "has_random_classes": self.sets.has_random_classes,
        }

    def _resize(self, distances: Distances, number: int) -> Distances:
        """Return distances of sets of so many features."""
        if number == self.settings.num_samples:
            return distances
        settings = self.settings.model_copy(update={"num_samples": number})
        real, statistics = distances.real, distances.statistics
        return Distances(distances.extractor, statistics, real, settings)
