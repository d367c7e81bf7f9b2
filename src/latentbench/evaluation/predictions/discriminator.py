"""How well a discriminator separates real from generated images, overall and per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from latentbench.models.gan_losses import real_threshold

MAX_PER_CLASS = 500


@dataclass(frozen=True)
class DecisionThreshold:
    """An image is predicted to be real where its score is above the threshold."""

    threshold: float

    @classmethod
    def from_loss(cls, loss: str) -> Self:
        """Return the threshold that the GAN loss implies."""
        return cls(real_threshold(loss))

    @classmethod
    def maximizing_accuracy(cls, *, real: Tensor, generated: Tensor) -> Self:
        """Return the threshold with the largest balanced accuracy on scores (number,).

        A critic estimates a distance and implies no threshold: adding a constant to its scores
        changes nothing. The balanced accuracy is largest where Youden's J (1950), the true minus
        the false positive rate, is. The threshold lies halfway between two neighboring scores; of
        equally good ones the lowest is returned.
        """
        from sklearn.metrics import roc_curve

        is_real = np.repeat([1, 0], [len(real), len(generated)])
        scores = torch.cat([real, generated]).double().numpy()
        false_rate, true_rate, higher = roc_curve(is_real, scores, drop_intermediate=False)
        # `higher` falls from infinity; a score counts as real from there on.
        higher[0] = higher[1] + 2
        lower = np.append(higher[1:], higher[-1] - 2)
        thresholds = (lower + higher) / 2
        youden = true_rate - false_rate
        return cls(float(thresholds[youden == youden.max()][-1]))

    def row(self, name: str, *, real: Tensor, generated: Tensor) -> dict[str, Any]:
        """Return error rates on scores (number,); real and generated images weigh the same."""
        false_negatives = _rate(real.double() <= self.threshold)
        true_negatives = _rate(generated.double() <= self.threshold)
        accuracy, predicted_fake = None, None
        if false_negatives is not None and true_negatives is not None:
            accuracy = (1 - false_negatives + true_negatives) / 2
            predicted_fake = (false_negatives + true_negatives) / 2
        return {
            "name": name,
            "num_real": len(real),
            "num_generated": len(generated),
            "accuracy": accuracy,
            "predicted_fake": predicted_fake,
            "false_positives": _rate(generated.double() > self.threshold),
            "false_negatives": false_negatives,
        }

    def extremes(self, scores: Tensor, *, is_real: bool, number: int) -> Tensor:
        """Return indices of scores (number of images,), int64 (3, number) or fewer columns.

        The rows are the scores farthest on the right side of the threshold, those nearest to it,
        and those farthest on the wrong side, or nearest to that.
        """
        margins = scores.double() - self.threshold
        if not is_real:
            margins = -margins
        orders = (-margins, margins.abs(), margins)
        return torch.stack([order.argsort(stable=True)[:number] for order in orders])


def rows_by_class(
    decision: DecisionThreshold,
    names: Sequence[str],
    *,
    real: Tensor,
    generated: Tensor,
    classes: tuple[Tensor, Tensor],
) -> list[dict[str, Any]]:
    """Return a row per class; `classes` are those of the real and of the generated images."""
    real_classes, generated_classes = classes
    rows = []
    for label, name in enumerate(names):
        scores = generated[generated_classes == label][:MAX_PER_CLASS]
        rows.append(decision.row(name, real=real[real_classes == label], generated=scores))
    return rows


def _rate(predictions: Tensor) -> float | None:
    return predictions.double().mean().item() if len(predictions) else None
