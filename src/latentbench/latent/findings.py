"""What an exploration leaves: arrays for pictures, and facts that fit in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Findings:
    """`arrays` go into latent/arrays.npz and `facts` into latent/explore.json, under the names that they have here."""

    arrays: Mapping[str, Array] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Iterable[Findings]) -> Self:
        arrays: dict[str, Array] = {}
        facts: dict[str, Any] = {}
        for part in parts:
            arrays |= part.arrays
            facts |= part.facts
        return cls(arrays, facts)
