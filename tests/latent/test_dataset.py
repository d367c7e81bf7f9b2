"""The dataset in the files of `explore`, against the prepared arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentbench.artifacts.files import write_array
from latentbench.artifacts.paths import labels_name
from latentbench.data.prepared import PreparedDataset
from latentbench.latent.explorations import dataset as exploration
from tests.evaluation.conftest import forget_classes, record_arrays
from tests.latent.conftest import give_attributes

Make = Callable[..., Path]
Explore = Callable[..., Any]


def _is_in(image: np.ndarray, images: np.ndarray) -> bool:
    return bool((images == image).all(axis=(1, 2, 3)).any())


def test_samples_and_means_are_those_of_each_class(make_prepared: Make, explore: Explore) -> None:
    data = make_prepared()
    dataset = PreparedDataset.open(data)
    images, labels = np.array(dataset.images("train")), dataset.labels("train")
    arrays, facts, _ = explore("vae", data)
    for label in range(4):
        of_class = images[labels == label]
        shown = arrays["data_samples"][label]
        assert all(_is_in(image, of_class) for image in shown)
        assert len(np.unique(shown, axis=0)) == len(shown) == 8
        assert (arrays["data_means"][label] == np.round(of_class.mean(axis=0))).all()
    assert facts["data"] == {
        "name": "squares",
        "source": "folder",
        "settings": dataset.manifest.settings,
        "image_size": 32,
        "channels": 1,
        "images": {"train": 40, "test": 20},
        "classes": [{"name": name, "train": 10, "test": 5} for name in "abcd"],
        "attributes": [],
        "num_averaged": [10] * 4,
    }


def test_all_models_of_a_study_have_the_same_images(make_prepared: Make, explore: Explore) -> None:
    data = make_prepared()
    first, second = (explore(objective, data)[0] for objective in ("autoencoder", "dcgan"))
    assert (first["data_samples"] == second["data_samples"]).all()


def test_without_classes_all_images_are_one_group(make_prepared: Make, explore: Explore) -> None:
    data = forget_classes(make_prepared(num_train=100))
    images = np.array(PreparedDataset.open(data).images("train"))
    arrays, facts, _ = explore("vae", data)
    assert arrays["data_samples"].shape == (1, 64, 32, 32, 1)
    assert all(_is_in(image, images) for image in arrays["data_samples"][0])
    assert (arrays["data_means"] == np.round(images.mean(axis=0))).all()
    assert (facts["data"]["classes"], facts["data"]["num_averaged"]) == ([], [100])


def test_missing_images_of_a_class_are_black(make_prepared: Make, explore: Explore) -> None:
    data = make_prepared()
    labels = np.array([0] * 30 + [1] * 3 + [3] * 7)
    write_array(data / labels_name("train"), labels)
    record_arrays(data)
    arrays, facts, _ = explore("autoencoder", data)
    shown = arrays["data_samples"].any(axis=(2, 3, 4))
    assert shown.sum(axis=1).tolist() == [8, 3, 0, 7]
    assert shown[1].tolist() == [True] * 3 + [False] * 5
    assert not arrays["data_means"][2].any()
    assert [found["train"] for found in facts["data"]["classes"]] == [30, 3, 0, 7]
    assert facts["data"]["num_averaged"] == [30, 3, 0, 7]


def test_means_are_of_a_limited_number_of_images(
    make_prepared: Make, explore: Explore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which each class has its share, so that a rare one has a mean too."""
    monkeypatch.setattr(exploration, "MAX_AVERAGED", 32)
    arrays, facts, _ = explore("autoencoder")
    assert facts["data"]["num_averaged"] == [8] * 4
    assert (arrays["data_means"] == np.round(arrays["data_samples"].mean(axis=1))).all()


def test_classes_beyond_the_limit_are_counted(
    make_prepared: Make, explore: Explore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exploration, "MAX_CLASSES", 3)
    arrays, facts, _ = explore("autoencoder")
    assert (
        len(arrays["data_samples"])
        == len(arrays["data_means"])
        == len(facts["data"]["num_averaged"])
        == 3
    )
    assert len(facts["data"]["classes"]) == 4


def test_attribute_frequencies(make_prepared: Make, explore: Explore) -> None:
    data = give_attributes(make_prepared())
    _, facts, _ = explore("autoencoder", data)
    result = {found["name"]: found for found in facts["data"]["attributes"]}
    assert list(result) == ["coin", "low", "rare"]
    assert result["low"] == {"name": "low", "train": 0.5, "test": 0.5}
    assert result["rare"] == {
        "name": "rare",
        "train": pytest.approx(1 / 40),
        "test": pytest.approx(1 / 20),
    }
    for split in ("train", "test"):
        assert result["coin"][split] == PreparedDataset.open(data).attributes(split)[:, 0].mean()
