"""Generated images beside one extractor's real features: Fréchet and kernel distance, overlap of neighborhoods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.files import read_array
from latentbench.artifacts.paths import features_name, statistics_name, test_features_name
from latentbench.config.experiments import Evaluation
from latentbench.errors import ArtifactError
from latentbench.evaluation.feature_stats import FeatureStats, compute_feature_stats
from latentbench.evaluation.frechet import frechet_distance
from latentbench.evaluation.kid import MOST_REAL_IMAGES, KernelDistance, draw_subsets
from latentbench.evaluation.knn import Rows
from latentbench.evaluation.precision_recall import PrecisionRecall
from latentbench.evaluation.sample_size import SampleSizes, distances_by_size
from latentbench.rng import numpy_generator, torch_generator

# Which real images a kernel distance takes does not depend on the experiment: all meet the same ones.
_REAL_SEED = 0


class Distances:
    """What `settings.num_samples` features at a time are compared with."""

    def __init__(self, statistics: FeatureStats, real: Tensor, settings: Evaluation) -> None:
        """`real` (number, dim) are those that kernel distances draw their subsets from, in random order.

        Neighborhoods are of as many of them as there are samples: their size falls with their number.
        """
        self.statistics = statistics
        self.num_subsets = settings.kid_subsets
        self.subset_size = min(settings.kid_subset_size, settings.num_samples, len(real))
        self.num_overlapping = min(settings.num_samples, len(real))
        self.num_neighbors = min(settings.num_neighbors, self.num_overlapping - 1)
        self.neighborhoods = PrecisionRecall(
            real[: self.num_overlapping], num_neighbors=self.num_neighbors
        )
        self.kernel = KernelDistance(
            real, self._draw(len(real), torch_generator(_REAL_SEED, "real subsets"))
        )

    @classmethod
    def open(
        cls, folder: Path, extractor: str, settings: Evaluation, *, dim: int, device: torch.device
    ) -> Distances:
        """Read what the reference stage left of an extractor with `dim` features; only those that are used.

        Raises ArtifactError where a file is missing, damaged or not of the same images and extractor as the other.
        """
        statistics = FeatureStats.load(folder / statistics_name(extractor), device=device)
        if statistics.dim != dim:
            raise ArtifactError(
                f"{folder / statistics_name(extractor)} is of {statistics.dim:,} features, but the {extractor} network "
                f"has {dim:,}; build the reference again."
            )
        path = folder / features_name(extractor)
        features = read_features(path, shape=(statistics.count, dim))
        order = numpy_generator(_REAL_SEED, "real images").permutation(len(features))
        # Read in the order of the file, kept in the random one.
        chosen = np.sort(order[:MOST_REAL_IMAGES])
        real = torch.from_numpy(np.array(features[chosen]))[
            np.searchsorted(chosen, order[:MOST_REAL_IMAGES])
        ]
        _require_finite(real, path)
        return cls(statistics, real.to(device), settings)

    def frechet(self, features: Tensor) -> float:
        return frechet_distance(self.statistics, compute_feature_stats(features))

    def frechet_by_size(self, features: Tensor, *, seed: int) -> SampleSizes:
        return distances_by_size(
            self.statistics, features, generator=torch_generator(seed, "sample sizes")
        )

    def overlap(self, features: Tensor) -> dict[str, float]:
        """Precision, recall, density and coverage."""
        return self.neighborhoods(features[: self.num_overlapping])

    def kernel_over_subsets(self, features: Tensor, *, seed: int, step: int = 0) -> Tensor:
        """(subsets,) distances of subsets that `seed` and `step` draw."""
        generator = torch_generator(seed, "generated subsets", step)
        return self.kernel(features, self._draw(len(features), generator))

    def _draw(self, number: int, generator: torch.Generator) -> Tensor:
        return draw_subsets(
            number, subsets=self.num_subsets, size=self.subset_size, generator=generator
        )


def read_features(path: Path, *, shape: tuple[int, int]) -> Rows:
    """Features (number, dim) that the reference stage left, memory-mapped.

    Raises ArtifactError where they are missing, damaged or of another shape.
    """
    features = read_array(path, mmap=True)
    if features.shape != shape:
        raise ArtifactError(
            f"{path} has shape {features.shape}, not {shape}; build the reference again."
        )
    return features


def read_test_features(folder: Path, extractor: str, *, shape: tuple[int, int]) -> Tensor:
    """Those of the test images, in memory. Raises ArtifactError as `read_features`, and where one is not finite."""
    path = folder / test_features_name(extractor)
    features = torch.from_numpy(np.array(read_features(path, shape=shape)))
    _require_finite(features, path)
    return features


def _require_finite(features: Tensor, path: Path) -> None:
    if not bool(torch.isfinite(features).all()):
        raise ArtifactError(f"{path} holds infinite or NaN features; build the reference again.")
