"""A study's forecast in a file: measured once, and read without importing PyTorch."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentbench.artifacts.files import read_json, write_json
from latentbench.config.params import Params
from latentbench.errors import ArtifactError

if TYPE_CHECKING:
    from latentbench.forecast.forecast import Job

FORMAT = 1
Seconds = dict[tuple[str, str], float]


def forecast_key(params: Params, study: str) -> str:
    """Return the SHA-256 of what a forecast depends on: settings, machine, versions.

    Raises:
        ConfigError: There is no such study.
    """
    config = params.study(study)
    experiments = [params.experiment(name).model_dump(mode="json") for name in config.experiments]
    datasets = [params.dataset(name).model_dump(mode="json") for name in config.datasets]
    facts: dict[str, Any] = {
        "format": FORMAT,
        "study": config.model_dump(mode="json"),
        "experiments": experiments,
        "datasets": datasets,
        "machine": [platform.node(), platform.machine(), os.cpu_count()],
        "torch": importlib.metadata.version("torch"),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_forecast(path: Path, key: str, jobs: Iterable[Job]) -> None:
    """Write the seconds of each job."""
    rows = [{"stage": job.stage, "subject": job.subject, "seconds": job.seconds} for job in jobs]
    write_json(path, {"key": key, "jobs": rows})


def read_forecast(path: Path, key: str | None = None) -> Seconds:
    """Return the seconds by stage and subject; empty without a readable forecast of this key."""
    try:
        saved = read_json(path)
        if key is not None and saved["key"] != key:
            return {}
        rows = saved["jobs"]
        return {(str(row["stage"]), str(row["subject"])): float(row["seconds"]) for row in rows}
    except (ArtifactError, OSError, KeyError, TypeError, ValueError):
        return {}
