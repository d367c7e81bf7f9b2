"""Which params, data, code, versions, machine and command made a result, and what it cost."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from latentbench.artifacts.dependencies import code_sha256
from latentbench.artifacts.files import file_sha256, write_json

PACKAGES = ("latentbench", "torch", "torchvision", "numpy", "pillow", "safetensors")


@dataclass(frozen=True)
class ResourceUsage:
    """What a job took: seconds on the clock and of processors, and the most memory that it held, in 10^6 bytes."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0

    @classmethod
    def measure(cls) -> ResourceUsage:
        """Of this process since it started, its imports included, and of the processes that it waited for."""
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(
            wall_seconds=time.time() - psutil.Process().create_time(),
            cpu_seconds=sum(usage.ru_utime + usage.ru_stime for usage in used),
            peak_memory_mb=max(_in_mb(usage.ru_maxrss) for usage in used),
        )

    def all_reduce(self, sums: Callable[..., Iterable[float]]) -> ResourceUsage:
        """With those of all processes, given what sums numbers over them; each has to ask."""
        return ResourceUsage(self.wall_seconds, *sums(self.cpu_seconds, self.peak_memory_mb))

    def combined_with(self, earlier: ResourceUsage) -> ResourceUsage:
        """Together with what an interrupted try had taken before."""
        return ResourceUsage(
            earlier.wall_seconds + self.wall_seconds,
            earlier.cpu_seconds + self.cpu_seconds,
            max(earlier.peak_memory_mb, self.peak_memory_mb),
        )


def write_record(
    path: Path,
    stage: str,
    *,
    settings: Mapping[str, Any],
    inputs: Iterable[Path],
    outputs: Iterable[Path],
    cost: ResourceUsage | None,
    **facts: Any,
) -> None:
    """Write what `latentbench verify` checks results by, last of what a stage writes.

    `settings` are what the stage read of its config. Files are named as seen from the record's folder, so that all may
    move together, with their SHA-256. None as `cost` leaves it out: the same results then have the same record.
    """

    def hashed(files: Iterable[Path]) -> dict[str, str]:
        return {
            Path(os.path.relpath(file, path.parent)).as_posix(): file_sha256(file) for file in files
        }

    record = {
        "stage": stage,
        **describe_environment(),
        "code": code_sha256(stage),
        "settings": settings,
        "inputs": hashed(inputs),
        "outputs": hashed(outputs),
    }
    write_json(path, record | ({"cost": asdict(cost)} if cost else {}) | facts)


def describe_environment() -> dict[str, Any]:
    """The command, the commit and whether it was clean, package versions and the processor."""
    return {
        "command": " ".join(["latentbench", *sys.argv[1:]]),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def peak_memory_mb() -> float:
    """The largest resident memory of this process so far, in 10^6 bytes."""
    return _in_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _in_mb(maxrss: int) -> float:
    return maxrss / 1e6 if sys.platform == "darwin" else maxrss * 1024 / 1e6


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
