"""What a discriminator is worth: how often it takes real images for generated ones and the reverse, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latentbench.models.adversarial import real_threshold

MOST_PER_CLASS = 500

# Shares called fake of a balanced set from which on a verdict says so, either way.
_NEARLY_ALL, _MOST = 0.9, 0.65


@dataclass(frozen=True)
class Rule:
    """An image is called real where its score is above the threshold."""

    threshold: float
    sentence: str

    @classmethod
    def of_loss(cls, loss: str) -> Rule:
        threshold = real_threshold(loss)
        sentence = (
            f"An image is called real where its score is above {threshold:g}, halfway between what the {loss} loss "
            "asks of real and of generated images."
        )
        return cls(threshold, sentence)

    @classmethod
    def best(cls, *, real: Tensor, generated: Tensor) -> Rule:
        """The threshold with the largest balanced accuracy on scores (number,) of training and generated images.

        A critic estimates a distance and has no threshold of its own: a constant added to its scores changes nothing.
        """
        scores = torch.cat([real, generated]).double().sort().values
        # Between two neighbours, and below and above all.
        between = torch.cat([scores[:1] - 1, (scores[1:] + scores[:-1]) / 2, scores[-1:] + 1])
        # The share of either that each threshold calls fake.
        lost, caught = (
            torch.searchsorted(side.double().sort().values, between, right=True) / len(side)
            for side in (real, generated)
        )
        accuracy = (1 - lost + caught) / 2
        best = int(accuracy.argmax())
        threshold = float(between[best])
        sentence = (
            f"A critic's scores have no threshold of their own: an image is called real where its score is above "
            f"{threshold:.3g}, which best tells {len(real):,} training images from {len(generated):,} generated ones "
            f"({float(accuracy[best]):.0%} right, either kind counting half)."
        )
        return cls(threshold, sentence)

    def row(self, name: str, *, real: Tensor, generated: Tensor) -> dict[str, Any]:
        """What it makes of scores (number,). Real and generated images count half each, whatever their numbers."""
        lost, caught = (_share(scores.double() <= self.threshold) for scores in (real, generated))
        known = lost is not None and caught is not None
        return {
            "name": name,
            "num_real": len(real),
            "num_generated": len(generated),
            "accuracy": (1 - lost + caught) / 2 if known else None,
            "called_fake": (lost + caught) / 2 if known else None,
            "false_positives": _share(generated.double() > self.threshold),
            "false_negatives": lost,
        }


def _share(said: Tensor) -> Any:
    """Of those that are true; None of none."""
    return said.double().mean().item() if len(said) else None


def rows_by_class(
    rule: Rule, names: Sequence[str], *, real: Tensor, generated: Tensor, classes: tuple[Tensor, Tensor]
) -> list[dict[str, Any]]:
    """A row per class, of scores (number,) of which `classes` are the real and the generated images' classes."""
    return [
        rule.row(name, real=real[classes[0] == label], generated=generated[classes[1] == label][:MOST_PER_CLASS])
        for label, name in enumerate(names)
    ]


def verdict(row: dict[str, Any]) -> str:
    """In words, what a discriminator does with a balanced set of real and generated images."""
    fake, accuracy = row["called_fake"], row["accuracy"]
    for kind, share in (("fake", fake), ("real", 1 - fake)):
        if share >= _NEARLY_ALL:
            return f"It calls nearly everything {kind}: {share:.0%} of a set of which half is {kind}."
        if share >= _MOST:
            return (
                f"It is biased: it calls {share:.0%} of a set {kind} of which half is, and is right on {accuracy:.0%}."
            )
    if accuracy >= _NEARLY_ALL:
        return f"It tells real from generated images: {accuracy:.0%} right, without a bias to either."
    if accuracy >= _MOST:
        return f"It tells most real from generated images: {accuracy:.0%} right, without a bias to either."
    return f"It hardly tells real from generated images: {accuracy:.0%} right, and guessing gets half."
