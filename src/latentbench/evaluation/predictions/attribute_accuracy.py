"""How well a classifier recognizes an attribute, for images with and without it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict
from torch import Tensor


class AttributeAccuracy(BaseModel):
    """The share of correct predictions among images with the attribute and among images without it.

    These are the true positive and the true negative rate, None where there are no such images.
    They are separate because rare attributes make plain accuracy useless: always predicting
    "absent" is right almost always.
    """

    model_config = ConfigDict(extra="forbid")

    present: float | None = None
    absent: float | None = None

    @classmethod
    def from_predictions(cls, predicted: Tensor, actual: Tensor) -> Self:
        """Compare bool tensors (images,)."""
        return cls(present=_mean(predicted[actual]), absent=_mean(~predicted[~actual]))

    @property
    def balanced(self) -> float:
        """The mean of both rates; 0.5 for a constant prediction."""
        return statistics.mean(rate for rate in (self.present, self.absent) if rate is not None)


def mean_balanced_accuracy(accuracies: Iterable[AttributeAccuracy]) -> float:
    """Return the balanced accuracy averaged over attributes."""
    return statistics.mean(accuracy.balanced for accuracy in accuracies)


def _mean(correct: Tensor) -> float | None:
    return correct.double().mean().item() if len(correct) else None
