"""Nearest training images by brute force; copies and test images are distinguished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from latentbench.artifacts.files import read_array, read_arrays, read_json
from latentbench.artifacts.paths import EVALUATION_ARRAYS
from latentbench.artifacts.thresholds import CLOSE_QUANTILE
from latentbench.data.images import to_model
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.metrics.knn import nearest_neighbors
from latentbench.evaluation.metrics.memorization import Memorization
from latentbench.models.gan import GAN
from tests.evaluation.conftest import evaluate

Make = Callable[..., Path]


def normal(number: int, dim: int, seed: int) -> Tensor:
    return torch.randn(number, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("number", [1, 3])
def test_nearest_are_those_of_all_pairs(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, real = normal(40, 6, seed=0) + 1e3, normal(70, 6, seed=1) + 1e3
    expected = torch.cdist(samples.double(), real.double()).sort(dim=1)
    for block in (1_000, 9):
        monkeypatch.setattr("latentbench.evaluation.metrics.knn._BLOCK", block)
        distances, indices = nearest_neighbors(samples, real.numpy(), num_neighbors=number)
        assert torch.equal(indices, expected.indices[:, :number])
        torch.testing.assert_close(distances, expected.values[:, :number], rtol=1e-9, atol=0)


def test_order_and_batches_change_nothing() -> None:
    samples, real = normal(50, 5, seed=0), normal(60, 5, seed=1).numpy()
    whole = nearest_neighbors(samples, real, num_neighbors=2)[0]
    assert torch.equal(nearest_neighbors(samples.flip(0), real, num_neighbors=2)[0].flip(0), whole)
    assert torch.equal(
        torch.cat([nearest_neighbors(part, real, num_neighbors=2)[0] for part in samples.split(7)]),
        whole,
    )
    assert torch.equal(nearest_neighbors(samples, real[::-1], num_neighbors=2)[0], whole)


def test_the_distance_of_a_copy_is_zero() -> None:
    real = normal(60, 64, seed=0) * 1e3
    distances, indices = nearest_neighbors(real[20:30], real.numpy(), num_neighbors=1)
    assert (distances == 0).all()
    assert (indices.flatten() == torch.arange(20, 30)).all()


def test_half_of_the_test_images_are_closer_than_their_median() -> None:
    unseen = normal(200, 8, seed=1)
    memory, share = Memorization.from_test_features(normal(300, 8, seed=0).numpy(), unseen)
    assert share == memory.closer_to_train(unseen) == 0.5
    close = memory.nearest(unseen)[0] < memory.close_distance
    assert close.double().mean().item() == pytest.approx(CLOSE_QUANTILE)
    assert memory.closer_to_train(normal(2_000, 8, seed=2)) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("copies", "is_memory"), [(0.0, False), (0.3, False), (0.7, True), (1.0, True)]
)
def test_warns_where_most_samples_are_copies(copies: float, is_memory: bool) -> None:
    real = normal(400, 8, seed=0)
    memory, _ = Memorization.from_test_features(real.numpy(), normal(200, 8, seed=1))
    number = int(copies * 300)
    samples = torch.cat(
        [real[:number] + 0.01 * normal(number, 8, seed=2), normal(300 - number, 8, seed=3)]
    )
    assert bool(memory.warning(memory.nearest(samples)[0])) is is_memory


def test_typical_samples_are_not_copies() -> None:
    """Samples with less variance than the images are where training images are dense."""
    memory, _ = Memorization.from_test_features(
        normal(400, 8, seed=0).numpy(), normal(200, 8, seed=1)
    )
    samples = 0.7 * normal(300, 8, seed=2)
    assert memory.closer_to_train(samples) > 0.75
    assert memory.warning(memory.nearest(samples)[0]) == ""


def test_copies_with_a_little_noise_are_copies(glyphs: tuple[Path, Path]) -> None:
    data, reference = glyphs
    manifest = ReferenceManifest.read(reference)
    memory = Memorization.load(reference, "classifier", manifest)
    extractor = manifest.load_extractor("classifier", reference, device=torch.device("cpu"))
    images = PreparedDataset.open(data).images("train")[:300]
    noise = np.random.default_rng(0).normal(scale=5, size=images.shape)
    noisy = np.clip(images + noise, 0, 255).round().astype(np.uint8)
    assert memory.warning(memory.nearest(extractor(torch.from_numpy(noisy)))[0])


@pytest.mark.parametrize("split", ["train", "test"])
def test_distinguishes_training_images_from_test_images(
    split: str, glyphs: tuple[Path, Path], make_experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, reference = glyphs
    dataset = PreparedDataset.open(data)
    images = to_model(torch.from_numpy(np.array(dataset.images(split)[:300])))
    results = make_experiment(
        data, dataset="glyphs", evaluation={"num_samples": 300, "num_seeds": 1}
    )
    known: dict[tuple[float, ...], int] = {}

    def decode(self: GAN, latents: Tensor, labels: Tensor) -> Tensor:
        """Real images in turn, and again those whose latents come again."""
        keys = [tuple(latent.tolist()) for latent in latents]
        return images[[known.setdefault(key, len(known) % len(images)) for key in keys]]

    monkeypatch.setattr(GAN, "decode", decode)
    result = evaluate(results, reference, data)
    assert result.exit_code == 0, result.output
    metrics, arrays = read_json(results / "metrics.json"), read_arrays(results / EVALUATION_ARRAYS)
    is_copy = split == "train"
    warning = metrics["memorization"]["warning"]
    assert bool(warning) is (warning in metrics["warnings"]) is is_copy
    assert not warning or warning in result.output
    floor = metrics["test_scores"]["closer_to_train_classifier"]
    assert floor == 0.5
    assert metrics["closer_to_train_classifier"] == (
        1.0 if is_copy else pytest.approx(floor, abs=0.15)
    )
    assert metrics["closer_to_train_classifier_std"] is None
    # The spread over sets of samples, not over the subsets of one.
    assert metrics["kd_classifier_std"] is None

    described = ReferenceManifest.read(reference).extractors["classifier"]
    assert (metrics["memorization"].pop("copied") >= 0.5) is is_copy
    assert metrics["memorization"] | {"warning": ""} == {
        "extractor": "classifier",
        "num_samples": 300,
        "num_training": len(read_array(reference / "rows.npy")),
        "median_distance": described.median_distance,
        "warning": "",
    }
    assert arrays["memorization_samples"].shape == (16, 32, 32, 1)
    assert arrays["memorization_nearest"].shape == (16, 3, 32, 32, 1)
    assert arrays["memorization_distances"].shape == (16, 3)
    assert (np.diff(arrays["memorization_distances"], axis=1) >= 0).all()
    assert (np.diff(arrays["memorization_distances"][:8, 0]) >= 0).all()
    assert (arrays["memorization_samples"][8:] == dataset.images(split)[:8]).all()
    same = (arrays["memorization_samples"] == arrays["memorization_nearest"][:, 0]).all(
        axis=(1, 2, 3)
    )
    assert same.all() if is_copy else not same.any()
