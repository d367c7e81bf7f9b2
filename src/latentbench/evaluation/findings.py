"""What a look at the last checkpoint found: arrays to draw and facts to tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np


@dataclass(frozen=True)
class Findings:
    """Arrays of evaluation/arrays.npz and keys of metrics.json."""

    arrays: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Iterable[Findings]) -> Self:
        whole = cls()
        for part in parts:
            whole.arrays.update(part.arrays)
            whole.facts.update(part.facts)
        return whole
