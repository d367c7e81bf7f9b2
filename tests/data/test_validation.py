"""Validation images: a share of the training images, which nothing but a search reads."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentbench.artifacts.files import read_manifest
from latentbench.artifacts.paths import SPLITS, VALIDATION, images_name, prepared_files
from latentbench.config.datasets import DatasetConfig
from latentbench.config.load import read_config
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ArtifactError
from latentbench.forecast.sizes import dataset_sizes
from tests.data.conftest import Run, error_of, picture, save
from tests.data.test_official_formats import cifar_files, mnist_files, packed
from tests.data.test_sources import _celeba

GLYPHS: dict[str, Any] = {"source": "glyphs", "num_train": 200, "num_test": 20}


def contents(dataset: PreparedDataset, split: str) -> list[bytes]:
    return [image.tobytes() for image in dataset.images(split)]


def test_validation_images_are_a_share_of_each_class_of_the_training_images(prepared: Run) -> None:
    whole = prepared(**GLYPHS)
    train, test = Counter(contents(whole, "train")), contents(whole, "test")
    assert whole.splits == SPLITS
    assert whole.manifest.validation is None
    parted = prepared(**GLYPHS, validation_fraction=0.25)
    kept, held_out = contents(parted, "train"), contents(parted, VALIDATION)
    assert (len(kept), len(held_out)) == (150, 50)
    assert Counter(kept) + Counter(held_out) == train
    assert contents(parted, "test") == test
    for split, number in (("train", 15), (VALIDATION, 5)):
        assert np.bincount(parted.labels(split)).tolist() == [number] * 10
    held_out_of_another_seed = prepared(**GLYPHS, validation_fraction=0.25, seed=1)
    assert contents(held_out_of_another_seed, VALIDATION) != held_out


def test_the_seed_alone_decides_which_images_validate(tmp_path: Path, run: Run) -> None:
    digests = []
    for workers in ("1", "3"):
        assert run(**GLYPHS, validation_fraction=0.1).exit_code == 0
        result = run(("prepare",), "--workers", workers, **GLYPHS, validation_fraction=0.1)
        assert result.exit_code == 0, result.output
        digests.append(read_manifest(tmp_path / "prepared" / "dataset.json")["digest"])
    assert digests[0] == digests[1]


def mnist(root: Path) -> dict[str, Any]:
    write_files(root, mnist_files(train_labels=np.array([0, 0, 0, 1, 1, 1])))
    return {"source": "mnist", "mirror": str(root), "verify": False}


def cifar10(root: Path) -> dict[str, Any]:
    write_files(root, {"cifar-10-binary.tar.gz": packed(cifar_files())})
    return {"source": "cifar10", "mirror": str(root), "verify": False}


def celeba(root: Path) -> dict[str, Any]:
    return {"source": "celeba", "path": str(_celeba(root, "unpacked"))}


def folder(root: Path) -> dict[str, Any]:
    rows = ["name,low"]
    for key in range(8):
        save(root / "images" / "ab"[key % 2] / f"{key}.png", picture(key))
        rows.append(f"{key}.png,{key % 2}")
    (root / "table.csv").write_text("\n".join(rows))
    table = str(root / "table.csv")
    return {"source": "folder", "path": str(root / "images"), "attributes": table}


def write_files(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).write_bytes(gzip.compress(content, 1))


@pytest.mark.parametrize("write", [mnist, cifar10, celeba, folder])
def test_images_of_every_source_have_their_labels_and_attributes(
    write: Callable[[Path], dict[str, Any]], tmp_path: Path, prepared: Run
) -> None:
    (tmp_path / "files").mkdir()
    settings = write(tmp_path / "files")
    whole = prepared(**settings)
    expected = described(whole, "train")
    parted = prepared(**settings, validation_fraction=0.4)
    held_out = described(parted, VALIDATION)
    assert len(held_out) >= 2
    assert described(parted, "train") + held_out == expected


def described(dataset: PreparedDataset, split: str) -> Counter[tuple[bytes, int, bytes]]:
    """Return the images of a split with their labels and attributes."""
    labels = dataset.labels(split).tolist()
    attributes = [b""] * len(labels)
    if dataset.manifest.attribute_names:
        attributes = [row.tobytes() for row in dataset.attributes(split)]
    return Counter(zip(contents(dataset, split), labels, attributes, strict=True))


def test_the_record_and_the_forecast_count_validation_images(tmp_path: Path, run: Run) -> None:
    record = tmp_path / "record" / "prepare.json"
    words = ("--record", str(record))
    settings = GLYPHS | {"validation_fraction": 0.1}
    result = run(("fetch", "prepare"), *words, **settings)
    assert result.exit_code == 0, result.output
    assert "20 validation images" in result.output
    names = {Path(name).name for name in read_manifest(record)["outputs"]}
    assert names == set(prepared_files(has_attributes=False, has_validation=True))
    config = read_config(tmp_path / "set.yaml", DatasetConfig)
    sizes = dataset_sizes(config, tmp_path / "nowhere")
    assert (sizes.num_train, sizes.num_test, sizes.num_validation) == (180, 20, 20)
    (tmp_path / "data" / "prepared").mkdir(parents=True)
    (tmp_path / "prepared").rename(tmp_path / "data" / "prepared" / "set")
    assert dataset_sizes(config, tmp_path / "data").num_validation == 20


def test_max_train_images_counts_validation_images(prepared: Run) -> None:
    fewer = Counter(contents(prepared(**GLYPHS, max_train_images=100), "train"))
    parted = prepared(**GLYPHS, max_train_images=100, validation_fraction=0.2)
    assert Counter(contents(parted, "train")) + Counter(contents(parted, VALIDATION)) == fewer


def test_damaged_validation_images_are_refused(tmp_path: Path, prepared: Run) -> None:
    prepared(**GLYPHS, validation_fraction=0.1)
    path = tmp_path / "prepared" / images_name(VALIDATION)
    images = np.load(path)
    images[3, 4, 5] += 1
    np.save(path, images)
    with pytest.raises(ArtifactError, match=path.name):
        PreparedDataset.open(tmp_path / "prepared")
    path.unlink()
    with pytest.raises(ArtifactError, match=path.name):
        PreparedDataset.open(tmp_path / "prepared")


def test_too_few_validation_images_are_an_error(tmp_path: Path, run: Run) -> None:
    for key in range(6):
        save(tmp_path / "images" / f"{key}.png", picture(key))
    settings = {"source": "folder", "path": str(tmp_path / "images")}
    message = error_of(run(**settings, validation_fraction=0.1))
    assert "validation_fraction: 0.1" in message
    assert not (tmp_path / "prepared").exists()
