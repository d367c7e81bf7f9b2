"""Samples per class: known labels, and the files of the stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from latentbench.artifacts.files import read_arrays, read_json
from latentbench.artifacts.paths import EVALUATION_ARRAYS
from latentbench.data.images import to_model
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.predictions.classes import (
    ClassPredictions,
    class_rows,
    diversity,
    first_of_each_class,
)
from latentbench.models.gan import GAN
from latentbench.models.vae import VAE
from tests.evaluation.conftest import evaluate

Make = Callable[..., Path]


def test_diversity_is_the_mean_over_pairs() -> None:
    features = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)) + 3
    pairs = torch.nn.functional.pdist(features.double())
    assert diversity(features) == pytest.approx(pairs.square().mean().sqrt().item())
    assert diversity(features[:1].expand(4, -1)) == 0
    assert diversity(features[:1]) is None


def test_rows_of_known_classes() -> None:
    requested = torch.tensor([0, 0, 0, 0, 1])
    seeds = [
        ClassPredictions(requested, torch.tensor([0, 0, 0, 1, 1])),
        ClassPredictions(requested, torch.tensor([0, 0, 1, 1, 1])),
    ]
    features = torch.arange(5.0)[:, None]
    first, second, third = class_rows(
        ["a", "b", "c"],
        seeds,
        features=features,
        real_features=features,
        real_classes=torch.tensor([0, 1, 1, 2, 2]),
    )
    assert (first["name"], first["num_samples"], second["num_samples"], third["num_samples"]) == (
        "a",
        4,
        1,
        0,
    )
    assert first["label_accuracy"] == pytest.approx((0.75 + 0.5) / 2)
    assert first["label_accuracy_std"] == pytest.approx(np.std([0.75, 0.5], ddof=1))
    assert third["label_accuracy"] is third["diversity"] is second["diversity"] is None
    assert first["real_diversity"] is None
    assert second["real_diversity"] == pytest.approx(1.0)
    assert seeds[0].accuracy() == pytest.approx(0.8)
    assert ClassPredictions(None, requested).accuracy() is None


def test_the_first_of_each_class() -> None:
    classes = torch.tensor([1, 0] * 15 + [3])
    found = [own.tolist() for own in first_of_each_class(classes, num_classes=4)]
    assert found == [list(range(1, 21, 2)), list(range(0, 20, 2)), [], [30]]


@pytest.mark.parametrize("objective", ["cgan", "vae"])
def test_the_stage_groups_by_requested_or_predicted_class(
    objective: str,
    prepared: Path,
    build_reference: Make,
    make_experiment: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One model generates an image of each requested class, the other only of the third."""
    dataset = PreparedDataset.open(prepared)
    images = to_model(
        torch.from_numpy(np.array(dataset.images("test")[:4]))
    )  # classes in their order
    monkeypatch.setattr(GAN, "decode", lambda self, latents, labels: images[labels.argmax(dim=1)])
    monkeypatch.setattr(
        VAE, "decode", lambda self, latents, labels: images[2:3].expand(len(latents), -1, -1, -1)
    )
    results = make_experiment(prepared, objective, evaluation={"num_samples": 24})
    result = evaluate(results, build_reference(prepared, epochs=8, learning_rate=1e-2), prepared)
    assert result.exit_code == 0, result.output
    metrics, arrays = read_json(results / "metrics.json"), read_arrays(results / EVALUATION_ARRAYS)
    requested = objective == "cgan"
    assert metrics["classes_by"] == ("requested" if requested else "predicted")
    rows, counts = metrics["classes"], arrays["class_counts"]
    assert [row["name"] for row in rows] == dataset.manifest.class_names
    assert sum(row["num_samples"] for row in rows) == 24
    assert [row["label_accuracy"] for row in rows] == ([1.0] * 4 if requested else [None] * 4)
    assert [row["label_accuracy_std"] for row in rows] == ([0.0] * 4 if requested else [None] * 4)
    assert counts.tolist() == [min(row["num_samples"], 10) for row in rows]
    assert requested or counts.tolist() == [0, 0, 10, 0]
    pictures = arrays["class_samples"]
    assert pictures.shape == (4, 10, 32, 32, 1)
    for label, count in enumerate(counts):
        assert (pictures[label, :count] == dataset.images("test")[label]).all()
        assert (pictures[label, count:] == 0).all()
    assert all(
        row["diversity"] == pytest.approx(0, abs=1e-3) for row in rows if row["num_samples"] > 1
    )
    assert all(row["real_diversity"] > 0 for row in rows)
