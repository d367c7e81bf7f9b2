"""What training tells: a row per epoch, means of the loss terms since the last look, time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentbench.artifacts.files import write_csv
from latentbench.artifacts.layout import TROUBLE
from latentbench.artifacts.provenance import peak_memory_mb

Row = dict[str, Any]
CLOCK_COLUMNS = ("epoch", "step", "images", "seconds", "images_per_second", "peak_memory_mb")


class RunningMeans:
    """Means of scalars that stay on the device until they are read.

    A term that is missing from a step (the generator's between its turns) does not count in its mean.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names = tuple(names)
        self.sums = torch.zeros(len(names), dtype=torch.float64, device=device)
        self.counts = [0] * len(names)

    def add(self, terms: dict[str, Tensor]) -> None:
        for index, name in enumerate(self.names):
            if name in terms:
                self.sums[index] += terms[name]
                self.counts[index] += 1

    def read(self) -> dict[str, float | None]:
        """The means by name, None where a term has not come up; waits for the device."""
        sums = self.sums.tolist()
        return {
            name: total / count if count else None
            for name, total, count in zip(self.names, sums, self.counts, strict=True)
        }

    def reset(self) -> None:
        self.sums.zero_()
        self.counts = [0] * len(self.names)


def device_memory_mb(device: torch.device) -> float:
    """Peak memory so far, in 10^6 bytes: the GPU's where there is one, else this process's."""
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else peak_memory_mb()


def write_history(path: Path, rows: list[Row], terms: Sequence[str]) -> None:
    """The clock, the terms of training, what was watched beside it, and last what is wrong in words."""
    known = (*CLOCK_COLUMNS, *terms, TROUBLE)
    watched = sorted(rows[0].keys() - set(known))
    write_csv(path, rows, columns=[*CLOCK_COLUMNS, *terms, *watched, TROUBLE])
