"""Vision transformers with the weights of DINOv2 and of CLIP.

The blocks are torch's. timm has both networks, but its import takes 3 s of processor time, as long
as that of a whole stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from latentbench.errors import DataError, reason

HEAD_DIM = 64  # of each attention head, in all sizes of both networks

Weights = dict[str, Tensor]


class VisionTransformer(nn.Module):
    """Patches, a class token, position embeddings and pre-norm blocks (Dosovitskiy et al., 2021).

    The output is the class token after the last norm and, if `output_dim` is given, a projection.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        image_size: int,
        patch_size: int,
        width: int,
        depth: int,
        hidden_dim: int,
        activation: str | Callable[[Tensor], Tensor],
        norm_epsilon: float,
        is_clip: bool,
        output_dim: int | None = None,
    ) -> None:
        """CLIP has a norm before the blocks and no bias of patches."""
        super().__init__()
        self.image_size = image_size
        self.dim = width if output_dim is None else output_dim
        num_patches = (image_size // patch_size) ** 2
        self.patches = nn.Conv2d(3, width, patch_size, stride=patch_size, bias=not is_clip)
        self.class_token = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(torch.zeros(1 + num_patches, width))
        self.first_norm = nn.LayerNorm(width, norm_epsilon) if is_clip else nn.Identity()
        block = nn.TransformerEncoderLayer(
            width,
            width // HEAD_DIM,
            hidden_dim,
            dropout=0.0,
            activation=activation,
            layer_norm_eps=norm_epsilon,
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
        self.last_norm = nn.LayerNorm(width, norm_epsilon)
        self.projection: nn.Module = nn.Identity()
        if output_dim is not None:
            self.projection = nn.Linear(width, output_dim, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (batch, dim) of images (batch, 3, image_size, image_size)."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        class_tokens = self.class_token.expand(len(images), 1, -1)
        tokens = torch.cat([class_tokens, patches], dim=1) + self.positions
        tokens = self.blocks(self.first_norm(tokens))
        output: Tensor = self.projection(self.last_norm(tokens[:, 0]))
        return output


def quick_gelu(x: Tensor) -> Tensor:
    """Return x · sigmoid(1.702 x), CLIP's activation."""
    return x * torch.sigmoid(1.702 * x)


def read_dinov2(path: Path, *, image_size: int) -> VisionTransformer:
    """Read Hugging Face's safetensors file of a DINOv2 network of any size.

    LayerScale's factors are folded into the linear layers before them.

    Raises:
        DataError: The file is damaged or holds another network.
    """
    with _weights_file(path, "DINOv2") as read:
        patches = read("embeddings.patch_embeddings.projection.weight")
        side = image_size // patches.shape[-1]
        positions = read("embeddings.position_embeddings")[0]
        weights = {
            "patches.weight": patches,
            "patches.bias": read("embeddings.patch_embeddings.projection.bias"),
            "class_token": read("embeddings.cls_token").flatten(),
            "positions": interpolate_positions(positions, side),
        }
        depth = read.count("encoder.layer.{}.norm1.weight")
        for number in range(depth):
            weights |= _dinov2_block(read, f"encoder.layer.{number}.", f"blocks.layers.{number}.")
        _copy(read, weights, {"layernorm": "last_norm"})
        return _build(weights, depth, image_size=image_size, activation="gelu", norm_epsilon=1e-6)


def read_clip(path: Path, *, image_size: int) -> VisionTransformer:
    """Read the image network of an OpenCLIP safetensors file of OpenAI's CLIP, of any size.

    Raises:
        DataError: The file is damaged or holds another network.
    """
    with _weights_file(path, "CLIP") as read:
        weights = {
            "patches.weight": read("visual.conv1.weight"),
            "class_token": read("visual.class_embedding"),
            "positions": read("visual.positional_embedding"),
            "projection.weight": read("visual.proj").T.contiguous(),
        }
        depth = read.count("visual.transformer.resblocks.{}.ln_1.weight")
        for number in range(depth):
            old, new = f"visual.transformer.resblocks.{number}.", f"blocks.layers.{number}."
            for name in ("weight", "bias"):
                weights[f"{new}self_attn.in_proj_{name}"] = read(f"{old}attn.in_proj_{name}")
            names = {
                "attn.out_proj": "self_attn.out_proj",
                "ln_1": "norm1",
                "ln_2": "norm2",
                "mlp.c_fc": "linear1",
                "mlp.c_proj": "linear2",
            }
            _copy(read, weights, {old + name: new + own for name, own in names.items()})
        _copy(read, weights, {"visual.ln_pre": "first_norm", "visual.ln_post": "last_norm"})
        return _build(
            weights, depth, image_size=image_size, activation=quick_gelu, norm_epsilon=1e-5
        )


def interpolate_positions(positions: Tensor, side: int) -> Tensor:
    """Return position embeddings (1 + side², width) of other ones, as DINOv2's own code does.

    The first embedding is the class token's. The sides differ by a factor with an offset of 0.1,
    which shifts the sampling points; `size=` instead would give other embeddings.
    """
    old = math.isqrt(len(positions) - 1)
    if old == side:
        return positions
    grid = positions[1:].unflatten(0, (old, old)).permute(2, 0, 1)[None]
    factor = (side + 0.1) / old
    resized = functional.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([positions[:1], resized[0].flatten(1).T])


class _Reader:
    """Reads tensors of an open safetensors file as float32."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __call__(self, name: str) -> Tensor:
        tensor: Tensor = self.file.get_tensor(name)
        return tensor.float()

    def count(self, pattern: str) -> int:
        """Return for how many numbers, from 0, the file has the tensor of this name."""
        names = set(self.file.keys())
        number = 0
        while pattern.format(number) in names:
            number += 1
        return number


@contextmanager
def _weights_file(path: Path, title: str) -> Iterator[_Reader]:
    """Yield a reader of the file; raise DataError for all that its content may raise."""
    try:
        with safe_open(path, framework="pt") as file:
            yield _Reader(file)
    except (SafetensorError, RuntimeError, ValueError, LookupError, ZeroDivisionError) as error:
        raise DataError(
            f"{path} does not hold the weights of {title} ({reason(error)}). Replace the file."
        ) from None


def _dinov2_block(read: _Reader, old: str, new: str) -> Weights:
    weights: Weights = {}
    for name in ("weight", "bias"):
        parts = [
            read(f"{old}attention.attention.{part}.{name}") for part in ("query", "key", "value")
        ]
        weights[f"{new}self_attn.in_proj_{name}"] = torch.cat(parts)
    _copy(
        read,
        weights,
        {
            f"{old}norm1": f"{new}norm1",
            f"{old}norm2": f"{new}norm2",
            f"{old}attention.output.dense": f"{new}self_attn.out_proj",
            f"{old}mlp.fc1": f"{new}linear1",
            f"{old}mlp.fc2": f"{new}linear2",
        },
    )
    for scale, layer in (("layer_scale1", "self_attn.out_proj"), ("layer_scale2", "linear2")):
        factors = read(f"{old}{scale}.lambda1")
        weights[f"{new}{layer}.weight"] = weights[f"{new}{layer}.weight"] * factors[:, None]
        weights[f"{new}{layer}.bias"] = weights[f"{new}{layer}.bias"] * factors
    return weights


def _copy(read: _Reader, weights: Weights, names: dict[str, str]) -> None:
    """Read weight and bias of layers, by their old names, into `weights` by their new ones."""
    for old, new in names.items():
        for kind in ("weight", "bias"):
            weights[f"{new}.{kind}"] = read(f"{old}.{kind}")


def _build(
    weights: Weights,
    depth: int,
    *,
    image_size: int,
    activation: str | Callable[[Tensor], Tensor],
    norm_epsilon: float,
) -> VisionTransformer:
    """Return the network with these weights, whose shapes are its settings."""
    projection = weights.get("projection.weight")
    width, _, patch_size, _ = weights["patches.weight"].shape
    with torch.device("meta"):
        network = VisionTransformer(
            image_size=image_size,
            patch_size=patch_size,
            width=width,
            depth=depth,
            hidden_dim=weights["blocks.layers.0.linear1.bias"].shape[0],
            activation=activation,
            norm_epsilon=norm_epsilon,
            is_clip=projection is not None,
            output_dim=None if projection is None else projection.shape[0],
        )
    network.load_state_dict(weights, assign=True)
    return network.requires_grad_(False).eval()
