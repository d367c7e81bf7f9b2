"""ONNX files, run by onnxruntime, against PyTorch: every objective, architecture and part."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

import latentbench as lb
from latentbench.config.load import parse_params
from latentbench.config.models import DiffusionModel
from latentbench.errors import ArgumentError, StorageError, UnsupportedError
from latentbench.inference.export import PARTS, exportable, onnx_bytes
from latentbench.models.networks.architectures import Encoder, Shape
from latentbench.models.networks.layers import BATCH_NORMS, SelfAttention
from latentbench.models.objective import (
    HasDiscriminator,
    HasEncoder,
    HasPosterior,
    Objective,
    Sampling,
)
from latentbench.models.registry import OBJECTIVES, build_objective
from tests.evaluation.conftest import write_checkpoint

Make = Callable[..., Path]
NUM_LABELS = 4
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "convolutional": {"architecture": "convolutional"},
    "residual": {"architecture": "residual", "attention_resolution": 8},
    "fully_connected": {"architecture": "fully_connected", "hidden_dims": [16, 8]},
    "dilated": {"architecture": "convolutional", "layers_per_stage": 2, "dilation": 2},
    "spectral": {"architecture": "convolutional", "spectral_norm": True},
    "resnet": {"architecture": "resnet"},
}


# Diffusion models have no decoder of these architectures.
WITH_DECODER = [name for name in OBJECTIVES if name != "diffusion"]


def settings(name: str, architecture: str, *, conditional: bool, **model: Any) -> Any:
    model = {"name": name, "latent_dim": 6} | ARCHITECTURES[architecture] | model
    if architecture != "fully_connected":
        model["width"] = 4
    if conditional:
        model["condition"] = "class"
    raw: dict[str, Any] = {
        "studies": {"s": {"title": "S"}},
        "datasets": {"d": {"source": "glyphs"}},
    }
    raw["experiments"] = {"e": {"study": "s", "dataset": "d", "model": model}}
    return parse_params(raw, where="params.yaml").experiment("e").model


def trained(config: Any, shape: Shape) -> Objective:
    """Return an objective whose outputs vary and whose running statistics are not the initial."""
    objective = build_objective(config, shape, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in objective.modules():
            if isinstance(module, BATCH_NORMS):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
            elif isinstance(module, SelfAttention):
                module.gain.fill_(0.7)
        if config.spectral_norm:  # until the singular vectors fit the weights
            for network in objective.modules():
                for _ in range(30 if isinstance(network, Encoder) else 0):
                    network.train()(*example(shape, 2, generator))
    return objective.eval()


def example(shape: Shape, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return images in [-1, 1] and one-hot labels."""
    size = (number, shape.channels, shape.image_size, shape.image_size)
    images = torch.rand(size, generator=generator) * 2 - 1
    labels = nn.functional.one_hot(torch.arange(number) % max(shape.num_labels, 1), NUM_LABELS)
    return images, labels[:, : shape.num_labels].float()


@torch.no_grad()
def expected(objective: Any, part: str, inputs: Tensor, labels: Tensor) -> list[Tensor]:
    if part == "decoder":
        return [objective.decode(inputs, labels)]
    if part == "discriminator":
        return [objective.discriminate(inputs, labels)]
    if isinstance(objective, HasPosterior):
        return list(objective.posterior(inputs, labels))
    return [objective.encode(inputs, labels)]


def check(objective: Objective, shape: Shape) -> None:
    """Compare all parts with onnxruntime, for batches of two sizes."""
    generator = torch.Generator().manual_seed(1)
    for part in PARTS:
        if not has(objective, part):
            with pytest.raises(UnsupportedError, match=part):
                exportable(objective, part, shape, name="m")
            continue
        before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
        network = exportable(objective, part, shape, name="m")
        session = ort.InferenceSession(onnx_bytes(network, {"part": part}))
        names = [each.name for each in session.get_inputs()]
        assert names == list(network.inputs)
        assert ("labels" in names) == bool(shape.num_labels)
        for number in (1, 5):
            images, labels = example(shape, number, generator)
            inputs = images
            if part == "decoder":
                inputs = torch.randn(number, objective.latent_dim, generator=generator)
            given = {names[0]: inputs.numpy()}
            if shape.num_labels:
                given["labels"] = labels.numpy()
            found = session.run(list(network.outputs), given)
            wanted = expected(objective, part, inputs, labels)
            for array, tensor in zip(found, wanted, strict=True):
                assert array.dtype == np.float32
                scale = max(1.0, float(tensor.abs().max()))
                np.testing.assert_allclose(array, tensor.numpy(), rtol=0, atol=1e-4 * scale)
        # Otherwise the tolerance would hold for a constant.
        assert all(float(tensor.std()) > 0.01 for tensor in wanted)
        assert all(torch.equal(before[name], now) for name, now in objective.state_dict().items())


def has(objective: Objective, part: str) -> bool:
    if part == "encoder":
        return isinstance(objective, HasEncoder)
    return part == "decoder" or isinstance(objective, HasDiscriminator)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("place", range(len(WITH_DECODER)))
def test_onnxruntime_computes_what_pytorch_computes(place: int, architecture: str) -> None:
    name = WITH_DECODER[place]
    # Each objective and each architecture with labels and without.
    conditional = name == "cgan" or (place + list(ARCHITECTURES).index(architecture)) % 2 == 0
    model = {"gp_weight": 0} if name == "wgan_gp" and architecture == "spectral" else {}
    config = settings(
        name, architecture, conditional=conditional, initialization="kaiming", **model
    )
    shape = Shape(32, 3 if conditional else 1, NUM_LABELS if conditional else 0)
    check(trained(config, shape), shape)


@pytest.mark.parametrize("architecture", ["residual", "fully_connected"])
def test_conditional_batch_norm_and_a_projection_are_exported(architecture: str) -> None:
    config = settings(
        "dcgan",
        architecture,
        conditional=True,
        initialization="kaiming",
        conditional_batch_norm=True,
        projection_discriminator=True,
        spectral_norm=True,
    )
    shape = Shape(32, 3, NUM_LABELS)
    check(trained(config, shape), shape)


@pytest.mark.parametrize("architecture", ["unet", "ddpmpp"])
def test_the_steps_of_an_ode_are_unrolled(architecture: str) -> None:
    """Without labels, and with guidance."""
    model = {"name": "diffusion", "architecture": architecture, "width": 4, "sampling_steps": 1}
    num_labels = 0
    if architecture == "unet":
        num_labels = NUM_LABELS
        model |= {"condition": "class", "guidance": 2.0}
    shape = Shape(32, 1, num_labels)
    objective: Any = build_objective(DiffusionModel.model_validate(model), shape, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # the untrained velocity is 0
        for parameter in objective.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    check(objective, shape)
    objective.sampling = Sampling(1, churn=2.0)
    with pytest.raises(UnsupportedError, match="churn"):
        exportable(objective, "decoder", shape, name="m")


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "optimal_gaussian"])
def test_images_are_the_mean_of_each_likelihood(likelihood: str) -> None:
    config = settings(
        "vae", "convolutional", conditional=False, initialization="kaiming", likelihood=likelihood
    )
    shape = Shape(64, 1)
    objective = trained(config, shape)
    check(objective, shape)
    # Small and large outputs, for which the mean has different formulas.
    last = list(objective.averaged["decoder"].layers)[-1]  # type: ignore[arg-type, union-attr]
    for factor in (0.02, 100.0):
        last.weight.data.mul_(factor)
        network = exportable(objective, "decoder", shape, name="m")
        session = ort.InferenceSession(onnx_bytes(network, {}))
        latents = torch.randn(3, 6, generator=torch.Generator().manual_seed(2))
        [found] = session.run(None, {"latents": latents.numpy()})
        [wanted] = expected(objective, "decoder", latents, latents[:, :0])
        np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-4)


def test_export_writes_a_file_with_metadata(
    make_config: Make, make_prepared: Make, tmp_path: Path
) -> None:
    path = make_config("cgan", model={"condition": "class"})
    data = make_prepared()
    for epoch in (1, 3):
        write_checkpoint(path, epoch, data=data)
    model = lb.load_model(path.parent, device="cpu")
    target = tmp_path / "generator.onnx"
    target.write_text("earlier", encoding="utf-8")
    model.export(target)
    session = ort.InferenceSession(str(target))
    facts = {
        name: json.loads(value)
        for name, value in session.get_modelmeta().custom_metadata_map.items()
    }
    assert (facts["model"], facts["epoch"], facts["part"]) == ("cgan", 3, "decoder")
    assert facts["label_names"] == model.label_names
    assert (facts["image_size"], facts["channels"], facts["latent_dim"]) == (32, 1, 6)
    # The same images as the API's.
    latents = model.latents(4)
    labels = np.eye(4, dtype=np.float32)
    [images] = session.run(["images"], {"latents": latents, "labels": labels})
    levels = np.round((images.transpose(0, 2, 3, 1) + 1) * 127.5)
    assert np.abs(levels - model.decode(latents, labels=labels)).max() <= 1
    with pytest.raises(UnsupportedError, match=r"cgan.*encoder"):
        model.export(target, part="encoder")
    with pytest.raises(ArgumentError, match="critic"):
        model.export(target, part="critic")
    with pytest.raises(StorageError, match=str(target)):
        model.export(target / "below.onnx")
    assert sorted(tmp_path.glob("*.onnx*")) == [target]


def test_without_the_package_a_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_onnx(name: str, *args: Any) -> Any:
        if name.partition(".")[0] == "onnx":
            raise ImportError(name)
        return real(name, *args)

    shape = Shape(32, 1)
    objective = build_objective(settings("vae", "convolutional", conditional=False), shape, seed=0)
    network = exportable(objective.eval(), "decoder", shape, name="m")
    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(UnsupportedError, match="onnx"):
        onnx_bytes(network, {})
