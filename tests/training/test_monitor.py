"""Monitoring: diversity, active units, validation terms and warnings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentbench.config.models import AutoencoderModel, DCGANModel
from latentbench.data.prepared import PreparedDataset
from latentbench.models.networks.architectures import Shape
from latentbench.models.registry import build_objective
from latentbench.training.monitor import Monitor, find_warnings

Make = Callable[..., Path]
CPU = torch.device("cpu")


def _monitor(data: Path, condition: str | None = None) -> Monitor:
    return Monitor(PreparedDataset.open(data), condition, seed=0, device=CPU)


def test_diversity_is_one_for_real_images_and_zero_for_copies(
    make_prepared: Make,
) -> None:
    data = make_prepared()
    monitor, images = _monitor(data), np.array(PreparedDataset.open(data).images("test"))
    objective = build_objective(DCGANModel(name="dcgan", width=4), Shape(32, 1), seed=0).eval()
    no_labels = torch.zeros(20, 0)
    values = monitor.measure_samples(objective, images, no_labels)
    assert values["diversity"] == pytest.approx(1)
    values = monitor.measure_samples(objective, images[:1].repeat(20, axis=0), no_labels)
    assert values["diversity"] == pytest.approx(0, abs=1e-3)


def test_diversity_with_classes_compares_within_a_class(
    make_prepared: Make,
) -> None:
    data = make_prepared()
    images = np.array(PreparedDataset.open(data).images("test"))
    labels = torch.eye(4)[torch.from_numpy(PreparedDataset.open(data).labels("test"))]
    config = DCGANModel(name="dcgan", width=4, condition="class")
    objective = build_objective(config, Shape(32, 1, num_labels=4), seed=0).eval()
    monitor = _monitor(data, "class")
    assert monitor.measure_samples(objective, images, labels)["diversity"] == pytest.approx(1)
    # The first four images have the four classes in turn.
    repeated = images[:4][np.arange(20) % 4]
    assert monitor.measure_samples(objective, repeated, labels)["diversity"] == pytest.approx(
        0, abs=1e-3
    )


def test_validation_terms_of_both_splits_leave_weights_unchanged(make_prepared: Make) -> None:
    data = make_prepared()
    monitor = _monitor(data)
    objective = build_objective(
        AutoencoderModel(name="autoencoder", width=4), Shape(32, 1), seed=0
    ).eval()
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    values = monitor.validate(objective, epoch=1)
    assert values == monitor.validate(objective, epoch=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.state_dict().items())
    for split in ("train", "test"):
        images = (
            torch.from_numpy(np.array(PreparedDataset.open(data).images(split))).permute(0, 3, 1, 2)
            / 127.5
            - 1
        )
        none = torch.zeros(len(images), 0)
        with torch.no_grad():
            error = (
                (objective.decode(objective.encode(images, none), none) - images)
                .square()
                .mean()
                .item()
            )
        assert values[f"{split}_mse"] == pytest.approx(error, rel=1e-4)


def test_active_units_are_counted_by_variance(make_prepared: Make) -> None:
    monitor = _monitor(make_prepared())
    config = AutoencoderModel(name="autoencoder", width=4, latent_dim=5)
    objective = build_objective(config, Shape(32, 1), seed=0).eval()

    class Two(nn.Module):
        """The first two of five latent units depend on the image."""

        def forward(self, images: Tensor, labels: Tensor) -> Tensor:
            codes = torch.full((len(images), 5), 0.3)
            codes[:, 0], codes[:, 1] = images.mean(dim=(1, 2, 3)) * 1e3, images[:, 0, 0, 0]
            return codes

    objective.averaged["encoder"] = Two()
    samples = np.zeros((4, 32, 32, 1), np.uint8)
    values = monitor.measure_samples(objective, samples, torch.zeros(4, 0))
    assert values["active_units"] == 2


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"diversity": 0.1}, ["mode collapse"]),
        (
            {"diversity": 0.8, "accuracy_real": 1.0, "accuracy_fake": 0.995},
            ["saturated discriminator"],
        ),
        ({"accuracy_real": 1.0, "accuracy_fake": 0.8}, []),
        (
            {"train_accuracy_real": 0.99, "test_accuracy_real": 0.6},
            ["overfitted discriminator"],
        ),
        ({"train_accuracy_real": 0.9, "test_accuracy_real": 0.7}, []),
        ({"active_units": 1.0, "diversity": None}, ["posterior collapse"]),
        ({"active_units": 20.0, "diversity": 0.9}, []),
        ({"active_units": 0.0, "diversity": 0.0}, ["mode collapse", "posterior collapse"]),
    ],
)
def test_warnings_by_thresholds(values: dict[str, float | None], named: list[str]) -> None:
    found = find_warnings(values, latent_dim=64)
    assert [warning.partition(":")[0] for warning in found] == named


def test_no_mode_collapse_without_a_prior() -> None:
    values = {"diversity": 0.1, "active_units": 1.0}
    [warning] = find_warnings(values, latent_dim=64, has_prior=False)
    assert warning.startswith("posterior collapse: 1 of 64")


def test_no_posterior_collapse_without_a_posterior() -> None:
    """Not even if samples are drawn from a prior, as those of a GAN or of a fitted one."""
    values = {"diversity": 0.1, "active_units": 1.0}
    _, warning = find_warnings(values, latent_dim=64, has_posterior=False)
    assert warning.startswith("inactive latents: 1 of 64")
