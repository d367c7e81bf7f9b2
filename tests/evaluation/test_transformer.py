"""DINOv2 and CLIP with small stand-ins: the networks against independent ones, and the input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from latentbench.artifacts.files import file_sha256
from latentbench.errors import DataError
from latentbench.evaluation.features import transformer
from latentbench.evaluation.features.resize import resize_bicubic
from latentbench.evaluation.features.transformer import RECIPES, TransformerExtractor, normalize
from latentbench.evaluation.features.vision_transformer import (
    HEAD_DIM,
    VisionTransformer,
    interpolate_positions,
    read_clip,
    read_dinov2,
)
from tests.evaluation.transformer_files import (
    Shapes,
    clip_shapes,
    dinov2_shapes,
    draw_weights,
    write_network,
)

CPU = torch.device("cpu")
WIDTH, DEPTH = 128, 2
EXTRACTORS = sorted(RECIPES)


def pictures(number: int, size: int, channels: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (number, size, size, channels), dtype=np.uint8)


def load(path: Path, name: str) -> TransformerExtractor:
    return TransformerExtractor(name, path, sha256=file_sha256(path), device=CPU)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {name: write_network(tmp_path / name, name) for name in EXTRACTORS}


@pytest.mark.parametrize("size", [32, 64, 128, 300])
@pytest.mark.parametrize("target", [224, 336])
def test_resizes_as_pillow_does_bit_for_bit(size: int, target: int) -> None:
    images = pictures(3, size)
    images[0] = np.where(images[0] < 128, 0, 255)  # overshoots are clipped
    found = resize_bicubic(torch.from_numpy(images), target)
    for image, own in zip(images, found, strict=True):
        expected = Image.fromarray(image).resize((target, target), Image.Resampling.BICUBIC)
        assert np.array_equal(own.permute(1, 2, 0).numpy(), np.asarray(expected))


@pytest.mark.parametrize("name", EXTRACTORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_input_is_that_of_the_authors_code(name: str, channels: int) -> None:
    """Both resize with Pillow; torchvision's transforms are those of dgm-eval."""
    from torchvision import transforms

    recipe = RECIPES[name]
    images = pictures(2, 32, channels)
    resized = resize_bicubic(torch.from_numpy(images), recipe.input_size).float()
    found = normalize(resized, recipe)
    side = (recipe.input_size, recipe.input_size)
    theirs = transforms.Compose(
        [
            transforms.Resize(side, transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize(recipe.mean, recipe.std),
        ]
    )
    for image, own in zip(images, found, strict=True):
        picture = Image.fromarray(image.squeeze()).convert("RGB")
        torch.testing.assert_close(own, theirs(picture), rtol=0, atol=1e-6)


def tokens_of(weights: dict[str, Tensor], images: Tensor, names: dict[str, str]) -> Tensor:
    """Return the class token and the patches, by a matrix product over unfolded patches."""
    kernel = weights[names["patches"]]
    unfolded = functional.unfold(images, kernel.shape[-1], stride=kernel.shape[-1])
    patches = unfolded.transpose(1, 2) @ kernel.flatten(1).T
    if "bias" in names:
        patches = patches + weights[names["bias"]]
    first = weights[names["class"]].reshape(1, 1, -1).expand(len(images), 1, -1)
    return torch.cat([first, patches], dim=1)


def layer_norm(x: Tensor, weights: dict[str, Tensor], name: str, epsilon: float) -> Tensor:
    centered = x - x.mean(dim=-1, keepdim=True)
    scaled = centered / (centered.square().mean(dim=-1, keepdim=True) + epsilon).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of (batch, tokens, width), head by head (Vaswani et al., 2017)."""
    outputs = []
    for start in range(0, query.shape[-1], HEAD_DIM):
        head = slice(start, start + HEAD_DIM)
        scores = query[..., head] @ key[..., head].transpose(1, 2) / HEAD_DIM**0.5
        outputs.append(scores.softmax(dim=-1) @ value[..., head])
    return torch.cat(outputs, dim=-1)


def linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def dinov2_features(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Return the class token after the last norm, from the tensors of the file."""
    patches = "embeddings.patch_embeddings.projection"
    names = {"patches": f"{patches}.weight", "bias": f"{patches}.bias"}
    x = tokens_of(weights, images, names | {"class": "embeddings.cls_token"})
    x = x + weights["embeddings.position_embeddings"]
    for number in range(DEPTH):
        block = f"encoder.layer.{number}"
        y = layer_norm(x, weights, f"{block}.norm1", 1e-6)
        parts = [
            linear(y, weights, f"{block}.attention.attention.{part}")
            for part in ("query", "key", "value")
        ]
        y = linear(attention(*parts), weights, f"{block}.attention.output.dense")
        x = x + weights[f"{block}.layer_scale1.lambda1"] * y
        y = layer_norm(x, weights, f"{block}.norm2", 1e-6)
        y = linear(y, weights, f"{block}.mlp.fc1")
        y = linear(y * (1 + torch.erf(y / 2**0.5)) / 2, weights, f"{block}.mlp.fc2")
        x = x + weights[f"{block}.layer_scale2.lambda1"] * y
    return layer_norm(x, weights, "layernorm", 1e-6)[:, 0]


def clip_features(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Return the image embedding, from the tensors of the file."""
    names = {"patches": "visual.conv1.weight", "class": "visual.class_embedding"}
    x = tokens_of(weights, images, names) + weights["visual.positional_embedding"]
    x = layer_norm(x, weights, "visual.ln_pre", 1e-5)
    for number in range(DEPTH):
        block = f"visual.transformer.resblocks.{number}"
        y = layer_norm(x, weights, f"{block}.ln_1", 1e-5)
        parts = (
            y @ weights[f"{block}.attn.in_proj_weight"].T + weights[f"{block}.attn.in_proj_bias"]
        )
        x = x + linear(attention(*parts.chunk(3, dim=-1)), weights, f"{block}.attn.out_proj")
        y = linear(layer_norm(x, weights, f"{block}.ln_2", 1e-5), weights, f"{block}.mlp.c_fc")
        x = x + linear(y * torch.sigmoid(1.702 * y), weights, f"{block}.mlp.c_proj")
    return layer_norm(x, weights, "visual.ln_post", 1e-5)[:, 0] @ weights["visual.proj"]


def in_float64(path: Path) -> dict[str, Tensor]:
    return {name: tensor.double() for name, tensor in load_file(path).items()}


@pytest.mark.parametrize("name", EXTRACTORS)
def test_a_network_computes_what_its_definition_says(name: str, tmp_path: Path) -> None:
    read, features, side = {
        "dinov2": (read_dinov2, dinov2_features, 518),
        "clip": (read_clip, clip_features, 336),
    }[name]
    path = write_network(tmp_path / "file", name, width=WIDTH, depth=DEPTH)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1)).double()
    network = read(path, image_size=side).double()
    torch.testing.assert_close(network(images), features(in_float64(path), images))


def test_a_network_agrees_with_torchvision() -> None:
    """Its network has neither LayerScale nor a first norm."""
    from torchvision.models import VisionTransformer as Theirs

    theirs = Theirs(28, 14, DEPTH, WIDTH // HEAD_DIM, WIDTH, 2 * WIDTH, num_classes=1).double()
    theirs.heads = torch.nn.Identity()
    own = VisionTransformer(
        image_size=28,
        patch_size=14,
        width=WIDTH,
        depth=DEPTH,
        hidden_dim=2 * WIDTH,
        activation="gelu",
        norm_epsilon=1e-6,
        is_clip=False,
    ).double()
    renamed = {"class_token": theirs.class_token.flatten()}
    for name, tensor in theirs.state_dict().items():
        for old, new in {
            "conv_proj": "patches",
            "encoder.pos_embedding": "positions",
            "encoder.layers.encoder_layer_": "blocks.layers.",
            "encoder.ln": "last_norm",
            ".self_attention.": ".self_attn.",
            ".ln_1.": ".norm1.",
            ".ln_2.": ".norm2.",
            ".mlp.0.": ".linear1.",
            ".mlp.3.": ".linear2.",
        }.items():
            name = name.replace(old, new)  # noqa: PLW2901
        if name != "class_token":
            renamed[name] = tensor[0] if name == "positions" else tensor
    own.load_state_dict(renamed)
    images = torch.randn(3, 3, 28, 28, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(own.eval()(images), theirs.eval()(images))


def cubic_kernel(distances: Tensor) -> Tensor:
    """Return the cubic convolution kernel (Keys, 1981) with a = -0.75, torch's."""
    a, x = -0.75, distances.abs()
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return torch.where(x < 1, near, far * (x < 2))


def test_positions_are_interpolated_at_the_points_of_dinov2() -> None:
    old, side = 37, 16
    rows, columns = torch.rand(2, old, generator=torch.Generator().manual_seed(0)).double()
    grid = (rows[:, None] * columns).flatten()[:, None]
    positions = torch.cat([torch.tensor([[-5.0]]).double(), grid])
    found = interpolate_positions(positions, side)
    assert found[0].item() == -5
    points = (torch.arange(side, dtype=torch.float64) + 0.5) * old / (side + 0.1) - 0.5
    weights = cubic_kernel(points[:, None] - torch.arange(old))
    expected = (weights @ rows)[:, None] * (weights @ columns)
    inner = slice(1, side - 1)  # at the edges the outermost values are repeated
    grid = found[1:, 0].unflatten(0, (side, side))
    torch.testing.assert_close(grid[inner, inner], expected[inner, inner])
    assert interpolate_positions(positions, old) is positions


@pytest.mark.parametrize("name", EXTRACTORS)
def test_features_of_images(name: str, files: dict[str, Path]) -> None:
    extractor = load(files[name], name)
    color = extractor(torch.from_numpy(pictures(3, 32)))
    gray = pictures(3, 32, channels=1)
    torch.testing.assert_close(
        extractor(torch.from_numpy(gray)), extractor(torch.from_numpy(np.repeat(gray, 3, axis=3)))
    )
    assert color.shape == (3, extractor.dim)
    assert color.dtype == torch.float32
    has_unit_length = torch.allclose(color.norm(dim=1), torch.ones(3))
    assert has_unit_length == (name == "clip")
    assert str(RECIPES[name].input_size) in extractor.protocol


@pytest.mark.parametrize("name", EXTRACTORS)
def test_features_ignore_the_batch(
    name: str, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor, images = load(files[name], name), torch.from_numpy(pictures(7, 32))
    whole = extractor(images)
    monkeypatch.setitem(transformer._CHUNK_SIZES, "cpu", 2)
    torch.testing.assert_close(extractor(images), whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(extractor(images[3:4]), whole[3:4], rtol=1e-4, atol=1e-5)


def test_another_checksum_is_refused_before_loading(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformer, "RECIPES", {})
    for name, path in files.items():
        with pytest.raises(DataError, match=rf"has the SHA-256.*reference\.{name}_sha256"):
            TransformerExtractor(name, path, sha256="0" * 64, device=CPU)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_damaged_and_other_files_are_refused(name: str, files: dict[str, Path]) -> None:
    [other] = [path for key, path in files.items() if key != name]
    path = files[name]
    weights = load_file(path)
    block = {"dinov2": "encoder.layer.1.", "clip": "visual.transformer.resblocks.1."}[name]
    lacking = {key: tensor for key, tensor in weights.items() if not key.startswith(block)}
    without_norm = {key: tensor for key, tensor in weights.items() if "norm" not in key}
    without_norm = {key: tensor for key, tensor in without_norm.items() if "ln_" not in key}
    wrong_shape = {
        key: tensor[..., :32].contiguous() for key, tensor in weights.items() if tensor.ndim
    }
    contents = [path.read_bytes()[:-10], path.read_bytes()[:40], b"", other.read_bytes()]
    for tensors in (without_norm, wrong_shape, {}):
        save_file(tensors, path)
        contents.append(path.read_bytes())
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(DataError) as refused:
            load(path, name)
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
    save_file(lacking, path)
    assert "1 blocks" in load(path, name).protocol, "sizes are those of the file"


@pytest.mark.parametrize(
    ("shapes", "metadata", "size"),
    [
        (dinov2_shapes(width=1024, depth=24), {"format": "pt"}, 1_217_522_888),
        (
            clip_shapes(width=1024, depth=24, dim=768, text_depth=12, vocabulary=49_408),
            None,
            1_711_828_444,
        ),
    ],
)
def test_the_published_files_have_the_size_of_these_formats(
    shapes: Shapes, metadata: dict[str, str] | None, size: int
) -> None:
    """The names and shapes that are read here, as a safetensors file, to the byte."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name in sorted(shapes):
        start, end = end, end + 4 * int(np.prod(shapes[name]))
        header[name] = {"dtype": "F32", "shape": shapes[name], "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"))
    assert 8 + len(text) + -len(text) % 8 + end == size
    assert draw_weights({"logit_scale": ()})["logit_scale"].ndim == 0
