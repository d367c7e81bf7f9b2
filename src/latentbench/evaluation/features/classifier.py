"""A small convolutional classifier, whose last hidden layer is a feature extractor."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentbench.artifacts.files import require_format
from latentbench.artifacts.tensors import read_tensors, require_tensors, write_tensors
from latentbench.data.images import to_model
from latentbench.errors import ArtifactError
from latentbench.models.networks.initialization import initialize_weights
from latentbench.runtime.device import float64_device, memory_format, move_network

FORMAT = 1

# More than most datasets have classes, and few enough to estimate their covariance from a thousand
# images.
FEATURE_DIM = 64

# The resolution of the first convolution. Larger images are folded to it with pixel_unshuffle.
BASE_RESOLUTION = 16


class Classifier(nn.Module):
    """Convolutions at 16×16, 8×8 and 4×4, global average pooling, 64 features, a linear layer.

    Of the linear layer's outputs the first `num_outputs` are class logits, the others attribute
    logits.
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
        self.fold = image_size // BASE_RESOLUTION
        self.trunk = nn.Sequential(
            *_convolution(channels * self.fold**2, width, stride=1),
            *_convolution(width, 2 * width, stride=2),
            *_convolution(2 * width, 2 * width, stride=1),
            *_convolution(2 * width, 4 * width, stride=2),
        )
        # Batch norm without an activation: no feature is dead, and the covariance is well
        # conditioned.
        self.embedding = nn.Sequential(
            nn.Linear(4 * width, FEATURE_DIM, bias=False), nn.BatchNorm1d(FEATURE_DIM)
        )
        self.head = nn.Linear(FEATURE_DIM, num_outputs + num_attributes)
        self.settings = {
            "image_size": image_size,
            "channels": channels,
            "width": width,
            "num_outputs": num_outputs,
            "num_attributes": num_attributes,
        }

    def initialize_weights(self, generator: torch.Generator) -> Self:
        """Draw Kaiming-normal weights and use channels_last, the faster memory format."""
        initialize_weights(self, "kaiming", generator)
        return self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Return features (batch, FEATURE_DIM) of images (batch, channel, ...) in [-1, 1]."""
        folded = functional.pixel_unshuffle(images, self.fold)
        maps: Tensor = self.trunk(folded.contiguous(memory_format=memory_format(folded.device)))
        # AdaptiveAvgPool2d has no deterministic gradient on a GPU.
        features: Tensor = self.embedding(maps.mean(dim=(2, 3)))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Return class logits (batch, num_outputs)."""
        return self.class_logits(self.features(images))

    def class_logits(self, features: Tensor) -> Tensor:
        """Return class logits (batch, num_outputs) of features (batch, FEATURE_DIM)."""
        return self._logits(features)[:, : self.num_outputs]

    def attribute_logits(self, features: Tensor) -> Tensor:
        """Return attribute logits (batch, num_attributes) of features (batch, FEATURE_DIM)."""
        return self._logits(features)[:, self.num_outputs :]

    def _logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(functional.silu(features))
        return logits


class ClassifierExtractor:
    """The features of a classifier that was trained on the dataset itself.

    The network is on its device, and features are on `float64_device`, where they are compared.
    Predictions are on the device of the features.
    """

    dim = FEATURE_DIM

    def __init__(
        self,
        network: Classifier,
        *,
        protocol: str,
        device: torch.device,
        name: str = "classifier",
    ) -> None:
        self.name = name
        self.network = move_network(network, device).eval()
        self.protocol = protocol
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Return features (batch, FEATURE_DIM) of uint8 images (batch, height, width, channel)."""
        features: Tensor = self.network.features(to_model(images.to(self.device)))
        return features.to(float64_device(self.device))

    @torch.inference_mode()
    def predict_classes(self, features: Tensor) -> Tensor:
        """Return the most probable class (batch,)."""
        logits = self.network.class_logits(features.to(self.device))
        return logits.argmax(dim=1).to(features.device)

    @torch.inference_mode()
    def class_probabilities(self, features: Tensor) -> Tensor:
        """Return class probabilities (batch, classes)."""
        logits = self.network.class_logits(features.to(self.device))
        return logits.softmax(dim=1).to(features.device)

    @torch.inference_mode()
    def predict_attributes(self, features: Tensor) -> Tensor:
        """Return bool (batch, attributes): which attributes are more probable than not."""
        logits = self.network.attribute_logits(features.to(self.device))
        return (logits > 0).to(features.device)

    def save(self, path: Path) -> None:
        """Write weights, settings and protocol as a safetensors file."""
        metadata = {"format": FORMAT, "protocol": self.protocol, "settings": self.network.settings}
        write_tensors(path, self.network.state_dict(), metadata)

    @classmethod
    def load(cls, path: Path, *, device: torch.device, name: str = "classifier") -> Self:
        """Read a file that `save` wrote; repeats have a `name` of their own.

        Raises:
            ArtifactError: The file is missing, damaged or holds another network.
        """
        weights, metadata = read_tensors(path)
        require_format(path, metadata, FORMAT)
        try:
            network = Classifier(**metadata["settings"])
            protocol = str(metadata["protocol"])
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise ArtifactError(
                f"{path} does not hold a classifier of this version. Build the reference again."
            ) from None
        require_tensors(
            weights, network.state_dict(), path=path, remedy="build the reference again"
        )
        network.load_state_dict(weights)
        return cls(network, protocol=protocol, device=device, name=name)


def _convolution(inputs: int, outputs: int, *, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(inplace=True),
    ]
