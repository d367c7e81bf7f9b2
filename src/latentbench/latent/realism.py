"""How real an image is: its distance to the nearest real one in feature space, and what the classifier sees in it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.files import read_array
from latentbench.artifacts.layout import features_name, test_features_name
from latentbench.data.mosaic import Images
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ArtifactError
from latentbench.evaluation.classifier import ClassifierExtractor
from latentbench.evaluation.features import BATCH_SIZE, FeatureExtractor
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.latent.findings import Array

_MOST_TYPICAL = 1_000  # test images whose distances say what is typical


class Realism:
    """Real training images in feature space."""

    def __init__(
        self,
        extractor: FeatureExtractor,
        real: Array,
        unseen: Array,
        classifier: ClassifierExtractor | None,
        class_names: list[str],
    ) -> None:
        """`real` and `unseen` (number, dim) are features of training and of test images; `classifier` knows the
        classes, if one does."""
        self.extractor = extractor
        self.real = real
        self.classifier = classifier
        self.class_names = class_names if classifier else []
        unseen = np.array(unseen[:_MOST_TYPICAL])
        self.typical = self._nearest(torch.from_numpy(unseen).to(extractor.device)).median()

    @classmethod
    def open(cls, folder: Path, dataset: PreparedDataset, *, device: torch.device) -> Self:
        """Read what the reference stage left.

        Raises ArtifactError where a file is missing or damaged, or of other images than the dataset's.
        """
        reference = ReferenceManifest.read(folder)
        if reference.data_digest != dataset.manifest.digest:
            raise ArtifactError(
                f"{folder} was built from another preparation of {reference.dataset} than {dataset.folder} holds; "
                "build the reference again."
            )
        loaded = {name: reference.load_extractor(name, folder, device=device) for name in reference.extractors}
        name = "inception" if "inception" in loaded else next(iter(loaded))
        classifier = loaded.get("classifier")
        knows_classes = "classifier" in loaded and reference.extractors["classifier"].task == "labels"
        return cls(
            loaded[name],
            read_array(folder / features_name(name), mapped=True),
            read_array(folder / test_features_name(name), mapped=True),
            classifier if knows_classes and isinstance(classifier, ClassifierExtractor) else None,
            dataset.manifest.class_names,
        )

    def distances(self, images: Images) -> Array:
        """Float32 (...), of images (..., height, width, channel) to the nearest training image, over what the distance
        of a real image that no model saw typically is: the median over test images."""
        features = torch.cat([self.extractor(batch) for batch in _flat(images).split(BATCH_SIZE)])
        relative: Array = (self._nearest(features) / self.typical).float().cpu().numpy()
        return relative.reshape(images.shape[:-3])

    def probabilities(self, images: Images) -> Array | None:
        """Float32 (..., classes); None where no classifier knows classes."""
        if self.classifier is None:
            return None
        batches = [self.classifier.probabilities(self.classifier(batch)) for batch in _flat(images).split(BATCH_SIZE)]
        probabilities: Array = torch.cat(batches).cpu().numpy()
        return probabilities.reshape(*images.shape[:-3], -1)

    def recognised(self, images: Images) -> dict[str, float]:
        """By class, the share of the images that are taken for it; nothing where no classifier knows classes."""
        probabilities = self.probabilities(images)
        if probabilities is None:
            return {}
        counts = np.bincount(probabilities.reshape(-1, probabilities.shape[-1]).argmax(axis=1))
        return {self.class_names[label]: float(counts[label] / counts.sum()) for label in np.flatnonzero(counts)}

    def _nearest(self, features: Tensor) -> Tensor:
        """Float64 (number,) Euclidean distances."""
        nearest = torch.full((len(features),), torch.inf, dtype=torch.float64, device=features.device)
        for start in range(0, len(self.real), BATCH_SIZE):
            block = torch.from_numpy(np.array(self.real[start : start + BATCH_SIZE])).to(nearest)
            nearest = torch.minimum(nearest, torch.cdist(features.double(), block).amin(dim=1))
        return nearest


def _flat(images: Images) -> Tensor:
    return torch.from_numpy(images.reshape(-1, *images.shape[-3:]))
