"""What evaluation and exploration add to metrics: arrays for figures, facts for tables and text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Findings:
    """Arrays and facts by name.

    Evaluation writes them to evaluation/arrays.npz and metrics.json, exploration to
    latent/arrays.npz and latent/explore.json, under the same names. `interactive` are arrays of
    the figures with a slider, which exploration writes to latent/interactive.npz.
    """

    arrays: dict[str, Array] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    interactive: dict[str, Array] = field(default_factory=dict)

    @classmethod
    def merge(cls, parts: Iterable[Findings]) -> Self:
        """Return all arrays and facts of the parts."""
        merged = cls()
        for part in parts:
            merged.arrays.update(part.arrays)
            merged.facts.update(part.facts)
            merged.interactive.update(part.interactive)
        return merged
