"""reference.json: the feature networks and real images to compare with; written last."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict

from latentbench.artifacts.files import damaged, read_model, require_sha256, write_manifest
from latentbench.artifacts.metrics import CMMD, DISTANCES
from latentbench.artifacts.paths import (
    REFERENCE_MANIFEST,
    classifier_name,
    extractor_of,
    reference_files,
)
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ArtifactError, quote
from latentbench.evaluation.features.classifier import ClassifierExtractor
from latentbench.evaluation.features.extract import FeatureExtractor
from latentbench.evaluation.features.pretrained import load_pretrained
from latentbench.evaluation.predictions.attribute_accuracy import AttributeAccuracy

FORMAT = 5

_HALVES_COUNTS = {"num_images", "num_splits"}


class ExtractorManifest(BaseModel):
    """One feature network (checksum `sha256`) and what real images score over its features.

    `metric` is its Fréchet distance or CMMD; without a Fréchet distance there is no kernel metric.
    `train_halves` are means and standard deviations, over `num_splits` random splits, of the
    distances between two halves of the training images, `num_images` each. `median_distance` and
    `close_distance` are the median and the thresholds.CLOSE_QUANTILE quantile of the test images'
    distances to their nearest training images; the share `closer_to_train` is below the median.
    `attribute_accuracy` is the classifier's accuracy on test images by attribute.
    """

    model_config = ConfigDict(extra="forbid")

    metric: str
    kernel_metric: str | None = None
    protocol: str
    feature_dim: int
    sha256: str
    train_halves: dict[str, int | float]
    median_distance: float
    close_distance: float
    closer_to_train: float
    path: str | None = None
    task: str | None = None
    accuracy: float | None = None
    attribute_accuracy: dict[str, AttributeAccuracy] = {}

    @property
    def has_frechet_distance(self) -> bool:
        """Whether `metric` is a Fréchet distance, which depends on the numbers of images."""
        return self.metric != CMMD

    @property
    def predicts_classes(self) -> bool:
        """Whether the network is a classifier that was trained on labels."""
        return self.task == "labels"


class ReferenceManifest(BaseModel):
    """A dataset's reference: features and statistics of `num_images` training images.

    `extractors` has each feature network by its name, repeats of the classifier included. `files`
    has the SHA-256 of each file of the reference.
    """

    model_config = ConfigDict(extra="forbid")

    format: int
    dataset: str
    data_digest: str
    split: str
    num_images: int
    extractors: dict[str, ExtractorManifest]
    files: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a reference folder's manifest, and check all its files.

        Reading all bytes for their SHA-256 takes 0.7 s per GB on one core.

        Raises:
            ArtifactError: A file is missing, damaged or not of this reference.
        """
        path = folder / REFERENCE_MANIFEST
        reference = read_model(path, cls, format=FORMAT)
        if set(reference.files) != {*reference_files(list(reference.extractors))} - {path.name}:
            raise damaged(path, "`files` does not fit the extractors")
        for name, extractor in reference.extractors.items():
            if extractor.train_halves and not extractor.train_halves.keys() >= _HALVES_COUNTS:
                names = " and ".join(sorted(_HALVES_COUNTS))
                raise damaged(path, f"no {names} in train_halves of {quote(name)}")
        for name, sha256 in reference.files.items():
            require_sha256(folder / name, sha256)
        return reference

    @property
    def preferred_extractor(self) -> str:
        """The extractor for single images: of those of DISTANCES, the first that is available.

        The classifier is the last, as it sees little but classes.
        """
        return next(name for name in DISTANCES if name in self.extractors)

    def networks_of(self, extractor: str) -> list[str]:
        """Return the names of an extractor's networks: several where it is repeated."""
        return [name for name in self.extractors if extractor_of(name) == extractor]

    def require_match(
        self, folder: Path, dataset: PreparedDataset, config: ExperimentConfig
    ) -> None:
        """Raise ArtifactError unless reference, dataset and experiment belong together."""
        if self.dataset != config.dataset:
            raise ArtifactError(
                f"{folder} was built from {self.dataset}, but {config.name} is trained on "
                f"{config.dataset}. Give the reference of {config.dataset}."
            )
        dataset.require_shape(image_size=config.image_size, channels=config.channels)
        if self.data_digest != dataset.manifest.digest:
            raise ArtifactError(
                f"{folder} was built from another version of {self.dataset} than {dataset.folder} "
                "holds. Build the reference again."
            )

    def write(self, folder: Path) -> None:
        """Write reference.json."""
        write_manifest(folder / REFERENCE_MANIFEST, self.model_dump(exclude_none=True))

    def load_extractor(self, name: str, folder: Path, *, device: torch.device) -> FeatureExtractor:
        """Load the network that computed the real images' features.

        Raises:
            ArtifactError: The classifier is missing or another one.
            DataError: The file of a pretrained network is missing or another one.
        """
        described = self.extractors[name]
        if extractor_of(name) != "classifier":
            return load_pretrained(name, described.path, sha256=described.sha256, device=device)
        path = folder / classifier_name(name)
        require_sha256(path, described.sha256)
        return ClassifierExtractor.load(path, device=device, name=name)
