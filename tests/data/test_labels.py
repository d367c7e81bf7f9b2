"""Label vectors: classes, attributes, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from latentbench.artifacts.files import read_manifest, write_array, write_manifest
from latentbench.artifacts.paths import DATASET_MANIFEST, attributes_name
from latentbench.data.labels import LabelSet, label_vectors
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DataError
from latentbench.rng import torch_generator


@pytest.fixture
def dataset(make_prepared: Callable[..., Path]) -> PreparedDataset:
    """Four classes in turn, and attributes: Smiling of every other image, Hat of the first four."""
    folder = make_prepared()
    write_manifest(
        folder / DATASET_MANIFEST,
        read_manifest(folder / DATASET_MANIFEST) | {"attribute_names": ["Smiling", "Hat"]},
    )
    for split, number in (("train", 40), ("test", 20)):
        places = np.arange(number)
        write_array(
            folder / attributes_name(split),
            np.stack([places % 2, places < 4], axis=1).astype(np.uint8),
        )
    return PreparedDataset.open(folder)


def test_classes_are_one_hot(dataset: PreparedDataset) -> None:
    vectors = label_vectors(dataset, "test", "class")
    assert vectors.shape == (20, 4)
    assert vectors.sum(axis=1).tolist() == [1] * 20
    assert np.array_equal(vectors.argmax(axis=1), dataset.labels("test"))


def test_attributes_are_in_the_order_of_the_condition(dataset: PreparedDataset) -> None:
    vectors = label_vectors(dataset, "train", ["Hat", "Smiling"])
    assert vectors[:5].tolist() == [[1, 0], [1, 1], [1, 0], [1, 1], [0, 0]]


def test_without_condition_vectors_are_empty(dataset: PreparedDataset) -> None:
    assert label_vectors(dataset, "train", None).shape == (40, 0)
    labels = LabelSet.from_dataset(dataset, None)
    assert (len(labels), labels.names) == (1, [])
    assert labels.sample(7, torch.Generator()).shape == (7, 0)


def test_distinct_vectors_are_in_the_order_of_classes(dataset: PreparedDataset) -> None:
    labels = LabelSet.from_dataset(dataset, "class")
    assert labels.descriptions() == ["a", "b", "c", "d"]
    assert labels.counts == [10] * 4
    assert torch.equal(labels.round_robin(6).argmax(dim=1), torch.tensor([0, 1, 2, 3, 0, 1]))


def test_labels_are_sampled_as_distributed_in_the_data(dataset: PreparedDataset) -> None:
    labels = LabelSet.from_dataset(dataset, ["Smiling", "Hat"])
    assert dict(zip(labels.descriptions(), labels.counts, strict=True)) == {
        "Smiling, Hat": 2,
        "Smiling": 18,
        "Hat": 2,
        "none": 18,
    }
    drawn = labels.sample(20_000, torch_generator(0, "labels"))
    assert drawn[:, 1].mean().item() == pytest.approx(0.1, abs=0.01)
    assert drawn[:, 0].mean().item() == pytest.approx(0.5, abs=0.02)


def test_unknown_attributes_and_missing_classes_are_errors(dataset: PreparedDataset) -> None:
    with pytest.raises(DataError, match=r"'Beard'.*squares are: Smiling, Hat\."):
        label_vectors(dataset, "train", ["Beard"])
    path = dataset.folder / DATASET_MANIFEST
    write_manifest(path, read_manifest(path) | {"class_names": []})
    with pytest.raises(DataError, match="squares has fewer than two"):
        label_vectors(PreparedDataset.open(dataset.folder), "train", "class")
