"""How well an attribute is recognized, of images that have it and of images that lack it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict
from torch import Tensor


class AttributeAccuracy(BaseModel):
    """The share of images with an attribute in which it is seen, and of those without in which it is not; None of no
    images.

    Apart, because hardly anything has a rare attribute: who never sees it is right almost always.
    """

    model_config = ConfigDict(extra="forbid")

    present: float | None = None
    absent: float | None = None

    @classmethod
    def of(cls, seen: Tensor, there: Tensor) -> Self:
        """Of bool tensors (images,)."""
        return cls(present=_share(seen[there]), absent=_share(~seen[~there]))

    @property
    def balanced(self) -> float:
        """The mean of both, 0.5 for who always says the same."""
        return statistics.mean(share for share in (self.present, self.absent) if share is not None)


def mean_balanced(recognitions: Iterable[AttributeAccuracy]) -> float:
    """Over attributes."""
    return statistics.mean(each.balanced for each in recognitions)


def _share(right: Tensor) -> float | None:
    return right.double().mean().item() if len(right) else None
