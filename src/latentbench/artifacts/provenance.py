"""Provenance records: settings, data, code, versions and machine of a result, and its cost."""

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
from latentbench.artifacts.files import (
    damaged,
    file_sha256,
    read_manifest,
    require_sha256,
    write_manifest,
)

PACKAGES = ("latentbench", "torch", "torchvision", "numpy", "pillow", "safetensors")


@dataclass(frozen=True)
class ResourceUsage:
    """Cost of a job: wall and CPU time in seconds, peak memory in MB (10^6 bytes)."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0

    @classmethod
    def measure(cls) -> ResourceUsage:
        """Return the usage of this process since its start and of its ended child processes."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(
            wall_seconds=time.time() - psutil.Process().create_time(),
            cpu_seconds=own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
            peak_memory_mb=_in_mb(max(own.ru_maxrss, children.ru_maxrss)),
        )

    def all_reduce(self, reduce_sum: Callable[..., Iterable[float]]) -> ResourceUsage:
        """Return the usage of all processes: CPU time and memory are summed.

        Every process has to call this with the all-reduce of its process group.
        """
        cpu_seconds, peak_memory_mb = reduce_sum(self.cpu_seconds, self.peak_memory_mb)
        return ResourceUsage(self.wall_seconds, cpu_seconds, peak_memory_mb)

    def combined_with(self, earlier: ResourceUsage) -> ResourceUsage:
        """Return the usage of this run and of an earlier, interrupted one together."""
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
    """Write the provenance record of a stage, as its last file; `latentbench verify` reads it.

    Args:
        path: The JSON file to write.
        stage: The stage's name.
        settings: The part of its config that the stage reads.
        inputs: Files that it has read. The record has their SHA-256.
        outputs: Files that it has written. The record has their SHA-256.
        cost: Its cost. None leaves it out, so that equal results have equal records.
        facts: More entries.
    """
    record = {
        "stage": stage,
        **describe_environment(),
        "code": code_sha256(stage),
        "settings": settings,
        "inputs": _hash_files(inputs, path.parent),
        "outputs": _hash_files(outputs, path.parent),
    }
    if cost is not None:
        record["cost"] = asdict(cost)
    write_manifest(path, record | facts)


def require_recorded(
    records: Iterable[Path], *, among: Iterable[Path] | None = None, skip: str | None = None
) -> None:
    """Raise ArtifactError if an output in a record has changed since its stage wrote it.

    Records and outputs that are missing are not checked, nor are outputs with the suffix `skip`
    and, if given, outputs that are not `among` some files.
    """
    chosen = None if among is None else {os.path.normpath(path) for path in among}
    for record in filter(Path.is_file, records):
        outputs = read_manifest(record).get("outputs", {})
        if not isinstance(outputs, dict):
            raise damaged(record, "its outputs are no mapping")
        for name, sha256 in outputs.items():
            path = Path(os.path.normpath(record.parent / name))
            if not path.is_file() or path.suffix == skip:
                continue
            if chosen is None or str(path) in chosen:
                require_sha256(path, sha256)


def describe_environment() -> dict[str, Any]:
    """Return the command, the commit, package versions and the processor."""
    return {
        "command": " ".join(["latentbench", *sys.argv[1:]]),
        **_describe_commit(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that results depend on most."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process so far, in MB (10^6 bytes)."""
    return _in_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _hash_files(files: Iterable[Path], folder: Path) -> dict[str, str]:
    """Return the SHA-256 of files by path relative to `folder`, so both can be moved."""
    digests = {}
    for file in files:
        relative = Path(os.path.relpath(file, folder)).as_posix()
        digests[relative] = file_sha256(file)
    return digests


def _in_mb(maxrss: int) -> float:
    """Return `ru_maxrss`, which is in bytes on macOS and in KiB on Linux, in MB."""
    return maxrss / 1e6 if sys.platform == "darwin" else maxrss * 1024 / 1e6


def _describe_commit() -> dict[str, Any]:
    """Return the commit of the checkout that this code is in; None without a repository of its own.

    A repository in whose folders the checkout lies, such as that of a thesis, is another project's.
    """
    checkout = Path(__file__).resolve().parents[3]
    top = _git(checkout, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != checkout:
        return {"commit": None, "uncommitted_changes": False}
    changes = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return {"commit": _git(checkout, "rev-parse", "HEAD"), "uncommitted_changes": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints in a folder, whatever repository the environment names."""
    chosen = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
    environment = {key: value for key, value in os.environ.items() if key not in chosen}
    try:
        result = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(result.stdout).strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
