"""Brings a dataset's raw files to data/raw/DATASET, or notes where the user's own lie."""

from __future__ import annotations

from pathlib import Path

from latentbench.artifacts.files import write_json
from latentbench.artifacts.paths import SOURCE_MANIFEST
from latentbench.config.datasets import DatasetConfig
from latentbench.data.sources import SOURCES


def fetch_dataset(config: DatasetConfig, output: Path) -> None:
    """Fetch what is not there yet, check it, and write source.json last.

    Raises DataError (missing or damaged files), DownloadError and StorageError.
    """
    source = config.dataset.source
    fetched = SOURCES[source].fetch(config.dataset, output)
    write_json(output / SOURCE_MANIFEST, {"format": 1, "source": source, **fetched})
