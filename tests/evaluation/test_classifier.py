"""The classifier: training, and features that do not depend on the batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from latentbench.artifacts.tensors import write_tensors
from latentbench.config.base import Compute
from latentbench.config.datasets import Reference
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ArtifactError, DivergenceError
from latentbench.evaluation.features.classifier import FEATURE_DIM, Classifier, ClassifierExtractor
from latentbench.evaluation.features.extract import prepare_measurement
from latentbench.evaluation.features.train_classifier import (
    ClassifierAccuracy,
    choose_task,
    learning_rate_factor,
    measure_accuracy,
    train_classifier,
)
from latentbench.evaluation.predictions.attribute_accuracy import AttributeAccuracy
from tests.evaluation.conftest import forget_classes, give_attributes, record_arrays

SETTINGS = Reference(width=4, batch_size=16, epochs=6, learning_rate=1e-2)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def compute() -> None:
    prepare_measurement(Compute(device="cpu"))


def train(folder: Path, settings: Reference = SETTINGS) -> tuple[Classifier, ClassifierAccuracy]:
    dataset = PreparedDataset.open(folder)
    task = choose_task(dataset)
    network = train_classifier(dataset, task, settings, seed=0, device=CPU)
    return network, measure_accuracy(network, dataset, task, device=CPU)


def test_learns_labels(prepared: Path) -> None:
    network, found = train(prepared)
    assert network.head.out_features == 4
    assert found == ClassifierAccuracy(1, {})


def test_predicts_rotations_without_classes(prepared: Path) -> None:
    """Positions of squares are rotations of each other, so rotations cannot be predicted."""
    network, found = train(forget_classes(prepared))
    assert network.head.out_features == 4
    assert found.share == pytest.approx(0.25, abs=0.12)


def test_learns_rotations(
    make_prepared: Callable[..., Path],
) -> None:
    folder = make_prepared(channels=3, image_size=64, num_train=120)
    ramp = np.linspace(0, 200, 64, dtype=np.uint8)
    for split in ("train", "test"):
        images = np.load(folder / f"{split}-images.npy")
        images[:] = images % 40 + ramp[:, None, None]
        np.save(folder / f"{split}-images.npy", images)
    record_arrays(folder)
    assert train(forget_classes(folder))[1].share == 1


@pytest.mark.parametrize("classes", [True, False])
def test_learns_attributes(classes: bool, prepared: Path) -> None:
    """A low position can be predicted, a random attribute cannot."""
    folder = give_attributes(prepared if classes else forget_classes(prepared))
    network, found = train(folder)
    assert network.head.out_features == 4 + 3
    assert found.share == pytest.approx(1 if classes else 0.25, abs=0.12)
    low, coin, rare = (found.attributes[name] for name in ("low", "coin", "rare"))
    assert low == AttributeAccuracy(present=1, absent=1)
    assert 0.3 < coin.balanced < 0.7
    assert rare == AttributeAccuracy(present=0, absent=1), (
        "right almost always, and worth no more than a coin"
    )
    assert rare.balanced == 0.5


def test_saves_and_loads_a_classifier_with_attributes(prepared: Path, tmp_path: Path) -> None:
    network, _ = train(give_attributes(prepared))
    ClassifierExtractor(network, protocol="", device=CPU).save(tmp_path / "classifier.safetensors")
    extractor = ClassifierExtractor.load(tmp_path / "classifier.safetensors", device=CPU)
    images = torch.from_numpy(np.array(PreparedDataset.open(prepared).images("test")))
    features = extractor(images)
    assert extractor.predict_attributes(features)[:, 1].tolist() == [
        number % 4 // 2 == 1 for number in range(len(images))
    ]
    assert extractor.predict_classes(features).tolist() == [
        number % 4 for number in range(len(images))
    ]
    assert extractor.class_probabilities(features).shape == (len(images), 4)


def test_one_class_is_not_classified(prepared: Path) -> None:
    dataset = PreparedDataset.open(prepared)
    dataset.manifest.class_names[1:] = []
    assert choose_task(dataset).name == "rotations"


def test_training_gives_the_same_bits_twice(prepared: Path) -> None:
    first, second = (train(prepared)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("image_size", "channels"), [(32, 1), (64, 3), (128, 3)])
def test_features_ignore_the_batch(image_size: int, channels: int) -> None:
    network = Classifier(image_size=image_size, channels=channels, width=4, num_outputs=3)
    network.initialize_weights(torch.Generator().manual_seed(0))
    extractor = ClassifierExtractor(network, protocol="", device=CPU)
    pixels = np.random.default_rng(0).integers(
        0, 256, (6, image_size, image_size, channels), dtype=np.uint8
    )
    images = torch.from_numpy(pixels)
    whole = extractor(images)
    assert whole.shape == (6, FEATURE_DIM)
    assert whole.dtype == torch.float32
    alone = torch.cat([extractor(image[None]) for image in images])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-5)


def test_no_feature_is_dead(prepared: Path) -> None:
    extractor = ClassifierExtractor(train(prepared)[0], protocol="", device=CPU)
    features = extractor(torch.from_numpy(np.array(PreparedDataset.open(prepared).images("test"))))
    assert features.std(dim=0).min() > 1e-3
    assert (features < 0).any()


def test_saves_and_loads(prepared: Path, tmp_path: Path) -> None:
    saved = ClassifierExtractor(train(prepared)[0], protocol="as metrics", device=CPU)
    saved.save(tmp_path / "classifier.safetensors")
    loaded = ClassifierExtractor.load(tmp_path / "classifier.safetensors", device=CPU)
    images = torch.from_numpy(np.array(PreparedDataset.open(prepared).images("test")))
    assert loaded.protocol == "as metrics"
    assert torch.equal(loaded(images), saved(images))


def test_another_file_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "other.safetensors", {"weight": torch.zeros(2)}, {"format": 1})
    with pytest.raises(ArtifactError, match="does not hold a classifier"):
        ClassifierExtractor.load(tmp_path / "other.safetensors", device=CPU)


def test_a_diverged_classifier_is_an_error(prepared: Path) -> None:
    with pytest.raises(DivergenceError, match=r"reference\.learning_rate"):
        train(prepared, SETTINGS.model_copy(update={"learning_rate": 1e38}))


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [learning_rate_factor(step / 100) for step in range(101)]
    peak = int(np.argmax(rates))
    assert rates[0] == 0
    assert rates[peak] == pytest.approx(1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
