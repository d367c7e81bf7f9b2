"""References and checkpoints, built with the command line."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from click.testing import CliRunner, Result
from torch import Tensor, nn

from latentbench.artifacts.files import (
    file_sha256,
    read_array,
    read_manifest,
    write_array,
    write_manifest,
    write_yaml,
)
from latentbench.artifacts.paths import (
    CHECKPOINT_FORMAT,
    DATASET_MANIFEST,
    SPLITS,
    attributes_name,
    checkpoint_path,
    images_name,
    labels_name,
)
from latentbench.artifacts.tensors import write_tensors
from latentbench.cli import main
from latentbench.config.datasets import DatasetConfig
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.data.labels import LabelSet
from latentbench.data.prepared import PreparedDataset
from latentbench.models.networks.architectures import Shape
from latentbench.models.prior import Prior
from latentbench.models.registry import build_objective
from tests.evaluation.transformer_files import write_network

EPOCHS = (1, 3)


@pytest.fixture(autouse=True)
def clean_fid_with_new_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept `disp=False`, which clean-fid passes to `sqrtm` and SciPy 1.18 no longer knows."""
    if "disp" not in inspect.signature(scipy.linalg.sqrtm).parameters:
        sqrtm = scipy.linalg.sqrtm
        monkeypatch.setattr(scipy.linalg, "sqrtm", lambda matrix, disp: (sqrtm(matrix), math.nan))


@pytest.fixture
def prepared(make_prepared: Callable[..., Path]) -> Path:
    return make_prepared(num_train=120, num_test=80)


@pytest.fixture
def make_dataset_config(tmp_path: Path) -> Callable[..., Path]:
    """Write the resolved config of the squares with the given reference settings."""

    def make(channels: int = 1, image_size: int = 32, **reference: Any) -> Path:
        dataset = {"source": "folder", "path": "x", "channels": channels, "image_size": image_size}
        settings = {"width": 4, "batch_size": 16, "compute": {"device": "cpu"}} | reference
        config = DatasetConfig.model_validate(
            {"name": "squares", "dataset": dataset | {"reference": settings}}
        )
        path = tmp_path / "dataset.yaml"
        write_yaml(path, config.model_dump(mode="json"))
        return path

    return make


@pytest.fixture
def build_reference(
    tmp_path: Path, make_dataset_config: Callable[..., Path]
) -> Callable[..., Path]:
    """Run the reference stage on prepared data and return its folder."""

    def build(data: Path, **reference: Any) -> Path:
        output = tmp_path / "reference"
        config = make_dataset_config(**reference)
        result = run("reference", config=config, data=data, output=output)
        assert result.exit_code == 0, result.output
        return output

    return build


@pytest.fixture
def make_experiment(make_config: Callable[..., Path]) -> Callable[..., Path]:
    """Write an experiment's config and a checkpoint of initial weights per epoch."""

    def make(data: Path, objective: str = "dcgan", channels: int = 1, **sections: Any) -> Path:
        path = make_config(objective, channels=channels, **sections)
        for epoch in EPOCHS:
            write_checkpoint(path, epoch, data=data)
        return path.parent

    return make


@pytest.fixture(scope="session")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small prepared dataset of digits and its reference; read only."""
    root = tmp_path_factory.mktemp("glyphs")
    reference = {"width": 8, "epochs": 3, "batch_size": 32, "compute": {"device": "cpu"}}
    dataset = {"source": "glyphs", "num_train": 1_500, "num_test": 500, "reference": reference}
    config = root / "dataset.yaml"
    write_yaml(
        config,
        DatasetConfig.model_validate({"name": "glyphs", "dataset": dataset}).model_dump(
            mode="json"
        ),
    )
    for stage, paths in {
        "fetch": {"output": root / "raw"},
        "prepare": {"raw": root / "raw", "output": root / "prepared"},
        "reference": {"data": root / "prepared", "output": root / "reference"},
    }.items():
        result = run(stage, config=config, **paths)
        assert result.exit_code == 0, result.output
    return root / "prepared", root / "reference"


def wide_prior(latent_dim: int, number: int) -> Prior:
    """Return one or two Gaussians, neither of them standard."""
    factors = torch.eye(latent_dim).mul(torch.tensor([2.0, 0.5])[:, None, None])
    means = torch.tensor([[1.0], [-2.0]]).expand(-1, latent_dim)
    weights = torch.tensor([0.25, 0.75] if number == 2 else [1.0])
    return Prior(weights, means[:number], factors[:number])


def write_checkpoint(config_path: Path, epoch: int, *, data: Path, factor: float = 1.0) -> None:
    config = read_config(config_path, ExperimentConfig)
    labels = LabelSet.from_dataset(PreparedDataset.open(data), config.model.condition)
    shape = Shape(config.image_size, config.channels, num_labels=len(labels.names))
    objective = build_objective(config.model, shape, seed=epoch)
    weights = {
        name: weight * factor if weight.is_floating_point() else weight
        for name, weight in objective.weights().items()
    }
    if config.model.prior_kind != "standard":
        number = 1 if config.model.prior_kind == "gaussian" else 2
        weights |= wide_prior(config.model.latent_dim, number).tensors()
    metadata = {
        "format": CHECKPOINT_FORMAT,
        "settings": config.training_settings(),
        "labels": vars(labels),
        "preparation": vars(PreparedDataset.open(data).resize_spec),
    }
    metadata["data_digest"] = read_manifest(data / DATASET_MANIFEST)["digest"]
    write_tensors(
        checkpoint_path(config_path.parent, epoch),
        weights,
        metadata | {"epoch": epoch, "step": epoch},
    )


def forget_classes(data: Path) -> Path:
    """Remove the labels of prepared data."""
    manifest = read_manifest(data / DATASET_MANIFEST) | {"class_names": []}
    for split in ("train", "test"):
        path = data / labels_name(split)
        write_array(path, np.full(manifest[split]["num_images"], -1, dtype=np.int64))
        manifest[split]["labels_sha256"] = file_sha256(path)
    write_manifest(data / DATASET_MANIFEST, manifest)
    return data


def record_arrays(data: Path, splits: Sequence[str] = SPLITS) -> None:
    """Record images and labels of prepared data as they are now."""
    manifest = read_manifest(data / DATASET_MANIFEST)
    for split in splits:
        manifest[split] = {
            "num_images": len(read_array(data / labels_name(split))),
            "images_sha256": file_sha256(data / images_name(split)),
            "labels_sha256": file_sha256(data / labels_name(split)),
        }
    write_manifest(data / DATASET_MANIFEST, manifest)


def give_attributes(data: Path) -> Path:
    """Give prepared squares three attributes: random, low position, and one of a single image."""
    manifest = read_manifest(data / DATASET_MANIFEST) | {"attribute_names": ["coin", "low", "rare"]}
    for split in SPLITS:
        number = manifest[split]["num_images"]
        low = np.arange(number) % 4 // 2
        coin = np.random.default_rng(0).integers(0, 2, number)
        attributes = np.stack([coin, low, np.arange(number) == 0], axis=1).astype(np.uint8)
        write_array(data / attributes_name(split), attributes)
    write_manifest(data / DATASET_MANIFEST, manifest)
    return data


def run(stage: str, **paths: Path) -> Result:
    arguments = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    return CliRunner().invoke(main, [stage, *arguments])


def evaluate(results: Path, reference: Path, data: Path) -> Result:
    folders = {
        "data": data,
        "reference": reference,
        "results": results,
        "scratch": scratch_of(results),
    }
    return run("evaluate", config=results / "config.yaml", **folders)


def scratch_of(results: Path) -> Path:
    """results/STUDY/EXPERIMENT to scratch/STUDY/EXPERIMENT."""
    return results.parents[2] / "scratch" / results.parent.name / results.name


@pytest.fixture
def transformer_settings(tmp_path: Path) -> dict[str, str]:
    """Write small networks in the formats of DINOv2 and CLIP; return the reference's settings."""
    settings = {}
    for name in ("dinov2", "clip"):
        path = write_network(tmp_path / "weights" / f"{name}.safetensors", name)
        settings |= {f"{name}_path": str(path), f"{name}_sha256": file_sha256(path)}
    return settings


class _Layers(nn.Module):
    """Features that depend on all pixels of a 299×299 image."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("projection", torch.randn(3 * 13 * 13, dim, generator=generator) / 20)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.nn.functional.avg_pool2d(x, 23).flatten(1)
        return torch.tanh(pooled @ self.projection)[:, :, None, None]


class _Inception(nn.Module):
    """Has the interface of the TorchScript Inception that clean-fid uses."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = _Layers(dim)

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        return self.layers((x - 128) / 128)


@pytest.fixture
def make_inception(tmp_path: Path) -> Callable[..., Path]:
    """Write a TorchScript network with the interface of clean-fid's; return its path."""

    def make(dim: int = 24) -> Path:
        path = tmp_path / "inception" / "inception-2015-12-05.pt"
        path.parent.mkdir(exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PyTorch deprecates TorchScript
            torch.jit.script(_Inception(dim)).save(str(path))
        return path

    return make
