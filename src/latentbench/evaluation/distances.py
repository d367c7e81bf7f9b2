"""Distances of generated images to one extractor's real features: Fréchet and kernel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.files import read_array
from latentbench.artifacts.layout import features_name, statistics_name
from latentbench.errors import ArtifactError
from latentbench.evaluation.frechet import frechet_distance
from latentbench.evaluation.kernel import MOST_REAL_IMAGES, KernelDistance, draw_subsets
from latentbench.evaluation.statistics import Statistics, feature_statistics
from latentbench.rng import numpy_generator, torch_generator

# Which real images a kernel distance takes does not depend on the experiment: all meet the same ones.
_REAL_SEED = 0


class Distances:
    """What `num_samples` features at a time are compared with."""

    def __init__(
        self, statistics: Statistics, real: Tensor, *, num_samples: int, subsets: int, subset_size: int
    ) -> None:
        """`real` (number, dim) are those that kernel distances draw their subsets from."""
        self.statistics = statistics
        self.num_subsets = subsets
        self.subset_size = min(subset_size, num_samples, len(real))
        self.kernel = KernelDistance(real, self._draw(len(real), torch_generator(_REAL_SEED, "real subsets")))

    @classmethod
    def open(
        cls,
        folder: Path,
        extractor: str,
        *,
        device: torch.device,
        num_samples: int,
        subsets: int,
        subset_size: int,
    ) -> Distances:
        """Read what the reference stage left; of the features only those that are used.

        Raises ArtifactError where a file is missing, damaged or not of the same images as the other.
        """
        statistics = Statistics.load(folder / statistics_name(extractor), device=device)
        path = folder / features_name(extractor)
        features = read_array(path, mapped=True)
        if features.shape != (statistics.count, statistics.dim):
            raise ArtifactError(
                f"{path} has shape {features.shape}, but its statistics are of "
                f"{(statistics.count, statistics.dim)}; build the reference again."
            )
        order = numpy_generator(_REAL_SEED, "real images").permutation(len(features))
        real = torch.from_numpy(np.array(features[np.sort(order[:MOST_REAL_IMAGES])])).to(device)
        return cls(statistics, real, num_samples=num_samples, subsets=subsets, subset_size=subset_size)

    def frechet(self, features: Tensor) -> float:
        return frechet_distance(self.statistics, feature_statistics(features))

    def kernel_over_subsets(self, features: Tensor, *, seed: int, step: int = 0) -> Tensor:
        """(subsets,) distances of subsets that `seed` and `step` draw."""
        generator = torch_generator(seed, "generated subsets", step)
        return self.kernel(features, self._draw(len(features), generator))

    def _draw(self, number: int, generator: torch.Generator) -> Tensor:
        return draw_subsets(number, subsets=self.num_subsets, size=self.subset_size, generator=generator)
