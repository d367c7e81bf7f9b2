"""What training tells: rows per epoch and per few steps, means of the loss terms since the last look, memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from latentbench.artifacts.files import write_csv
from latentbench.artifacts.paths import TROUBLE
from latentbench.artifacts.provenance import peak_memory_mb

Row = dict[str, Any]
CLOCK_COLUMNS = ("epoch", "step", "images", "seconds", "images_per_second", "peak_memory_mb")
STEP_COLUMNS = ("step", "images")


class Stateful(Protocol):
    """What a resumed run must find as it was left."""

    def state(self) -> dict[str, Tensor]: ...

    def load_state(self, state: dict[str, Tensor]) -> None: ...


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

    def state(self) -> dict[str, Tensor]:
        return {"sums": self.sums, "counts": torch.tensor(self.counts)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.sums.copy_(state["sums"])
        self.counts = state["counts"].tolist()


class Points:
    """Means of the loss terms, each since the point before, by the step at which they were read."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._steps: list[int] = []
        self._values: list[list[float]] = []

    def add(self, step: int, values: dict[str, float | None]) -> None:
        """None, of a term that has not come up since the last point, becomes NaN."""
        self._steps.append(step)
        self._values.append(
            [math.nan if (value := values[name]) is None else value for name in self.names]
        )

    def rows(self, *, batch_size: int) -> list[Row]:
        """As iterations.csv has them; what is NaN stays empty there."""
        return [
            {"step": step, "images": step * batch_size}
            | {
                name: None if math.isnan(value) else value
                for name, value in zip(self.names, values, strict=True)
            }
            for step, values in zip(self._steps, self._values, strict=True)
        ]

    def state(self) -> dict[str, Tensor]:
        # As tensors: the metadata of a state, where history.csv's few rows are, has no room for a row of every step.
        values = torch.tensor(self._values, dtype=torch.float64).view(-1, len(self.names))
        return {"steps": torch.tensor(self._steps, dtype=torch.int64), "values": values}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self._steps, self._values = state["steps"].tolist(), state["values"].tolist()


def device_memory_mb(device: torch.device) -> float:
    """Peak memory so far, in 10^6 bytes: the GPU's where there is one, else this process's."""
    return (
        torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else peak_memory_mb()
    )


def write_points(path: Path, points: Points, *, batch_size: int) -> None:
    """A row per point: the step, the images seen until then, and every loss term."""
    write_csv(path, points.rows(batch_size=batch_size), columns=[*STEP_COLUMNS, *points.names])


def write_history(path: Path, rows: list[Row], terms: Sequence[str]) -> None:
    """The clock, the terms of training, what was watched beside it, and last what is wrong in words."""
    known = (*CLOCK_COLUMNS, *terms, TROUBLE)
    watched = sorted(rows[0].keys() - set(known))
    write_csv(path, rows, columns=[*CLOCK_COLUMNS, *terms, *watched, TROUBLE])
