"""Damaged files are read as the same values or refused with an error that names them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from latentbench.artifacts.files import (
    file_sha256,
    read_array,
    read_arrays,
    read_manifest,
    require_format,
    write_array,
    write_arrays,
    write_manifest,
)
from latentbench.artifacts.paths import REFERENCE_ROWS, checkpoint_path, classifier_name
from latentbench.artifacts.tensors import read_tensors, write_tensors
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ArtifactError
from latentbench.evaluation import manifest as reference_manifest
from latentbench.evaluation.features.classifier import Classifier, ClassifierExtractor
from latentbench.evaluation.features.feature_stats import FeatureStats, compute_feature_stats
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.inference.checkpoints import load_checkpoint
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import Objective
from latentbench.models.registry import build_objective
from latentbench.rng import torch_generator
from latentbench.training.history import LossTracker
from latentbench.training.state import STATE, Progress, load_state, run_identity, save_state
from tests.evaluation.conftest import write_checkpoint

CPU = torch.device("cpu")
Make = Callable[..., Path]
Damage = Callable[[bytes], bytes]

# Files of another kind, under any name.
FOREIGN = (
    b"",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[]",
    b"null",
    b'{"format": 99}',
    b"PK\x05\x06" + bytes(18),
    b"\x93NUMPY\x01\x00\x76\x00" + b"{" * 0x76,
    b"\x93NUMPY\x01\x00\x76\x00"
    + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000, 900000000), }".ljust(
        0x76
    ),
    b"\xff" * 8 + b"{}",
    b"\x02" + bytes(7) + b"{}",
)


def flip(place: int, bit: int) -> Damage:
    def damage(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[place % len(content)] ^= 1 << bit
        return bytes(changed)

    return damage


def overwrite(place: int, part: bytes) -> Damage:
    def damage(content: bytes) -> bytes:
        start = place % len(content)
        return content[:start] + part + content[start + len(part) :]

    return damage


PLACES = st.integers(0, 10_000)
DAMAGE = st.one_of(
    st.builds(flip, PLACES, st.integers(0, 7)),
    st.builds(overwrite, PLACES, st.binary(max_size=40)),
    st.builds(lambda keep: lambda content: content[: keep % len(content)], PLACES),
    st.builds(lambda more: lambda content: content + more, st.binary(min_size=1, max_size=20)),
    st.sampled_from(FOREIGN).map(lambda foreign: lambda _: foreign),
)


def bits(value: Any) -> Any:
    """Return something that is equal for equal bits."""
    if isinstance(value, Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: bits(each) for key, each in value.items()}
    return value


def check_damage(folder: Path, name: str, damage: Damage, read: Callable[[], Any]) -> None:
    """Damage a file of a folder, whose content `read` returns, and restore it."""
    path = folder / name
    expected, content = bits(read()), path.read_bytes()
    path.write_bytes(damage(content))
    refused = None
    try:
        found = bits(read())
    except ArtifactError as error:
        refused = str(error)
    path.write_bytes(content)
    if refused is None:
        assert found == expected
    else:
        assert str(folder) in refused
        assert len(refused) < 1000
        assert refused.isprintable()


def read_versioned(path: Path) -> dict[str, Any]:
    """Read what a stage reads of a manifest."""
    content = read_manifest(path)
    require_format(path, content, 1)
    return {key: content.get(key) for key in ("format", "names", "share")}


@given(damage=DAMAGE, name=st.sampled_from(["x.npz", "x.json", "x.safetensors"]))
def test_single_files(damage: Damage, name: str, tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.npz", {"a": np.arange(5), "b": np.ones((2, 3), np.uint8)})
    write_manifest(tmp_path / "x.json", {"format": 1, "names": ["a", "é"], "share": 0.25})
    write_tensors(tmp_path / "x.safetensors", {"w": torch.arange(6.0).view(2, 3)}, {"epoch": 1})
    readers: dict[str, Callable[[Path], Any]] = {
        "x.npz": read_arrays,
        "x.json": read_versioned,
        "x.safetensors": lambda path: dict(enumerate(read_tensors(path))),
    }
    check_damage(tmp_path, name, damage, lambda: readers[name](tmp_path / name))


@given(damage=DAMAGE, name=st.sampled_from(["dataset.json", "train-images.npy", "test-labels.npy"]))
def test_prepared_datasets(damage: Damage, name: str, make_prepared: Make) -> None:
    folder = make_prepared(num_train=4, num_test=3)
    content = read_manifest(folder / "dataset.json")
    write_manifest(folder / "dataset.json", content)

    def read() -> Any:
        dataset = PreparedDataset.open(folder)
        arrays = {f"{split} images": np.array(dataset.images(split)) for split in ("train", "test")}
        arrays |= {split: dataset.labels(split) for split in ("train", "test")}
        return arrays | {"manifest": dataset.manifest.model_dump()}

    check_damage(folder, name, damage, read)


def make_reference(folder: Path) -> None:
    """Write a reference of 3 of 4 training images, without training the classifier."""
    network = Classifier(image_size=16, channels=1, width=1, num_outputs=2)
    network.initialize_weights(torch_generator(0, "classifier"))
    ClassifierExtractor(network, protocol="p", device=CPU).save(
        folder / classifier_name("classifier")
    )
    features = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    compute_feature_stats(features).with_root().save(folder / "classifier-statistics.safetensors")
    write_array(folder / "classifier-features.npy", features.numpy())
    write_array(folder / "classifier-test-features.npy", features.numpy())
    write_array(folder / REFERENCE_ROWS, np.array([0, 1, 3]))
    names = [path.name for path in folder.glob("*.npy")] + [
        path.name for path in folder.glob("*.safetensors")
    ]
    files = {name: file_sha256(folder / name) for name in names}
    extractor = {
        "metric": "fd_classifier",
        "kernel_metric": "kd_classifier",
        "protocol": "p",
        "feature_dim": 64,
        "sha256": files[classifier_name("classifier")],
        "train_halves": {},
        "median_distance": 1.5,
        "close_distance": 0.5,
        "closer_to_train": 0.5,
    }
    ReferenceManifest.model_validate(
        {
            "format": reference_manifest.FORMAT,
            "dataset": "d",
            "data_digest": "0",
            "split": "train",
            "num_images": 3,
            "extractors": {"classifier": extractor},
            "files": files,
        }
    ).write(folder)


@given(damage=DAMAGE, number=st.integers(0, 5))
def test_references(damage: Damage, number: int, tmp_path: Path) -> None:
    folder = tmp_path / "reference"
    if not folder.exists():
        make_reference(folder)
    name = sorted(path.name for path in folder.iterdir())[number]

    def read() -> Any:
        manifest = ReferenceManifest.read(folder)
        extractor = manifest.load_extractor("classifier", folder, device=CPU)
        assert isinstance(extractor, ClassifierExtractor)
        path = folder / "classifier-statistics.safetensors"
        statistics = vars(FeatureStats.load(path, device=CPU))
        arrays = {path.name: read_array(path) for path in folder.glob("*.npy")}
        return [
            manifest.model_dump(),
            bits(dict(extractor.network.state_dict())),
            bits(statistics),
            bits(arrays),
        ]

    check_damage(folder, name, damage, read)


@pytest.mark.parametrize(
    "change",
    [
        {"covariance": torch.eye(63, dtype=torch.float64)},
        {"mean": torch.zeros(64, 1, dtype=torch.float64)},
        {"mean": torch.zeros(64)},
        {"root": torch.zeros(64, 3, dtype=torch.float64)},
        {"mean": torch.full((64,), torch.nan, dtype=torch.float64)},
        {"covariance": None},
        {"other": torch.zeros(1)},
    ],
)
def test_statistics_of_odd_shape(change: dict[str, Tensor | None], tmp_path: Path) -> None:
    """With a valid checksum."""
    path = tmp_path / "statistics.safetensors"
    compute_feature_stats(torch.randn(3, 64)).with_root().save(path)
    tensors, metadata = read_tensors(path)
    changed = {name: each for name, each in (tensors | change).items() if each is not None}
    write_tensors(path, changed, metadata)
    with pytest.raises(ArtifactError, match=path.name):
        FeatureStats.load(path, device=CPU)
    for count in (None, "3", 1, -5):
        write_tensors(path, tensors, metadata | {"count": count})
        with pytest.raises(ArtifactError, match=path.name):
            FeatureStats.load(path, device=CPU)


@given(damage=DAMAGE)
@settings(max_examples=50)
def test_checkpoints(
    damage: Damage, make_config: Make, make_prepared: Make, tmp_path: Path
) -> None:
    config_path = tmp_path / "results/tiny/vae/config.yaml"
    if not config_path.exists():
        write_checkpoint(make_config("vae"), 1, data=make_prepared())
    config, results = read_config(config_path, ExperimentConfig), config_path.parent

    def read() -> Any:
        trained = load_checkpoint(config, results, 1, device=CPU)
        return bits(trained.objective.weights() | trained.prior.tensors()), vars(trained.label_set)

    check_damage(results, "checkpoints/epoch-0001.safetensors", damage, read)


def test_checkpoints_of_another_epoch_or_content(make_config: Make, make_prepared: Make) -> None:
    path = make_config("vae")
    config, results = read_config(path, ExperimentConfig), path.parent
    write_checkpoint(path, 1, data=make_prepared())
    shutil.copy(checkpoint_path(results, 1), checkpoint_path(results, 2))
    with pytest.raises(ArtifactError, match=r"epoch-0002.*epoch was 1, is now 2"):
        load_checkpoint(config, results, 2, device=CPU)
    weights, metadata = read_tensors(checkpoint_path(results, 1))
    name = next(iter(weights))
    for changed, about in (
        ({name: weights[name].double()}, {}),
        ({name: weights[name][..., :1]}, {}),
        ({name: weights[name] * torch.nan}, {}),
        ({"more": torch.zeros(1)}, {}),
        ({"prior.more": torch.zeros(1)}, {}),
        ({"prior.weights": torch.tensor(1.0)}, {}),
        ({"prior.weights": torch.ones(2)}, {}),
        ({"prior.means": weights["prior.means"].double()}, {}),
        ({"prior.scale_tril": -weights["prior.scale_tril"]}, {}),
        ({"prior.scale_tril": weights["prior.scale_tril"] * torch.nan}, {}),
        ({}, {"format": 99}),
        ({}, {"labels": []}),
        ({}, {"labels": {"names": [], "vectors": [[1]], "counts": [1]}}),
        ({}, {"labels": {"names": [], "vectors": [[]], "counts": [0]}}),
        ({}, {"settings": []}),
        ({}, {"epoch": None}),
    ):
        write_tensors(
            checkpoint_path(results, 2), weights | changed, metadata | {"epoch": 2} | about
        )
        with pytest.raises(ArtifactError, match="epoch-0002"):
            load_checkpoint(config, results, 2, device=CPU)


@pytest.fixture
def make_objective(make_config: Make) -> Callable[[], tuple[Objective, LossTracker]]:
    config = read_config(make_config("vae"), ExperimentConfig)

    def make() -> tuple[Objective, LossTracker]:
        objective = build_objective(config.model, Shape(32, 1, num_labels=0), seed=0)
        objective.make_optimizers()
        return objective, LossTracker(objective.terms, CPU)

    return make


def progress_after(scratch: Path, step: int) -> Progress:
    """Return the progress after some of two steps per epoch."""
    usage = {"wall_seconds": 1.0, "cpu_seconds": 1.0, "peak_memory_mb": 1.0}
    rows = [{"epoch": epoch + 1} for epoch in range(step // 2)]
    progress = Progress(step=step, seconds=1.5, rows=rows, usage=usage)
    frame = scratch / "frames/samples/epoch-0001.png"
    frame.parent.mkdir(parents=True, exist_ok=True)
    frame.write_bytes(b"frame")
    progress.add_file(scratch, frame)
    return progress


@given(damage=DAMAGE, name=st.sampled_from([STATE, "frames/samples/epoch-0001.png"]))
@settings(max_examples=50)
def test_states(
    damage: Damage, name: str, tmp_path: Path, make_objective: Callable[[], Any]
) -> None:
    scratch, identity = tmp_path / "scratch", run_identity({"seed": 0}, "digest")
    if not scratch.exists():
        objective, losses = make_objective()
        save_state(scratch, identity, objective, progress_after(scratch, 3), losses)

    def read() -> Any:
        objective, losses = make_objective()
        progress = load_state(scratch, identity, objective, losses, steps_per_epoch=2)
        return bits(objective.training_state()), bits(losses.state_dict()), vars(progress)

    check_damage(scratch, name, damage, read)


def test_states_of_another_content(tmp_path: Path, make_objective: Callable[[], Any]) -> None:
    """With a valid checksum."""
    identity = run_identity({"seed": 0}, "digest")
    objective, losses = make_objective()
    save_state(tmp_path, identity, objective, progress_after(tmp_path, 3), losses)
    path = tmp_path / STATE
    tensors, metadata = read_tensors(path)
    progress = metadata["progress"]
    weight = next(name for name in tensors if name.endswith("weight"))
    moment = next(name for name in tensors if name.startswith("optimizers/"))
    changes: list[tuple[dict[str, Tensor], Any]] = [
        ({weight: tensors[weight].double()}, progress),
        ({weight: tensors[weight].flatten()}, progress),
        ({weight: tensors[weight] * torch.nan}, progress),
        ({moment: tensors[moment].float() / 0}, progress),
        ({"history/curve/steps": torch.zeros(1)}, progress),
        ({"history/epoch/sums": tensors["history/epoch/sums"] * torch.nan}, progress),
        ({"more": torch.zeros(1)}, progress),
        ({}, {}),
        ({}, []),
        ({}, progress | {"step": 1}),
        ({}, progress | {"step": "3"}),
        ({}, progress | {"rows": [{}]}),
        ({}, progress | {"usage": {"seconds": 1.0}}),
        ({}, progress | {"files": {"absent.png": "0"}}),
        ({}, progress | {"more": 1}),
    ]
    for changed, found in changes:
        write_tensors(path, tensors | changed, metadata | {"progress": found})
        with pytest.raises(ArtifactError, match=str(tmp_path)):
            load_state(tmp_path, identity, *make_objective(), steps_per_epoch=2)
    write_tensors(path, tensors, json.loads(json.dumps(metadata)))
    assert load_state(tmp_path, identity, *make_objective(), steps_per_epoch=2) is not None
