"""What a discriminator is worth: how often it takes real images for generated ones and the reverse, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latentbench.models.gan_losses import real_threshold

MOST_PER_CLASS = 500


@dataclass(frozen=True)
class DecisionThreshold:
    """An image is called real where its score is above the threshold."""

    threshold: float

    @classmethod
    def of_loss(cls, loss: str) -> DecisionThreshold:
        return cls(real_threshold(loss))

    @classmethod
    def best(cls, *, real: Tensor, generated: Tensor) -> DecisionThreshold:
        """The threshold with the largest balanced accuracy on scores (number,) of training and generated images.

        A critic estimates a distance and has no threshold of its own: a constant added to its scores changes nothing.
        """
        scores = torch.cat([real, generated]).double().sort().values
        # Between two neighbors, and below and above all.
        between = torch.cat([scores[:1] - 1, (scores[1:] + scores[:-1]) / 2, scores[-1:] + 1])
        # The share of either that each threshold calls fake.
        lost, caught = (
            torch.searchsorted(side.double().sort().values, between, right=True) / len(side)
            for side in (real, generated)
        )
        accuracy = (1 - lost + caught) / 2
        return cls(float(between[int(accuracy.argmax())]))

    def row(self, name: str, *, real: Tensor, generated: Tensor) -> dict[str, Any]:
        """What it makes of scores (number,). Real and generated images count half each, whatever their numbers."""
        lost, caught = (_share(scores.double() <= self.threshold) for scores in (real, generated))
        known = lost is not None and caught is not None
        return {
            "name": name,
            "num_real": len(real),
            "num_generated": len(generated),
            "accuracy": (1 - lost + caught) / 2 if known else None,
            "predicted_fake": (lost + caught) / 2 if known else None,
            "false_positives": _share(generated.double() > self.threshold),
            "false_negatives": lost,
        }


def _share(said: Tensor) -> Any:
    """Of those that are true; None of none."""
    return said.double().mean().item() if len(said) else None


def rows_by_class(
    rule: DecisionThreshold,
    names: Sequence[str],
    *,
    real: Tensor,
    generated: Tensor,
    classes: tuple[Tensor, Tensor],
) -> list[dict[str, Any]]:
    """A row per class, of scores (number,) of which `classes` are the real and the generated images' classes."""
    return [
        rule.row(
            name,
            real=real[classes[0] == label],
            generated=generated[classes[1] == label][:MOST_PER_CLASS],
        )
        for label, name in enumerate(names)
    ]
