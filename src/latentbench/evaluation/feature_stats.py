"""Mean and covariance of features in float64, gathered batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from latentbench.artifacts.tensors import read_tensors, write_tensors
from latentbench.errors import ArtifactError

FORMAT = 1

# Features that are in memory in float64 at once.
_BLOCK = 1_000


@dataclass(frozen=True)
class FeatureStats:
    """The Gaussian that a Fréchet distance compares.

    mean (dim,) and the unbiased covariance (dim, dim) of `count` features; `root` (dim, rank), where it is
    at hand, is a matrix with root · rootᵀ = covariance.
    """

    count: int
    mean: Tensor
    covariance: Tensor
    root: Tensor | None = None

    @property
    def dim(self) -> int:
        return self.mean.shape[0]

    @property
    def rank(self) -> int:
        """The most that the covariance of so few features can have."""
        return min(self.count - 1, self.dim)

    def with_root(self) -> Self:
        """The same statistics with `root`, by an eigendecomposition, O(dim³)."""
        eigenvalues, eigenvectors = torch.linalg.eigh(self.covariance)
        largest = slice(self.dim - self.rank, None)
        scale = eigenvalues[largest].clamp(min=0).sqrt()
        return type(self)(self.count, self.mean, self.covariance, eigenvectors[:, largest] * scale)

    def save(self, path: Path) -> None:
        tensors = {"mean": self.mean, "covariance": self.covariance}
        if self.root is not None:
            tensors["root"] = self.root
        write_tensors(path, tensors, {"format": FORMAT, "count": self.count})

    @classmethod
    def load(cls, path: Path, *, device: torch.device) -> Self:
        """Raises ArtifactError where the file is missing, damaged or of another format."""
        tensors, metadata = read_tensors(path)
        if metadata.get("format") != FORMAT or not {"mean", "covariance"} <= tensors.keys():
            raise ArtifactError(
                f"{path} does not hold feature statistics; delete it and run its stage again."
            )
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise ArtifactError(
                f"{path} holds infinite or NaN values; delete it and run its stage again."
            )
        return cls(
            metadata["count"], **{name: tensor.to(device) for name, tensor in tensors.items()}
        )


class Moments:
    """Running mean and scatter, Σ (x − mean)(x − mean)ᵀ, of all features seen.

    Batches are centered on their own mean before they are multiplied (Chan et al., 1983, equation 2.1), so
    that the result does not depend on how the features were cut into batches.
    """

    def __init__(self, dim: int, *, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.mean = torch.zeros(dim, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64, device=device)

    def add(self, features: Tensor) -> None:
        """Take in features (batch, dim)."""
        features = features.to(self.mean)
        mean = features.mean(dim=0)
        centered = features - mean
        self._combine(len(features), mean, centered.T @ centered)

    def merge(self, other: Moments) -> None:
        """Take in what `other` has seen."""
        self._combine(other.count, other.mean, other.scatter)

    def statistics(self) -> FeatureStats:
        """Of at least two features: the covariance of one is not defined."""
        if self.count < 2:
            raise ValueError(f"a covariance takes at least two features, not {self.count}")
        return FeatureStats(self.count, self.mean.clone(), self.scatter / (self.count - 1))

    def _combine(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        if count == 0:
            return
        total = self.count + count
        step = mean - self.mean
        self.scatter += scatter + torch.outer(step, step) * (self.count * count / total)
        self.mean += step * (count / total)
        self.count = total


def compute_feature_stats(features: Tensor) -> FeatureStats:
    """Of features (number, dim) that are in memory as a whole."""
    moments = Moments(features.shape[1], device=features.device)
    for block in features.split(_BLOCK):
        moments.add(block)
    return moments.statistics()
