"""Mean and covariance of features in float64, accumulated batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from latentbench.artifacts.files import require_format
from latentbench.artifacts.tensors import read_tensors, require_tensors, write_tensors
from latentbench.errors import ArtifactError

FORMAT = 1

# Features in memory in float64 at once.
_BLOCK = 1_000


@dataclass(frozen=True)
class FeatureStats:
    """Mean (dim,) and unbiased covariance (dim, dim) of `count` features.

    `root` (dim, rank) is a matrix with root · rootᵀ = covariance, or None where it was not
    computed.
    """

    count: int
    mean: Tensor
    covariance: Tensor
    root: Tensor | None = None

    @property
    def dim(self) -> int:
        """The number of features."""
        return self.mean.shape[0]

    @property
    def rank(self) -> int:
        """The largest possible rank of the covariance of `count` samples."""
        return min(self.count - 1, self.dim)

    def with_root(self) -> Self:
        """Return the same statistics with `root`, from an eigendecomposition, O(dim³)."""
        eigenvalues, eigenvectors = torch.linalg.eigh(self.covariance)
        largest = slice(self.dim - self.rank, None)
        scale = eigenvalues[largest].clamp(min=0).sqrt()
        return type(self)(self.count, self.mean, self.covariance, eigenvectors[:, largest] * scale)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        tensors = {"mean": self.mean, "covariance": self.covariance}
        if self.root is not None:
            tensors["root"] = self.root
        write_tensors(path, tensors, {"format": FORMAT, "count": self.count})

    @classmethod
    def load(cls, path: Path, *, device: torch.device) -> Self:
        """Read a file that `save` wrote.

        Raises:
            ArtifactError: The file is missing, damaged or of another format.
        """
        tensors, metadata = read_tensors(path)
        require_format(path, metadata, FORMAT)
        count, mean = metadata.get("count"), tensors.get("mean")
        if not isinstance(count, int) or count < 2 or mean is None or mean.ndim != 1:
            raise ArtifactError(
                f"{path} does not hold feature statistics. Delete it and run its stage again."
            )
        dim = len(mean)
        shapes = {"mean": (dim,), "covariance": (dim, dim)}
        if "root" in tensors:
            shapes["root"] = (dim, min(count - 1, dim))
        expected = {}
        for name, shape in shapes.items():
            expected[name] = torch.empty(shape, dtype=torch.float64, device="meta")
        require_tensors(tensors, expected, path=path, remedy="delete it and run its stage again")
        return cls(count, **{name: tensor.to(device) for name, tensor in tensors.items()})


class Moments:
    """Running mean and scatter matrix Σ (x − mean)(x − mean)ᵀ.

    Batches are centered on their own mean before they are multiplied (Chan et al., 1983, eq. 2.1),
    so the rounding error does not grow with the distance of the features from the origin.
    """

    def __init__(self, dim: int, *, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.mean = torch.zeros(dim, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64, device=device)

    def update(self, features: Tensor) -> None:
        """Add features (batch, dim)."""
        features = features.to(self.mean)
        mean = features.mean(dim=0)
        centered = features - mean
        self._update(len(features), mean, centered.T @ centered)

    def merge(self, other: Moments) -> None:
        """Add the features of `other`."""
        self._update(other.count, other.mean, other.scatter)

    def compute(self) -> FeatureStats:
        """Return the statistics; there must be at least two features."""
        if self.count < 2:
            raise ValueError(f"a covariance takes at least two features, not {self.count}")
        return FeatureStats(self.count, self.mean.clone(), self.scatter / (self.count - 1))

    def _update(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        if count == 0:
            return
        total = self.count + count
        step = mean - self.mean
        self.scatter += scatter + torch.outer(step, step) * (self.count * count / total)
        self.mean += step * (count / total)
        self.count = total


def compute_feature_stats(features: Tensor) -> FeatureStats:
    """Return the statistics of features (number, dim)."""
    moments = Moments(features.shape[1], device=features.device)
    for block in features.split(_BLOCK):
        moments.update(block)
    return moments.compute()
