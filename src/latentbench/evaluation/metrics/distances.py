"""Distances between samples and real images over the features of one extractor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.files import read_array
from latentbench.artifacts.metrics import CMMD as CMMD_KEY
from latentbench.artifacts.metrics import DISTANCES
from latentbench.artifacts.paths import (
    extractor_of,
    features_name,
    statistics_name,
    test_features_name,
)
from latentbench.config.experiments import Evaluation
from latentbench.errors import ArtifactError
from latentbench.evaluation.features.feature_stats import (
    FeatureStats,
    Moments,
    compute_feature_stats,
)
from latentbench.evaluation.metrics import cmmd, kid
from latentbench.evaluation.metrics.cmmd import CMMD
from latentbench.evaluation.metrics.frechet import frechet_distance
from latentbench.evaluation.metrics.kid import KernelDistance, draw_subsets
from latentbench.evaluation.metrics.knn import Rows
from latentbench.evaluation.metrics.precision_recall import PrecisionRecall
from latentbench.evaluation.metrics.sample_size import SampleSizes, distances_by_size
from latentbench.rng import numpy_generator, torch_generator

# What is drawn of the real images does not depend on the experiment, so all models are compared
# with the same ones.
REAL_SEED = 0


class Distances:
    """Real features and statistics that sets of `settings.num_samples` features are compared to."""

    def __init__(
        self, extractor: str, statistics: FeatureStats, real: Tensor, settings: Evaluation
    ) -> None:
        """Keep `real` (number, dim), features in random order that kernel distances draw from.

        Neighborhoods shrink with the number of features, so precision and recall use as many real
        features as samples, at most as many as kernel distances do.
        """
        self.extractor = extractor
        self.statistics = statistics
        self.real = real
        self.num_subsets = settings.kid_subsets
        self.subset_size = min(settings.kid_subset_size, settings.num_samples, len(real))
        self.num_compared = min(settings.num_samples, kid.MAX_REAL_IMAGES, len(real))
        self.num_neighbors = min(settings.num_neighbors, self.num_compared - 1)

    @cached_property
    def neighborhoods(self) -> PrecisionRecall:
        """The neighborhoods of as many real images as there are samples."""
        real = self.real[: self.num_compared]
        return PrecisionRecall(real, num_neighbors=self.num_neighbors)

    @cached_property
    def kernel(self) -> KernelDistance:
        """The subsets of real images of kernel distances."""
        generator = torch_generator(REAL_SEED, "real subsets")
        return KernelDistance(self.real, self._draw_subsets(len(self.real), generator))

    @cached_property
    def cmmd(self) -> CMMD:
        """CMMD to the real images."""
        return CMMD(self.real)

    @property
    def is_cmmd(self) -> bool:
        """Whether the distance is CMMD, without a Fréchet distance and a kernel distance."""
        return DISTANCES[self.extractor] == (CMMD_KEY,)

    @classmethod
    def load(
        cls, folder: Path, network: str, settings: Evaluation, *, dim: int, device: torch.device
    ) -> Distances:
        """Read what the reference stage wrote for a feature network with `dim` features.

        Raises:
            ArtifactError: A file is missing or damaged, or the files are of different images or
                networks.
        """
        statistics = FeatureStats.load(folder / statistics_name(network), device=device)
        if statistics.dim != dim:
            raise ArtifactError(
                f"{folder / statistics_name(network)} holds statistics of {statistics.dim:,} "
                f"features, but the {network} network has {dim:,}. Build the reference again."
            )
        path = folder / features_name(network)
        features = read_features(path, shape=(statistics.count, dim))
        order = numpy_generator(REAL_SEED, "real images").permutation(len(features))
        # Read in the file's order, which is fast, and put into the random order.
        chosen = order[: max_real_images(extractor_of(network))]
        ascending = np.sort(chosen)
        real = torch.from_numpy(np.array(features[ascending]))[np.searchsorted(ascending, chosen)]
        _require_finite(real, path)
        return cls(extractor_of(network), statistics, real.to(device), settings)

    def measure(self, features: Tensor, *, seed: int, step: int = 0) -> dict[str, float]:
        """Return each distance of a set of features (number, dim) by its column.

        The kernel distance is the mean over subsets, which are drawn by `seed` and `step`.
        """
        if self.is_cmmd:
            return {CMMD_KEY: self.cmmd(features)}
        metric, kernel_metric = DISTANCES[self.extractor]
        return {
            metric: self.frechet(features),
            kernel_metric: self.kernel_distances(features, seed=seed, step=step).mean().item(),
        }

    def frechet(self, features: Tensor) -> float:
        """Return the Fréchet distance of features (number, dim)."""
        return frechet_distance(self.statistics, compute_feature_stats(features))

    def frechet_by_size(self, features: Tensor, *, seed: int) -> SampleSizes:
        """Return the Fréchet distances of random subsets of the features."""
        generator = torch_generator(seed, "sample sizes")
        return distances_by_size(self.statistics, features, generator=generator)

    def precision_recall(self, features: Tensor) -> dict[str, float]:
        """Return precision, recall, density and coverage."""
        return self.neighborhoods(features[: self.num_compared])

    def kernel_distances(self, features: Tensor, *, seed: int, step: int = 0) -> Tensor:
        """Return the kernel distance of each subset, (subsets,), drawn by `seed` and `step`."""
        generator = torch_generator(seed, "generated subsets", step)
        return self.kernel(features, self._draw_subsets(len(features), generator))

    def _draw_subsets(self, number: int, generator: torch.Generator) -> Tensor:
        return draw_subsets(
            number, subsets=self.num_subsets, size=self.subset_size, generator=generator
        )


def max_real_images(extractor: str) -> int:
    """Return how many real images kernels over an extractor's features compare with, at most."""
    return cmmd.MAX_REAL_IMAGES if DISTANCES[extractor] == (CMMD_KEY,) else kid.MAX_REAL_IMAGES


def first_distance(extractor: str, real: Sequence[Tensor]) -> Callable[[Tensor], float]:
    """Return the extractor's first distance to batches of real features, a function of features."""
    if DISTANCES[extractor] == (CMMD_KEY,):
        return CMMD(torch.cat(list(real)))
    moments = Moments(real[0].shape[1], device=real[0].device)
    for features in real:
        moments.update(features)
    statistics = moments.compute().with_root()
    return lambda features: frechet_distance(statistics, compute_feature_stats(features))


def read_features(path: Path, *, shape: tuple[int, int]) -> Rows:
    """Return the memory-mapped features (number, dim) in a file of the reference stage.

    Raises:
        ArtifactError: The file is missing, damaged or of another shape.
    """
    return read_array(path, mmap=True, shape=shape, dtype="float32")


def read_test_features(folder: Path, network: str, *, shape: tuple[int, int]) -> Tensor:
    """Return the features of the test images.

    Raises:
        ArtifactError: The file is missing, damaged or of another shape, or a value is not finite.
    """
    path = folder / test_features_name(network)
    features = torch.from_numpy(np.array(read_features(path, shape=shape)))
    _require_finite(features, path)
    return features


def _require_finite(features: Tensor, path: Path) -> None:
    if not bool(torch.isfinite(features).all()):
        raise ArtifactError(f"{path} holds infinite or NaN features. Build the reference again.")
