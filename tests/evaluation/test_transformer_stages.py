"""Reference and evaluate with DINOv2 and CLIP, small stand-ins in the published formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from latentbench.artifacts.files import read_array, read_csv, read_json, read_manifest
from latentbench.artifacts.metrics import CLOSER_TO_TRAIN, METRICS, PRDC
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.data.images import to_uint8
from latentbench.evaluation.features.feature_stats import compute_feature_stats
from latentbench.evaluation.features.pretrained import load_pretrained
from latentbench.evaluation.metrics.frechet import frechet_distance
from latentbench.inference.checkpoints import load_checkpoint
from latentbench.models.objective import draw_latents
from latentbench.rng import torch_generator
from tests.evaluation.conftest import EPOCHS, evaluate

Make = Callable[..., Path]
CPU = torch.device("cpu")
EXTRACTORS = ["classifier", "clip", "dinov2"]


@dataclass(frozen=True)
class Evaluated:
    data: Path
    reference: Path
    results: Path
    settings: Mapping[str, str]

    def samples(self, place: int) -> Tensor:
        """Draw a set of samples of the last checkpoint as the stage does."""
        config = read_config(self.results / "config.yaml", ExperimentConfig)
        trained = load_checkpoint(config, self.results, EPOCHS[-1], device=CPU)
        number = config.evaluation.num_samples
        generator = torch_generator(config.seed, "evaluation", place)
        latents = draw_latents(number, config.model.latent_dim, generator)
        labels = trained.label_set.sample(number, generator)
        return to_uint8(trained.objective.sample(latents, labels))

    def features(self, name: str, images: Tensor) -> Tensor:
        path, sha256 = self.settings[f"{name}_path"], self.settings[f"{name}_sha256"]
        return load_pretrained(name, path, sha256=sha256, device=CPU)(images).double()

    def real_features(self, name: str) -> Tensor:
        return torch.from_numpy(read_array(self.reference / f"{name}-features.npy")).double()


@pytest.fixture
def evaluated(
    make_prepared: Make,
    transformer_settings: dict[str, str],
    build_reference: Make,
    make_experiment: Make,
) -> Evaluated:
    data = make_prepared(channels=3, num_train=40, num_test=16)
    reference = build_reference(data, channels=3, extractors=EXTRACTORS, **transformer_settings)
    results = make_experiment(data, channels=3, evaluation={"num_samples": 12})
    assert evaluate(results, reference, data).exit_code == 0
    return Evaluated(data, reference, results, transformer_settings)


def test_every_distance_of_every_extractor_is_measured(evaluated: Evaluated) -> None:
    described = read_manifest(evaluated.reference / "reference.json")["extractors"]
    assert [described[name]["metric"] for name in EXTRACTORS] == [
        "fd_classifier",
        "cmmd",
        "fd_dinov2",
    ]
    row = read_csv(evaluated.results / "metrics.csv")[-1]
    measured = {metric.key for metric in METRICS if metric.extractor in EXTRACTORS}
    for extractor in EXTRACTORS:
        measured |= {f"{name}_{extractor}" for name in (*PRDC, CLOSER_TO_TRAIN)}
    assert {"fd_dinov2", "kd_dinov2", "cmmd"} < measured
    assert measured <= row.keys()
    assert all(math.isfinite(float(row[name])) for name in measured)

    last = read_json(evaluated.results / "metrics.json")
    assert set(last["protocols"]) == set(EXTRACTORS)
    assert measured <= last["test_scores"].keys()
    assert {"fd_dinov2", "cmmd"} < last["train_halves"].keys()
    assert last["memorization"]["extractor"] == "dinov2"
    # Without a covariance, CMMD has no bias that depends much on the number of samples.
    assert "cmmd" not in last["sample_sizes"]
    assert any("FD (DINOv2)" in warning for warning in last["warnings"])
    assert not any("CMMD" in warning for warning in last["warnings"])


def test_the_distances_are_those_of_the_samples(evaluated: Evaluated) -> None:
    row = read_csv(evaluated.results / "metrics.csv")[-1]
    real = compute_feature_stats(evaluated.real_features("dinov2"))
    embeddings = evaluated.real_features("clip")
    frechet, cmmd = [], []
    for place in range(int(row["num_seeds"])):
        images = evaluated.samples(place)
        drawn = compute_feature_stats(evaluated.features("dinov2", images))
        frechet.append(frechet_distance(real, drawn))
        samples = evaluated.features("clip", images)
        within = kernel_mean(embeddings, embeddings) + kernel_mean(samples, samples)
        cmmd.append(1_000 * (within - 2 * kernel_mean(embeddings, samples)))
    assert float(row["fd_dinov2"]) == pytest.approx(sum(frechet) / len(frechet), rel=1e-3)
    assert float(row["cmmd"]) == pytest.approx(sum(cmmd) / len(cmmd), rel=1e-3)


def kernel_mean(x: Tensor, y: Tensor) -> float:
    return torch.exp(-torch.cdist(x, y).square() / (2 * 10**2)).mean().item()


def test_a_file_that_changed_is_refused_in_one_sentence(evaluated: Evaluated) -> None:
    before = (evaluated.results / "metrics.csv").read_bytes()
    for name in ("dinov2", "clip"):
        path = Path(evaluated.settings[f"{name}_path"])
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        result = evaluate(evaluated.results, evaluated.reference, evaluated.data)
        assert result.exit_code == 1
        [line] = result.output.strip().splitlines()
        assert "has the SHA-256" in line
        assert f"reference.{name}_sha256" in line
        path.write_bytes(content)
    assert (evaluated.results / "metrics.csv").read_bytes() == before
