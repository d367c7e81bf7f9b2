"""Distances and predicted classes of real images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.data.prepared import PreparedDataset
from latentbench.latent.realism import Realism

Make = Callable[..., Path]


@pytest.fixture
def dataset(make_prepared: Make) -> PreparedDataset:
    return PreparedDataset.open(make_prepared())


@pytest.fixture
def realism(dataset: PreparedDataset, build_reference: Make, make_config: Make) -> Realism:
    config = read_config(make_config("vae"), ExperimentConfig)
    return Realism.load(
        build_reference(dataset.folder, epochs=20), dataset, config, device=torch.device("cpu")
    )


def test_distances_of_training_and_test_images(dataset: PreparedDataset, realism: Realism) -> None:
    train, test = (np.array(dataset.images(split)) for split in ("train", "test"))
    assert realism.distances(train) == pytest.approx(0, abs=1e-5)
    assert np.median(realism.distances(test)) == pytest.approx(1, rel=1e-5)


def test_distances_ignore_the_batch_and_keep_the_shape(
    dataset: PreparedDataset, realism: Realism
) -> None:
    images = np.array(dataset.images("test"))[:12]
    one_by_one = [realism.distances(image[None])[0] for image in images]
    np.testing.assert_allclose(
        realism.distances(images.reshape(3, 4, *images.shape[1:])).ravel(), one_by_one, rtol=1e-4
    )


def test_noise_is_far_from_any_real_image(dataset: PreparedDataset, realism: Realism) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 1), dtype=np.uint8)
    assert np.median(realism.distances(noise)) > 2


def test_shares_of_predicted_classes(dataset: PreparedDataset, realism: Realism) -> None:
    images, labels = np.array(dataset.images("test")), dataset.labels("test")
    assert realism.predicted_classes(images[labels == 2]) == {"c": 1.0}
    shares = realism.predicted_classes(images)
    assert sum(shares.values()) == pytest.approx(1)
    probabilities = realism.class_probabilities(images)
    assert probabilities is not None
    assert probabilities.shape == (20, 4)


def test_distances_are_over_dinov2_where_it_is_available(
    dataset: PreparedDataset,
    build_reference: Make,
    make_config: Make,
    transformer_settings: dict[str, str],
) -> None:
    """The classes are still the classifier's; CLIP, which is not used, is not loaded."""
    extractors = ["classifier", "clip", "dinov2"]
    reference = build_reference(dataset.folder, extractors=extractors, **transformer_settings)
    Path(transformer_settings["clip_path"]).unlink()
    config = read_config(make_config("vae"), ExperimentConfig)
    realism = Realism.load(reference, dataset, config, device=torch.device("cpu"))
    assert realism.extractor.name == "dinov2"
    assert realism.class_names == ["a", "b", "c", "d"]
    test = np.array(dataset.images("test"))
    assert np.median(realism.distances(test)) == pytest.approx(1, rel=1e-4)
