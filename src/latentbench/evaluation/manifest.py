"""reference.json: what generated images are compared with, written when every file beside it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from latentbench.artifacts.files import file_sha256, read_json, write_json
from latentbench.artifacts.paths import CLASSIFIER, REFERENCE_MANIFEST
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ArtifactError
from latentbench.evaluation.attribute_accuracy import AttributeAccuracy
from latentbench.evaluation.classifier import ClassifierExtractor
from latentbench.evaluation.features import FeatureExtractor
from latentbench.evaluation.inception import InceptionExtractor, locate_inception

FORMAT = 3


class ExtractorManifest(BaseModel):
    """`sha256` is the network's.

    `test_scores` is what the test split's `num_images` real images score, `train_halves` how far apart two halves of the training
    images are, `num_images` each. Half of the test images are nearer to a training image than `median_distance`, and
    a share of thresholds.CLOSE_QUANTILE than `close_distance`. `attribute_accuracy` is how well a classifier sees each of the
    dataset's attributes in test images.
    """

    model_config = ConfigDict(extra="forbid")

    metric: str
    kernel_metric: str
    protocol: str
    feature_dim: int
    sha256: str
    test_scores: dict[str, int | float]
    train_halves: dict[str, int | float]
    median_distance: float
    close_distance: float
    path: str | None = None
    task: str | None = None
    accuracy: float | None = None
    attribute_accuracy: dict[str, AttributeAccuracy] = {}

    @property
    def knows_classes(self) -> bool:
        return self.task == "labels"


class ReferenceManifest(BaseModel):
    """`num_images` training images gave the features and their statistics."""

    model_config = ConfigDict(extra="forbid")

    format: int
    dataset: str
    data_digest: str
    split: str
    num_images: int
    extractors: dict[str, ExtractorManifest]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises ArtifactError where it is missing or damaged."""
        path = folder / REFERENCE_MANIFEST
        content = read_json(path)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ArtifactError(
                f"{path} is damaged ({where}: {first['msg']}); build the reference again."
            ) from None

    @property
    def preferred(self) -> str:
        """The extractor by which single images are compared: Inception where it is at hand, which sees more than what
        tells classes apart."""
        return "inception" if "inception" in self.extractors else next(iter(self.extractors))

    def require_match(
        self, folder: Path, dataset: PreparedDataset, config: ExperimentConfig
    ) -> None:
        """Raise ArtifactError unless it was built from the dataset, and the dataset is the experiment's."""
        if self.dataset != config.dataset:
            raise ArtifactError(
                f"{folder} was built from {self.dataset}, but {config.name} is trained on {config.dataset}; "
                "give the reference of its own dataset."
            )
        dataset.require_shape(image_size=config.image_size, channels=config.channels)
        if self.data_digest != dataset.manifest.digest:
            raise ArtifactError(
                f"{folder} was built from another preparation of {self.dataset} than {dataset.folder} holds; "
                "build the reference again."
            )

    def write(self, folder: Path) -> None:
        write_json(folder / REFERENCE_MANIFEST, self.model_dump(exclude_none=True))

    def load_extractor(self, name: str, folder: Path, *, device: torch.device) -> FeatureExtractor:
        """The very network that the real images' features came from.

        Raises ArtifactError or DataError where it is missing or is another one.
        """
        described = self.extractors[name]
        if name == "inception":
            path = locate_inception(described.path, sha256=described.sha256)
            return InceptionExtractor(path, sha256=described.sha256, device=device)
        path = folder / CLASSIFIER
        extractor = ClassifierExtractor.load(path, device=device)
        if file_sha256(path) != described.sha256:
            raise ArtifactError(
                f"{path} is not the network of {REFERENCE_MANIFEST} beside it; build the reference again."
            )
        return extractor
