"""The part of a Fréchet distance that the frequencies of classes alone make.

Most of the variance of a classifier's features lies between classes, so a model that draws some
classes too often has a distance, however good its images are. Here real images are given the
classes of the samples; their distance to the real images is this part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from latentbench.evaluation.features.feature_stats import FeatureStats, Moments
from latentbench.evaluation.metrics.frechet import frechet_distance
from latentbench.evaluation.metrics.knn import Rows


class PredictsClasses(Protocol):
    """A classifier over features."""

    def predict_classes(self, features: Tensor) -> Tensor:
        """Return the class (number,) of features (number, dim)."""
        ...


class ClassShares:
    """Moments of real features by class, which give those of any mixture of the classes."""

    def __init__(self, statistics: FeatureStats, real: Rows, classifier: PredictsClasses) -> None:
        """Keep the moments of each class of real features (number, dim).

        `statistics` are those of all features. Classes are those that the classifier predicts, not
        labels, because samples have predictions only.
        """
        self.statistics = statistics
        self.classifier = classifier
        features = torch.from_numpy(np.array(real)).to(statistics.mean.device)
        classes = classifier.predict_classes(features)
        self.moments: dict[int, Moments] = {}
        for label in classes.unique().tolist():
            moments = Moments(statistics.dim, device=statistics.mean.device)
            moments.update(features[classes == label])
            self.moments[label] = moments

    def distance(self, features: Tensor) -> float:
        """Return the Fréchet distance of real images with the classes of features (number, dim).

        Classes that the classifier sees in no real image are left out; NaN where all are.
        """
        classes = self.classifier.predict_classes(features)
        counts = classes.bincount(minlength=1 + max(self.moments)).tolist()
        known = {label: counts[label] for label in self.moments}
        total = sum(known.values())
        if not total:
            return float("nan")
        shares = {label: count / total for label, count in known.items()}
        return frechet_distance(self.statistics, self.reweighted(shares))

    def reweighted(self, shares: Mapping[int, float]) -> FeatureStats:
        """Return the statistics of real images with these shares of classes, of sum 1.

        The mean is the weighted mean of the classes' means. The covariance is the weighted mean of
        the classes' covariances and of the outer products of their means' distances from it. It has
        the factor n / (n - 1) of the unbiased covariance of all n images, so that the shares of
        these give their statistics.
        """
        mean = torch.zeros_like(self.statistics.mean)
        covariance = torch.zeros_like(self.statistics.covariance)
        for label, share in shares.items():
            mean += share * self.moments[label].mean
        for label, share in shares.items():
            moments = self.moments[label]
            between = moments.mean - mean
            covariance += share * (moments.scatter / moments.count + torch.outer(between, between))
        number = self.statistics.count
        return FeatureStats(number, mean, covariance * (number / (number - 1)))
