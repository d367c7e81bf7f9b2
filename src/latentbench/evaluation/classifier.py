"""A small convolutional classifier, whose last hidden layer is a feature extractor."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentbench.artifacts.tensors import read_tensors, write_tensors
from latentbench.data.images import to_model
from latentbench.errors import ArtifactError
from latentbench.models.initialization import initialize_weights

FORMAT = 1

# Enough to see more than the classes, few enough that a thousand images settle their covariance.
FEATURE_DIM = 64

# The side at which convolutions begin, in pixels. Larger images are folded into it, pixels to channels.
GRID = 16


class Classifier(nn.Module):
    """Convolutions at 16×16, 8×8 and 4×4, the mean over places, 64 features, a linear layer.

    Of this layer's outputs `num_outputs` are of kinds that exclude one another, the others of attributes.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        width: int,
        num_outputs: int,
        num_attributes: int = 0,
    ) -> None:
        super().__init__()
        self.num_outputs = num_outputs
        self.fold = image_size // GRID
        self.trunk = nn.Sequential(
            *_convolution(channels * self.fold**2, width, stride=1),
            *_convolution(width, 2 * width, stride=2),
            *_convolution(2 * width, 2 * width, stride=1),
            *_convolution(2 * width, 4 * width, stride=2),
        )
        # Normalized but not clipped: no feature is dead, and their covariance is well conditioned.
        self.embedding = nn.Sequential(
            nn.Linear(4 * width, FEATURE_DIM, bias=False), nn.BatchNorm1d(FEATURE_DIM)
        )
        self.head = nn.Linear(FEATURE_DIM, num_outputs + num_attributes)
        self.settings = {
            "image_size": image_size, "channels": channels, "width": width, "num_outputs": num_outputs,
        }  # fmt: skip
        if num_attributes:  # without any a file is what it always was
            self.settings["num_attributes"] = num_attributes

    def initialize_weights(self, generator: torch.Generator) -> Self:
        initialize_weights(self, "kaiming", generator)
        return self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """(batch, channel, height, width) in [-1, 1] to (batch, FEATURE_DIM)."""
        folded = functional.pixel_unshuffle(images, self.fold)
        places: Tensor = self.trunk(folded.contiguous(memory_format=torch.channels_last))
        # Not AdaptiveAvgPool2d, which has no deterministic gradient on a GPU.
        features: Tensor = self.embedding(places.mean(dim=(2, 3)))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, num_outputs)."""
        return self.classify(self.features(images))

    def classify(self, features: Tensor) -> Tensor:
        """Logits (batch, num_outputs) of features (batch, FEATURE_DIM)."""
        return self._logits(features)[:, : self.num_outputs]

    def attributes(self, features: Tensor) -> Tensor:
        """Logits (batch, num_attributes), each of an attribute's being there, of features (batch, FEATURE_DIM)."""
        return self._logits(features)[:, self.num_outputs :]

    def _logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(functional.silu(features))
        return logits


class ClassifierExtractor:
    """The features of a classifier that was trained on the dataset itself."""

    name = "classifier"
    dim = FEATURE_DIM

    def __init__(self, network: Classifier, *, protocol: str, device: torch.device) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()
        self.protocol = protocol
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.features(to_model(images.to(self.device)))
        return features

    @torch.inference_mode()
    def predict(self, features: Tensor) -> Tensor:
        """The class (batch,) that the network gives each image, by its features."""
        return self.network.classify(features).argmax(dim=1)

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        """Of each class (batch, classes), by the images' features."""
        return self.network.classify(features).softmax(dim=1)

    @torch.inference_mode()
    def attributes(self, features: Tensor) -> Tensor:
        """Whether the network sees each attribute (batch, attributes), bool, by the images' features."""
        return self.network.attributes(features) > 0

    def save(self, path: Path) -> None:
        metadata = {"format": FORMAT, "protocol": self.protocol, "settings": self.network.settings}
        write_tensors(path, self.network.state_dict(), metadata)

    @classmethod
    def load(cls, path: Path, *, device: torch.device) -> Self:
        """Raises ArtifactError where the file is missing, damaged or holds another network."""
        weights, metadata = read_tensors(path)
        try:
            network = _rebuilt(metadata, weights)
        except (KeyError, TypeError, RuntimeError):
            raise ArtifactError(
                f"{path} does not hold this classifier; build the reference again."
            ) from None
        return cls(network, protocol=metadata["protocol"], device=device)


def _rebuilt(metadata: dict[str, Any], weights: dict[str, Tensor]) -> Classifier:
    network = Classifier(**metadata["settings"])
    network.load_state_dict(weights)
    return network


def _convolution(inputs: int, outputs: int, *, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(inplace=True),
    ]
