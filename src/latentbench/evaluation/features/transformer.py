"""Features of DINOv2 and of CLIP, by the protocols of the papers that compare images with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from latentbench.evaluation.features.resize import resize_bicubic
from latentbench.evaluation.features.vision_transformer import (
    VisionTransformer,
    read_clip,
    read_dinov2,
)
from latentbench.evaluation.features.weights import require_checksum
from latentbench.runtime.device import float64_device

# Images inside the network at once. Each takes about 20 MB, and more make a CPU no faster.
_CHUNK_SIZES = {"cpu": 4, "cuda": 64, "mps": 16}


class _Read(Protocol):
    def __call__(self, path: Path, *, image_size: int) -> VisionTransformer: ...


@dataclass(frozen=True)
class Recipe:
    """How a network gets its input, and what its features are.

    `mean` and `std` of the channels are of values in [0, 1].
    """

    title: str
    read: _Read
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    output: str
    has_unit_length: bool = False


RECIPES = {
    # Stein et al. (2023), as in their code, dgm-eval: it resizes with Pillow and takes the output
    # of DINOv2's own code, the class token after the last norm.
    "dinov2": Recipe(
        "DINOv2",
        read_dinov2,
        224,
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        "class token after the last norm",
    ),
    # Jayasumana et al. (2024), as in their code: it resizes with Pillow and scales CLIP's
    # embeddings to unit length.
    "clip": Recipe(
        "CLIP",
        read_clip,
        336,
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
        "image embedding of unit length",
        has_unit_length=True,
    ),
}


class TransformerExtractor:
    """A vision transformer's features of images that Pillow's bicubic resize enlarges.

    The network is on its device. The resize and the features are on `float64_device`.
    """

    def __init__(self, name: str, path: Path, *, sha256: str, device: torch.device) -> None:
        """Load the network from `path` after checking its SHA-256.

        Raises:
            DataError: The file has another checksum, is damaged or holds another network.
        """
        require_checksum(path, name, sha256=sha256)
        self.name = name
        self.recipe = RECIPES[name]
        self.device = device
        network = self.recipe.read(path, image_size=self.recipe.input_size)
        self.dim = network.dim
        self.protocol = _protocol(self.recipe, network)
        self.network = network.to(device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Return features (batch, dim) of uint8 images (batch, height, width, channel)."""
        chunks = images.split(_CHUNK_SIZES[self.device.type])
        return torch.cat([self._features(chunk) for chunk in chunks])

    def _features(self, images: Tensor) -> Tensor:
        float64 = float64_device(self.device)
        resized = resize_bicubic(images.to(float64), self.recipe.input_size)
        features: Tensor = self.network(normalize(resized.float().to(self.device), self.recipe))
        if self.recipe.has_unit_length:
            features = functional.normalize(features)
        return features.to(float64)


def normalize(pixels: Tensor, recipe: Recipe) -> Tensor:
    """Return the network's input (batch, 3, size, size); gray is repeated.

    `pixels` (batch, channel, size, size) are in [0, 255].
    """
    mean = torch.tensor(recipe.mean, device=pixels.device)[:, None, None]
    std = torch.tensor(recipe.std, device=pixels.device)[:, None, None]
    return (pixels / 255 - mean) / std


def _protocol(recipe: Recipe, network: VisionTransformer) -> str:
    depth, width = len(network.blocks.layers), network.class_token.shape[0]
    size, patch = recipe.input_size, network.patches.kernel_size[0]
    return (
        f"{recipe.output} of {recipe.title} (vision transformer with {depth} blocks of width "
        f"{width:,} on patches of {patch}×{patch}), of 8-bit images resized to {size}×{size} by "
        "Pillow's bicubic interpolation"
    )
