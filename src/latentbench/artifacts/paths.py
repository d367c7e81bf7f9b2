"""The names of the files that stages hand over. The engines and the stages read them here alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SPLITS = ("train", "test")

# data/raw/DATASET. The manifest is written last.
SOURCE_MANIFEST = "source.json"

# data/prepared/DATASET. The manifest is written last: where it stands, all stands.
DATASET_MANIFEST = "dataset.json"


def images_name(split: str) -> str:
    return f"{split}-images.npy"


def labels_name(split: str) -> str:
    return f"{split}-labels.npy"


def attributes_name(split: str) -> str:
    return f"{split}-attributes.npy"


def prepared_files(*, has_attributes: bool) -> list[str]:
    kinds = [images_name, labels_name, *[attributes_name] * has_attributes]
    return [*(kind(split) for split in SPLITS for kind in kinds), DATASET_MANIFEST]


# data/reference/DATASET. The manifest is written last.
REFERENCE_MANIFEST = "reference.json"
CLASSIFIER = "classifier.safetensors"
REFERENCE_ROWS = "rows.npy"  # which training images the features are of


def features_name(extractor: str) -> str:
    return f"{extractor}-features.npy"


def test_features_name(extractor: str) -> str:
    return f"{extractor}-test-features.npy"


def statistics_name(extractor: str) -> str:
    return f"{extractor}-statistics.safetensors"


def reference_files(extractors: Sequence[str]) -> list[str]:
    kinds = (features_name, test_features_name, statistics_name)
    names = [kind(extractor) for extractor in extractors for kind in kinds]
    return [
        REFERENCE_ROWS,
        *names,
        *[CLASSIFIER] * ("classifier" in extractors),
        REFERENCE_MANIFEST,
    ]


# results/STUDY/EXPERIMENT
CONFIG = "config.yaml"
HISTORY = "history.csv"
ITERATIONS = "iterations.csv"
TROUBLE = "trouble"  # the one column of history.csv that holds words
ARCHITECTURE = "architecture.csv"
PROVENANCE = "provenance/train.json"
EVOLUTION = ("samples/evolution.gif", "samples/evolution.webp")
RECONSTRUCTIONS = "samples/reconstructions.png"  # of models that encode
METRICS = "metrics.csv"
LAST_METRICS = "metrics.json"
EVALUATION_ARRAYS = "evaluation/arrays.npz"
LATENT_ARRAYS = "latent/arrays.npz"
LATENT_FACTS = "latent/explore.json"

# What explore leaves for a first look; the report draws its arrays.
PREVIEWS = ("samples", "reconstruction", "interpolation")

# What is handed in of an experiment beside its last checkpoint.
SUBMITTED_FILES = (CONFIG, HISTORY, METRICS, LAST_METRICS, PROVENANCE)

# scratch/STUDY/EXPERIMENT: features of samples, which evaluate keeps for its next run.
FEATURES = "features"

# results/STUDY
STUDY = "study.yaml"


GRID_GAP = 2  # white pixels between the images of samples/epoch-NNNN.png


def checkpoint_path(results: Path, epoch: int) -> Path:
    return results / "checkpoints" / f"epoch-{epoch:04d}.safetensors"


def samples_path(results: Path, epoch: int) -> Path:
    return results / "samples" / f"epoch-{epoch:04d}.png"


def record_name(stage: str) -> str:
    """Which code, data, settings and machine made what a stage of an experiment left."""
    return f"provenance/{stage}.json"


def training_files(epochs: Sequence[int], *, has_encoder: bool) -> list[Path]:
    """What train leaves beside its record, of checkpoints at these epochs."""
    files = [checkpoint_path(Path(), epoch) for epoch in epochs]
    files += [samples_path(Path(), epoch) for epoch in epochs]
    files += map(Path, EVOLUTION)
    if has_encoder:
        files.append(Path(RECONSTRUCTIONS))
    return [*files, Path(ARCHITECTURE), Path(HISTORY), Path(ITERATIONS)]


# The same of evaluate and explore.
EVALUATION_FILES = (METRICS, LAST_METRICS, EVALUATION_ARRAYS)
EXPLORATION_FILES = (LATENT_FACTS, LATENT_ARRAYS, *(f"latent/{name}.png" for name in PREVIEWS))

# report/STUDY
REPORT_RECORD = "provenance.json"
PAGE = "index.html"
PDF = "report.pdf"


def notebook_name(chapter: str) -> str:
    return f"{chapter}.ipynb"
