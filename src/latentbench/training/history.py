"""Loss terms over a run: running means, the curve per logging interval, and their CSV files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentbench.artifacts.files import write_csv
from latentbench.artifacts.paths import WARNINGS
from latentbench.artifacts.provenance import peak_memory_mb
from latentbench.runtime.device import to_float64

Row = dict[str, Any]
CLOCK_COLUMNS = ("epoch", "step", "images", "seconds", "images_per_second", "peak_memory_mb")
STEP_COLUMNS = ("step", "images")


class RunningMeans:
    """Means of scalars that stay on the device until they are read.

    A term that is missing from a step, as the generator's between its updates, does not count.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names = tuple(names)
        # MPS has no float64; float32 adds 1e-6 to the relative error of a mean.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.sums = torch.zeros(len(names), dtype=dtype, device=device)
        self.counts = [0] * len(names)

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add the scalars of one step, without waiting for the device."""
        for index, name in enumerate(self.names):
            if name in terms:
                self.sums[index] += terms[name]
                self.counts[index] += 1

    def read(self) -> dict[str, float | None]:
        """Return the means by name, None for a term without values; waits for the device."""
        means: dict[str, float | None] = {}
        for name, total, count in zip(self.names, self.sums.tolist(), self.counts, strict=True):
            means[name] = total / count if count else None
        return means

    def reset(self) -> None:
        """Start new means."""
        self.sums.zero_()
        self.counts = [0] * len(self.names)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the sums, float64, and the counts."""
        return {"sums": to_float64(self.sums), "counts": torch.tensor(self.counts)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the sums and counts; raise ValueError where they do not fit."""
        counts = torch.tensor(self.counts)
        _require_like(state, {"sums": to_float64(self.sums), "counts": counts})
        if not bool(state["sums"].isfinite().all()) or bool((state["counts"] < 0).any()):
            raise ValueError("sums or counts out of range")
        self.sums.copy_(state["sums"])
        self.counts = state["counts"].tolist()


class LossCurve:
    """The means of the loss terms in each logging interval, with the step that ends it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._steps: list[int] = []
        self._values: list[list[float]] = []

    def add(self, step: int, values: dict[str, float | None]) -> None:
        """Append a point; None, of a term without values in the interval, becomes NaN."""
        point = []
        for name in self.names:
            value = values[name]
            point.append(math.nan if value is None else value)
        self._steps.append(step)
        self._values.append(point)

    def rows(self, *, batch_size: int) -> list[Row]:
        """Return the rows of iterations.csv; NaN becomes None, which is an empty cell."""
        rows = []
        for step, values in zip(self._steps, self._values, strict=True):
            row: Row = {"step": step, "images": step * batch_size}
            for name, value in zip(self.names, values, strict=True):
                row[name] = None if math.isnan(value) else value
            rows.append(row)
        return rows

    def state_dict(self) -> dict[str, Tensor]:
        """Return the steps (points,) and values (points, terms).

        They are tensors because the metadata of a safetensors file has a limited size.
        """
        values = torch.tensor(self._values, dtype=torch.float64).view(-1, len(self.names))
        return {"steps": torch.tensor(self._steps, dtype=torch.int64), "values": values}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the points; raise ValueError where they do not fit."""
        number = len(state["steps"])
        values = torch.empty(number, len(self.names), dtype=torch.float64)
        _require_like(state, {"steps": torch.empty(number, dtype=torch.int64), "values": values})
        self._steps, self._values = state["steps"].tolist(), state["values"].tolist()


class LossTracker:
    """The loss terms of a run: means since the epoch and the interval began, and the curve."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.epoch = RunningMeans(names, device)
        self.interval = RunningMeans(names, device)
        self.curve = LossCurve(names)

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add the terms of one step."""
        self.epoch.add(terms)
        self.interval.add(terms)

    def end_interval(self, step: int, values: dict[str, float | None]) -> None:
        """Append the interval's means to the curve and start the next interval."""
        self.curve.add(step, values)
        self.interval.reset()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors of all parts, each under its part's name."""
        tensors = {}
        for part, tracker in self._parts().items():
            for key, tensor in tracker.state_dict().items():
                tensors[f"{part}/{key}"] = tensor
        return tensors

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore all parts; raise KeyError or ValueError where a tensor does not fit."""
        for part, tracker in self._parts().items():
            keys = tracker.state_dict().keys()
            tracker.load_state_dict({key: state[f"{part}/{key}"] for key in keys})

    def _parts(self) -> dict[str, RunningMeans | LossCurve]:
        return {"epoch": self.epoch, "interval": self.interval, "curve": self.curve}


def _require_like(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for key, like in expected.items():
        tensor = state[key]
        if (tensor.dtype, tensor.shape) != (like.dtype, like.shape):
            raise ValueError(f"{key} is {tensor.dtype} {tuple(tensor.shape)}")


def device_memory_mb(device: torch.device) -> float:
    """Return the peak memory in 10^6 bytes: of the GPU if it is used, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if device.type == "mps":
        # Freed memory stays allocated for the next tensors, so this is close to the peak.
        return torch.mps.driver_allocated_memory() / 1e6
    return peak_memory_mb()


def write_iterations(path: Path, curve: LossCurve, *, batch_size: int) -> None:
    """Write a row per logging interval: the step, the images seen so far, every loss term."""
    write_csv(path, curve.rows(batch_size=batch_size), columns=[*STEP_COLUMNS, *curve.names])


def write_history(path: Path, rows: list[Row], terms: Sequence[str]) -> None:
    """Write a row per epoch: clock, loss terms, monitored values, warnings."""
    monitored = sorted(rows[0].keys() - {*CLOCK_COLUMNS, *terms, WARNINGS}) if rows else []
    write_csv(path, rows, columns=[*CLOCK_COLUMNS, *terms, *monitored, WARNINGS])
