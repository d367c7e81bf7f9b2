"""Whether samples are new: how near they are to training images, beside real images that no model has seen.

Meehan et al. (2020) call it data-copying where samples are nearer to the training images than held-out images are, by
a rank test over all distances. With thousands of samples such a test is significant for any difference, and so for
every model whose samples are a little smoother than pictures are. What is asked here is therefore how large the
difference is, in shares that real images have too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from torch import Tensor

from latentbench.artifacts.files import read_array
from latentbench.artifacts.paths import features_name
from latentbench.artifacts.thresholds import CLOSE_QUANTILE, COPY_FRACTION
from latentbench.evaluation.knn import Rows, nearest
from latentbench.evaluation.manifest import ExtractorManifest


class Memorization:
    """Training features, and how near real test images are to them."""

    def __init__(self, real: Rows, *, typical: float, close: float) -> None:
        """`real` (images, dim) may be memory-mapped; half of the test images are nearer to one of them than
        `typical`, and a share of CLOSE_QUANTILE than `close`."""
        self.real = real
        self.typical = typical
        self.close = close

    @classmethod
    def open(cls, folder: Path, extractor: str, described: ExtractorManifest) -> Self:
        """Raises ArtifactError where the features are missing or damaged."""
        real = read_array(folder / features_name(extractor), mmap=True)
        return cls(real, typical=described.median_distance, close=described.close_distance)

    @classmethod
    def of_unseen(cls, real: Rows, unseen: Tensor) -> Self:
        """By the features (number, dim) of the test images."""
        distances = nearest(unseen, real, number=1)[0].cpu().numpy()
        typical, close = np.quantile(distances, [0.5, CLOSE_QUANTILE])
        return cls(real, typical=float(typical), close=float(close))

    def nearest(self, features: Tensor, *, number: int = 1) -> tuple[Tensor, Tensor]:
        """Distances and indices (samples, number) of the nearest training images."""
        return nearest(features, self.real, number=min(number, len(self.real)))

    def nearer(self, features: Tensor) -> float:
        """The share of features that are nearer to a training image than half of the test images are."""
        return share_below(self.nearest(features)[0], self.typical)

    def copied(self, distances: Tensor) -> float:
        """The share of samples that are nearer than all but CLOSE_QUANTILE of the test images are, by their distances
        (samples,) to their nearest training images."""
        return share_below(distances, self.close)

    def verdict(self, distances: Tensor) -> str:
        """A sentence where samples are copies, by the same distances.

        They are where most are nearer than all but a share of CLOSE_QUANTILE of the test images. Of the test images
        themselves that share are, and of copies all, so that most lies far from either: neither the noise of few
        samples nor a model that prefers typical images gets there, but one that copies for the greater part does. Of
        eleven models trained here on digits and faces, autoencoders and GANs, none had more than 6 % so near; training
        images with noise of 10 levels of 255 are so near almost all.
        """
        copied = self.copied(distances)
        if copied < COPY_FRACTION:
            return ""
        return (
            f"{copied:.0%} of its samples are nearer to a training image than all but {CLOSE_QUANTILE:.0%} of the real test "
            "images are: they look like copies; look at them beside their nearest training images, and train for "
            "less long or on more images."
        )


def share_below(distances: Tensor, bound: float) -> float:
    return (distances < bound).double().mean().item()
