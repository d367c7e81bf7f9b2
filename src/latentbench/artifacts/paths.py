"""Names of the files that stages exchange, for the stages, Snakemake and DVC."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

SPLITS = ("train", "test")
# The split of datasets with a validation_fraction: only searches read it.
VALIDATION = "validation"

# data/raw/DATASET. The manifest is written last.
SOURCE_MANIFEST = "source.json"
SOURCE_FORMAT = 1

# data/prepared/DATASET. The manifest is written last: if it exists, all files are complete.
DATASET_MANIFEST = "dataset.json"


def images_name(split: str) -> str:
    """Return the name of a split's image array."""
    return f"{split}-images.npy"


def labels_name(split: str) -> str:
    """Return the name of a split's array of class labels."""
    return f"{split}-labels.npy"


def attributes_name(split: str) -> str:
    """Return the name of a split's array of attributes."""
    return f"{split}-attributes.npy"


def prepared_splits(*, has_validation: bool) -> tuple[str, ...]:
    """Return the names of the splits of a prepared dataset."""
    return (*SPLITS, VALIDATION) if has_validation else SPLITS


def prepared_files(*, has_attributes: bool, has_validation: bool) -> list[str]:
    """Return the names of the files of a prepared dataset."""
    names = []
    for split in prepared_splits(has_validation=has_validation):
        names += [images_name(split), labels_name(split)]
        if has_attributes:
            names.append(attributes_name(split))
    return [*names, DATASET_MANIFEST]


# data/reference/DATASET. The manifest is written last.
REFERENCE_MANIFEST = "reference.json"
REFERENCE_ROWS = "rows.npy"  # indices of the training images that have features


def extractor_of(network: str) -> str:
    """Return the kind of a feature network: `classifier` for its repeat `classifier-2`."""
    return network.partition("-")[0]


def classifier_name(network: str) -> str:
    """Return the name of the file with a classifier's weights."""
    return f"{network}.safetensors"


def features_name(network: str) -> str:
    """Return the name of the array of training images' features."""
    return f"{network}-features.npy"


def test_features_name(network: str) -> str:
    """Return the name of the array of test images' features."""
    return f"{network}-test-features.npy"


def statistics_name(network: str) -> str:
    """Return the name of the file with the mean and covariance of the features."""
    return f"{network}-statistics.safetensors"


def reference_files(networks: Sequence[str]) -> list[str]:
    """Return the names of the files of a dataset's reference."""
    names = [REFERENCE_ROWS]
    for network in networks:
        names += [features_name(network), test_features_name(network), statistics_name(network)]
        if extractor_of(network) == "classifier":
            names.append(classifier_name(network))
    return [*names, REFERENCE_MANIFEST]


# results/STUDY/EXPERIMENT
CONFIG = "config.yaml"  # the whole experiment, resolved; stages read their part of it
HISTORY = "history.csv"
ITERATIONS = "iterations.csv"
WARNINGS = "warnings"  # the only column of history.csv that is not numeric
ARCHITECTURE = "architecture.csv"
PROVENANCE = "provenance/train.json"
EVOLUTION = ("samples/evolution.gif", "samples/evolution.webp")
RECONSTRUCTIONS = "samples/reconstructions.png"  # of models with an encoder
METRICS = "metrics.csv"
LAST_METRICS = "metrics.json"
EVALUATION_ARRAYS = "evaluation/arrays.npz"
LATENT_ARRAYS = "latent/arrays.npz"
INTERACTIVE_ARRAYS = "latent/interactive.npz"
LATENT_FACTS = "latent/explore.json"

# Pictures that explore writes for a quick look. The report draws from the arrays.
PREVIEWS = ("samples", "reconstruction", "interpolation")

# Files of an experiment in the zip to hand in, in addition to its last checkpoint.
SUBMITTED_FILES = (CONFIG, HISTORY, METRICS, LAST_METRICS, PROVENANCE)

# results/STUDY/EXPERIMENT: a folder with the same files for each further training.
REPEATS = "repeats"

# results/STUDY/EXPERIMENT: a folder for each trial of a search, with the files of its training, the
# settings of `select`, and what it selected.
SEARCH = "search"
SELECT_CONFIG = "search/select.yaml"
SELECTED = "search/selected.json"
SELECT_RECORD = "search/provenance/select.json"
# Of a trial that diverged, in place of its checkpoint: its settings, its data, and why.
DIVERGED = "checkpoints/diverged.json"

# scratch/STUDY/EXPERIMENT: features of samples, cached for the next run of evaluate.
FEATURES = "features"

# results/STUDY
STUDY = "study.yaml"


GRID_GAP = 2  # white pixels between the images of samples/epoch-NNNN.png


CHECKPOINT_FORMAT = 3


def checkpoint_path(results: Path, epoch: int) -> Path:
    """Return the path of the checkpoint of an epoch."""
    return results / "checkpoints" / f"epoch-{epoch:04d}.safetensors"


def samples_path(results: Path, epoch: int) -> Path:
    """Return the path of the sample grid of an epoch."""
    return results / "samples" / f"epoch-{epoch:04d}.png"


def stage_config(stage: str) -> str:
    """Return the name of the file with the settings that a stage of an experiment reads."""
    return f"config/{stage}.yaml"


def record_name(stage: str) -> str:
    """Return the name of the provenance record of an experiment's stage."""
    return f"provenance/{stage}.json"


def training_files(epochs: Sequence[int], *, learns_codes: bool) -> list[Path]:
    """Return the files that train writes, apart from its record, with checkpoints at `epochs`."""
    files = [checkpoint_path(Path(), epoch) for epoch in epochs]
    files += [samples_path(Path(), epoch) for epoch in epochs]
    files += map(Path, EVOLUTION)
    if learns_codes:
        files.append(Path(RECONSTRUCTIONS))
    return [*files, Path(ARCHITECTURE), Path(HISTORY), Path(ITERATIONS)]


# Files that evaluate and explore write, apart from their records.
EVALUATION_FILES = (METRICS, LAST_METRICS, EVALUATION_ARRAYS)
EXPLORATION_FILES = (
    *(LATENT_FACTS, LATENT_ARRAYS, INTERACTIVE_ARRAYS),
    *(f"latent/{name}.png" for name in PREVIEWS),
)

# report/STUDY and walkthrough/STUDY
REPORT_RECORD = "provenance.json"
PAGE = "index.html"
PDF = "report.pdf"


# walkthrough/STUDY: the folder with a sample of the images
WALKTHROUGH_DATA = "data"


def relative_path(path: Path, folder: Path) -> str:
    """Return the path from a folder: what has it is the same wherever the project is."""
    return Path(os.path.relpath(path, folder)).as_posix()


def notebook_name(chapter: str) -> str:
    """Return the name of a chapter's notebook."""
    return f"{chapter}.ipynb"
