"""Files of vision transformers in the formats of DINOv2 and CLIP, of any size, random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def dinov2_shapes(*, width: int, depth: int, side: int = 518, patch: int = 14) -> Shapes:
    """Return the tensors of Hugging Face's Dinov2Model."""
    shapes: Shapes = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.mask_token": (1, width),
        "embeddings.position_embeddings": (1, 1 + (side // patch) ** 2, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, patch, patch),
        "embeddings.patch_embeddings.projection.bias": (width,),
    } | norm("layernorm", width)
    for number in range(depth):
        block = f"encoder.layer.{number}."
        for name in ("query", "key", "value"):
            shapes |= linear(f"{block}attention.attention.{name}", width, width)
        shapes |= linear(f"{block}attention.output.dense", width, width)
        shapes |= linear(f"{block}mlp.fc1", width, 4 * width)
        shapes |= linear(f"{block}mlp.fc2", 4 * width, width)
        shapes |= norm(f"{block}norm1", width) | norm(f"{block}norm2", width)
        shapes[f"{block}layer_scale1.lambda1"] = (width,)
        shapes[f"{block}layer_scale2.lambda1"] = (width,)
    return shapes


def clip_shapes(
    *,
    width: int,
    depth: int,
    dim: int,
    side: int = 336,
    patch: int = 14,
    text_depth: int = 1,
    vocabulary: int = 10,
) -> Shapes:
    """Return the tensors of OpenCLIP's CLIP, whose text network is as wide as its output."""
    shapes: Shapes = {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (1 + (side // patch) ** 2, width),
        "visual.proj": (width, dim),
        "visual.conv1.weight": (width, 3, patch, patch),
        "positional_embedding": (77, dim),
        "text_projection": (dim, dim),
        "token_embedding.weight": (vocabulary, dim),
        "logit_scale": (),
    }
    shapes |= norm("visual.ln_pre", width) | norm("visual.ln_post", width) | norm("ln_final", dim)
    for prefix, size, number in (("visual.", width, depth), ("", dim, text_depth)):
        for place in range(number):
            block = f"{prefix}transformer.resblocks.{place}."
            shapes |= norm(f"{block}ln_1", size) | norm(f"{block}ln_2", size)
            shapes[f"{block}attn.in_proj_weight"] = (3 * size, size)
            shapes[f"{block}attn.in_proj_bias"] = (3 * size,)
            shapes |= linear(f"{block}attn.out_proj", size, size)
            shapes |= linear(f"{block}mlp.c_fc", size, 4 * size)
            shapes |= linear(f"{block}mlp.c_proj", 4 * size, size)
    return shapes


def linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def draw_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Return random tensors; matrices keep the scale of what they multiply."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        scale = shape[-1] ** -0.5 if len(shape) == 2 else 0.5
        weights[name] = torch.randn(shape, generator=generator) * scale
    return weights


def write_network(path: Path, extractor: str, *, width: int = 64, depth: int = 2) -> Path:
    """Write a small network in the format of the extractor's published file."""
    if extractor == "dinov2":
        shapes = dinov2_shapes(width=width, depth=depth)
    else:
        shapes = clip_shapes(width=width, depth=depth, dim=24)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(draw_weights(shapes), path, metadata={"format": "pt"})
    return path
