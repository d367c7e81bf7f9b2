"""The stage `fetch`: download or copy a dataset's raw files to data/raw/DATASET."""

from __future__ import annotations

from pathlib import Path

from latentbench.artifacts.files import write_manifest
from latentbench.artifacts.lock import lock_folder
from latentbench.artifacts.paths import SOURCE_FORMAT, SOURCE_MANIFEST
from latentbench.config.datasets import DatasetConfig
from latentbench.data.sources import SOURCES


def fetch_dataset(config: DatasetConfig, output: Path) -> None:
    """Fetch and check the files that are not there yet, and write source.json last.

    Images of the user stay where they are; source.json has their path and fingerprint.
    Raises DataError (missing or damaged files), DownloadError and StorageError.
    """
    source = config.dataset.source
    with lock_folder(output, "fetch"):
        fetched = SOURCES[source].fetch(config.dataset, output)
        content = {"format": SOURCE_FORMAT, "source": source, **fetched}
        write_manifest(output / SOURCE_MANIFEST, content)
