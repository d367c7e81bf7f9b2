"""Error rates of discriminators: known scores, and the stage's image sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from latentbench.artifacts.files import (
    file_sha256,
    read_array,
    read_arrays,
    read_json,
    read_manifest,
    write_array,
    write_manifest,
)
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    EVALUATION_ARRAYS,
    attributes_name,
    images_name,
    labels_name,
)
from latentbench.evaluation.predictions import discriminator_scores as stage
from latentbench.evaluation.predictions.discriminator import DecisionThreshold, rows_by_class
from latentbench.models.gan import GAN
from latentbench.models.gan_losses import classified_as_real
from tests.evaluation.conftest import evaluate, forget_classes, record_arrays

Make = Callable[..., Path]


@pytest.mark.parametrize("loss", ["non_saturating", "minimax", "hinge", "least_squares"])
def test_the_threshold_of_a_loss(loss: str) -> None:
    scores = torch.linspace(-2, 2, 41)
    rule = DecisionThreshold.from_loss(loss)
    assert torch.equal(classified_as_real(loss, scores), scores > rule.threshold)


def test_rates_of_known_scores() -> None:
    row = DecisionThreshold(0.0).row(
        "all", real=torch.tensor([1.0, 2, 3, -1]), generated=torch.tensor([-1.0, 1])
    )
    assert row == {
        "name": "all",
        "num_real": 4,
        "num_generated": 2,
        "accuracy": (0.75 + 0.5) / 2,
        "predicted_fake": (0.25 + 0.5) / 2,
        "false_positives": 0.5,
        "false_negatives": 0.25,
    }


def test_a_class_without_samples_has_no_accuracy() -> None:
    scores, classes = torch.tensor([1.0, -1, 1]), torch.tensor([0, 1, 1])
    rows = rows_by_class(
        DecisionThreshold(0.0),
        ["a", "b"],
        real=scores,
        generated=scores[1:],
        classes=(classes, classes[1:]),
    )
    assert [row["num_generated"] for row in rows] == [0, 2]
    assert rows[0]["accuracy"] is rows[0]["false_positives"] is None
    assert rows[0]["false_negatives"] == 0
    assert rows[1]["accuracy"] == 0.5


def balanced_accuracy(threshold: float, real: Tensor, generated: Tensor) -> float:
    return (
        (real > threshold).double().mean().item() + (generated <= threshold).double().mean().item()
    ) / 2


def test_a_critic_gets_the_most_accurate_threshold() -> None:
    generator = torch.Generator().manual_seed(0)
    real = 5 + torch.randn(200, generator=generator)
    generated = 4 + torch.randn(150, generator=generator)
    rule = DecisionThreshold.maximizing_accuracy(real=real, generated=generated)
    found = balanced_accuracy(rule.threshold, real, generated)
    others = [
        balanced_accuracy(threshold, real, generated)
        for threshold in torch.linspace(0, 9, 500).tolist()
    ]
    assert found >= max(others)
    assert 4 < rule.threshold < 5
    apart = DecisionThreshold.maximizing_accuracy(
        real=torch.tensor([2.0, 3]), generated=torch.tensor([0.0, 1])
    )
    assert apart.threshold == 1.5


@pytest.mark.parametrize(
    ("is_real", "expected"), [(True, [[2, 0], [3, 0], [1, 3]]), (False, [[1, 3], [3, 0], [2, 0]])]
)
def test_the_most_telling_scores(is_real: bool, expected: list[list[int]]) -> None:
    decision = DecisionThreshold(0.5)
    scores = torch.tensor([1.0, -2.0, 4.0, 0.25])
    assert decision.extremes(scores, is_real=is_real, number=2).tolist() == expected
    assert decision.extremes(scores[:1], is_real=is_real, number=2).tolist() == [[0], [0], [0]]


def evaluate_discriminator(
    results: Path, reference: Path, data: Path
) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    result = evaluate(results, reference, data)
    assert result.exit_code == 0, result.output
    metrics = read_json(results / "metrics.json")["discriminator"]
    return metrics, read_arrays(results / EVALUATION_ARRAYS)


@pytest.mark.parametrize("objective", ["dcgan", "cgan", "wgan_gp"])
def test_discriminators_of_all_gans(
    objective: str,
    prepared: Path,
    build_reference: Make,
    make_experiment: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = build_reference(prepared)
    monkeypatch.setattr(stage, "MAX_PER_CLASS", 15)
    metrics, arrays = evaluate_discriminator(
        make_experiment(prepared, objective), reference, prepared
    )
    assert (metrics["all"]["num_real"], metrics["all"]["num_generated"]) == (60, 60)
    assert [row["name"] for row in metrics["classes"]] == ["a", "b", "c", "d"]
    assert all(row["num_real"] == 15 for row in metrics["classes"])
    numbers = [row["num_generated"] for row in metrics["classes"]]
    assert sum(numbers) == 60
    assert objective != "cgan" or numbers == [15] * 4
    assert {name: len(arrays[f"scores_{name}"]) for name in ("train", "test", "generated")} == {
        "train": 120,
        "test": 60,
        "generated": 60,
    }
    assert all(
        arrays[f"scores_{name}"].dtype == np.float32 for name in ("train", "test", "generated")
    )
    lost = (arrays["scores_test"] <= metrics["threshold"]).mean()
    taken = (arrays["scores_generated"] > metrics["threshold"]).mean()
    assert metrics["all"]["false_negatives"] == pytest.approx(lost)
    assert metrics["all"]["false_positives"] == pytest.approx(taken)
    assert metrics["all"]["accuracy"] == pytest.approx(1 - (lost + taken) / 2)
    assert (metrics["threshold"] == 0) is (objective != "wgan_gp")
    assert metrics["estimates_probability"] is (objective != "wgan_gp")
    for kind, split, sign in (("real", "test", 1), ("generated", "generated", -1)):
        images, scores = arrays[f"judged_{kind}"], arrays[f"judged_{kind}_scores"]
        assert images.shape == (3, stage.NUM_EXTREMES, 32, 32, 1)
        margins = sign * (arrays[f"scores_{split}"] - metrics["threshold"])
        right, unsure, wrong = sign * (scores - metrics["threshold"])
        assert (right[0], wrong[0]) == (margins.max(), margins.min())
        assert abs(unsure[0]) == abs(margins).min()
    test = read_array(prepared / images_name("test")).reshape(-1, 32 * 32)
    for image in arrays["judged_real"].reshape(-1, 32 * 32):
        assert (test == image).all(axis=1).any()


def test_models_without_a_discriminator_have_no_scores(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    results = make_experiment(prepared, "vae")
    assert evaluate(results, build_reference(prepared), prepared).exit_code == 0
    assert "discriminator" not in read_json(results / "metrics.json")
    assert not [
        name for name in read_arrays(results / EVALUATION_ARRAYS) if name.startswith("scores")
    ]


def test_without_classes_there_is_one_row(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    forget_classes(prepared)
    results = make_experiment(prepared)
    metrics, arrays = evaluate_discriminator(results, build_reference(prepared), prepared)
    assert metrics["classes"] == []
    assert metrics["all"]["num_real"] == len(arrays["scores_test"]) == 80
    assert {"classes", "classes_by"}.isdisjoint(read_json(results / "metrics.json"))
    assert "class_samples" not in arrays


def test_samples_have_the_attributes_of_real_images(
    prepared: Path, build_reference: Make, make_experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_manifest(
        prepared / DATASET_MANIFEST,
        read_manifest(forget_classes(prepared) / DATASET_MANIFEST)
        | {"attribute_names": ["Smiling", "Hat"]},
    )
    for split, number in (("train", 120), ("test", 80)):
        write_array(
            prepared / attributes_name(split),
            np.arange(2 * number, dtype=np.uint8).reshape(-1, 2) % 3 % 2,
        )
    monkeypatch.setattr(GAN, "discriminate", lambda self, images, labels: labels.sum(dim=1))
    results = make_experiment(prepared, "cgan", model={"condition": ["Hat", "Smiling"]})
    metrics, arrays = evaluate_discriminator(results, build_reference(prepared), prepared)
    assert metrics["classes"] == []
    assert (arrays["scores_test"] == arrays["scores_generated"]).all()
    attributes = read_array(prepared / attributes_name("test"))
    assert sorted(arrays["scores_test"]) == sorted(attributes.sum(axis=1))


@pytest.mark.parametrize("objective", ["dcgan", "cgan"])
def test_without_a_classifier_only_requested_classes_have_rows(
    objective: str,
    make_prepared: Make,
    make_inception: Make,
    build_reference: Make,
    make_experiment: Make,
) -> None:
    data, network = make_prepared(channels=3, num_train=60), make_inception()
    known = {"inception_path": str(network), "inception_sha256": file_sha256(network)}
    reference = build_reference(data, channels=3, extractors=["inception"], **known)
    results = make_experiment(data, objective, channels=3)
    metrics, arrays = evaluate_discriminator(results, reference, data)
    assert len(metrics["classes"]) == (4 if objective == "cgan" else 0)
    assert read_json(results / "metrics.json")["memorization"]["extractor"] == "inception"
    assert "classes" not in read_json(results / "metrics.json")
    assert "class_samples" not in arrays


def test_a_discriminator_that_predicts_only_fake(
    prepared: Path, build_reference: Make, make_experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        GAN, "discriminate", lambda self, images, labels: images.mean(dim=(1, 2, 3)) - 9
    )
    metrics, _ = evaluate_discriminator(
        make_experiment(prepared), build_reference(prepared), prepared
    )
    assert (metrics["all"]["predicted_fake"], metrics["all"]["accuracy"]) == (1.0, 0.5)


@pytest.mark.parametrize("objective", ["dcgan", "wgan_gp"])
def test_the_batch_size_of_samples_changes_nothing(
    objective: str, prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference = build_reference(prepared)
    found = [
        evaluate_discriminator(
            make_experiment(prepared, objective, evaluation={"batch_size": size}),
            reference,
            prepared,
        )
        for size in (250, 7)
    ]
    assert found[0][0] == found[1][0]
    for name in ("scores_train", "scores_test", "scores_generated"):
        assert (found[0][1][name] == found[1][1][name]).all()


def test_real_and_generated_images_are_in_separate_batches(
    prepared: Path, build_reference: Make, make_experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real squares have bright pixels, the generated images are black."""
    monkeypatch.setattr(
        GAN, "decode", lambda self, latents, labels: torch.full((len(latents), 1, 32, 32), -1.0)
    )
    monkeypatch.setattr(stage, "_BATCH_SIZE", 30)
    sizes, kinds = [], []

    def discriminate(self: GAN, images: Tensor, labels: Tensor) -> Tensor:
        brightness = images.mean(dim=(1, 2, 3))
        kinds.append({value > -0.95 for value in brightness.tolist()})
        sizes.append(len(images))
        places = (
            images.unfold(2, 16, 16).unfold(3, 16, 16).mean(dim=(1, 4, 5)).flatten(1).argmax(dim=1)
        )
        assert not all(kinds[-1]) or len(places.unique()) == 4
        return brightness

    monkeypatch.setattr(GAN, "discriminate", discriminate)
    evaluate_discriminator(make_experiment(prepared), build_reference(prepared), prepared)
    assert all(len(kind) == 1 for kind in kinds)
    assert max(sizes) - min(sizes) <= 4
    assert max(sizes) <= 30


def test_a_diverged_discriminator_is_an_error(
    prepared: Path, build_reference: Make, make_experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        GAN, "discriminate", lambda self, images, labels: images.mean(dim=(1, 2, 3)) * torch.nan
    )
    result = evaluate(make_experiment(prepared), build_reference(prepared), prepared)
    assert "discriminator of dcgan" in result.output


def test_the_number_of_images_per_class_is_limited(
    prepared: Path, build_reference: Make, make_experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = prepared / labels_name("test")
    labels = read_array(path)
    labels[:50] = 0
    write_array(path, labels)
    record_arrays(prepared)
    monkeypatch.setattr(stage, "MAX_PER_CLASS", 20)
    metrics, _ = evaluate_discriminator(
        make_experiment(prepared), build_reference(prepared), prepared
    )
    assert [row["num_real"] for row in metrics["classes"]] == [
        20,
        *np.bincount(labels)[1:].tolist(),
    ]
