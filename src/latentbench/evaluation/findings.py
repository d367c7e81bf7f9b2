"""What a closer look at the last checkpoint found: arrays for pictures, and facts that fit in a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Findings:
    """Of evaluation they go into evaluation/arrays.npz and metrics.json, of exploration into latent/arrays.npz and
    latent/explore.json, under the names that they have here."""

    arrays: dict[str, Array] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Iterable[Findings]) -> Self:
        whole = cls()
        for part in parts:
            whole.arrays.update(part.arrays)
            whole.facts.update(part.facts)
        return whole
