"""Sets of test images: their classes vary like those of samples, and so does their distance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from latentbench.evaluation.features.feature_stats import compute_feature_stats
from latentbench.evaluation.metrics.frechet import frechet_distance
from latentbench.evaluation.real_scores import draw_real_sets


def test_sets_have_no_image_twice_and_as_many_images_as_samples() -> None:
    test, train = np.arange(2_000) % 10, np.arange(5_000) % 10
    found = draw_real_sets(test, train, 500, num_sets=5)
    assert found.rows.shape == (5, 500)
    assert found.has_random_classes
    assert all(len(rows.unique()) == 500 for rows in found.rows)
    assert torch.equal(found.rows, draw_real_sets(test, train, 500, num_sets=5).rows)


@pytest.mark.parametrize("number", [300, 800])
def test_numbers_per_class_vary_as_those_of_samples(number: int) -> None:
    """Also where sets end because one has used up a class."""
    counts = np.array([100, 100, 200, 400])
    test, train = np.repeat(np.arange(4), counts), np.repeat(np.arange(4), 10 * counts)
    frequencies = counts / counts.sum()
    rows = draw_real_sets(test, train, number, num_sets=200).rows.numpy()
    size = rows.shape[1]
    assert size == number if number == 300 else 400 < size < 800
    drawn = np.stack([np.bincount(labels, minlength=4) for labels in test[rows]])
    # Pearson's statistic has a mean of 3 and a standard deviation of √6: here four errors of it.
    pearson = ((drawn - size * frequencies) ** 2 / (size * frequencies)).sum(axis=1)
    assert pearson.mean() == pytest.approx(3, abs=4 * (6 / 200) ** 0.5)


def test_sets_have_the_distance_of_a_perfect_model() -> None:
    """Test images with balanced classes have a smaller distance than samples can have."""
    rng = np.random.default_rng(0)
    means = 4 * rng.normal(size=(10, 8))

    def features(labels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(means[labels] + rng.normal(size=(len(labels), 8)))

    balanced = np.arange(1_000) % 10
    test = features(balanced)
    real = compute_feature_stats(features(np.arange(50_000) % 10)).with_root()

    def distance(samples: torch.Tensor) -> float:
        return frechet_distance(real, compute_feature_stats(samples))

    rows = draw_real_sets(balanced, balanced, 800, num_sets=10).rows
    floor = np.mean([distance(test[own]) for own in rows])
    perfect = [distance(features(rng.integers(0, 10, size=rows.shape[1]))) for _ in range(100)]
    # Ten sets know their mean to a third of the spread.
    assert floor == pytest.approx(np.mean(perfect), abs=1.5 * np.std(perfect))
    assert distance(test) < np.mean(perfect) / 2


def test_images_without_classes_are_drawn_at_random() -> None:
    labels = np.full(90, -1)
    found = draw_real_sets(labels, labels, 60, num_sets=3)
    assert not found.has_random_classes
    assert found.rows.shape == (3, 60)
    assert draw_real_sets(labels, labels, 100, num_sets=3).rows.shape[1] == 90


def test_test_images_with_other_classes_stay_as_they_are() -> None:
    """A class that is frequent in training has two test images: sets of it would be tiny."""
    test, train = np.repeat([0, 1], [2, 98]), np.repeat([0, 1, 2], [500, 500, 10])
    found = draw_real_sets(test, train, 50, num_sets=3)
    assert not found.has_random_classes
    assert found.rows.shape == (3, 50)
