"""What training tells beside its losses: diversity, signs of trouble, the animation, the networks as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from latentbench.config.models import AutoencoderModel, DCGANModel, WGANGPModel
from latentbench.data.image_grid import write_png
from latentbench.data.prepared import PreparedDataset
from latentbench.models.networks import Shape, count_parameters
from latentbench.models.registry import build_objective
from latentbench.training.architecture import describe_networks
from latentbench.training.evolution import write_evolution
from latentbench.training.monitor import Monitor, find_warnings

Make = Callable[..., Path]
CPU = torch.device("cpu")


def _monitor(data: Path, condition: str | None = None) -> Monitor:
    return Monitor(PreparedDataset.open(data), condition, seed=0, device=CPU)


def test_real_images_are_as_diverse_as_real_images_and_one_image_not_at_all(
    make_prepared: Make,
) -> None:
    data = make_prepared()
    monitor, images = _monitor(data), np.array(PreparedDataset.open(data).images("test"))
    objective = build_objective(DCGANModel(name="dcgan", width=4), Shape(32, 1), seed=0).eval()
    assert monitor.measure_samples(objective, images, torch.zeros(20, 0))[
        "diversity"
    ] == pytest.approx(1)
    assert monitor.measure_samples(objective, images[:1].repeat(20, axis=0), torch.zeros(20, 0))[
        "diversity"
    ] == pytest.approx(0, abs=1e-3)


def test_one_image_per_class_is_not_diverse_for_a_model_that_is_asked_for_classes(
    make_prepared: Make,
) -> None:
    data = make_prepared()
    images = np.array(PreparedDataset.open(data).images("test"))
    labels = torch.eye(4)[torch.from_numpy(PreparedDataset.open(data).labels("test"))]
    config = DCGANModel(name="dcgan", width=4, condition="class")
    objective = build_objective(config, Shape(32, 1, num_labels=4), seed=0).eval()
    monitor = _monitor(data, "class")
    assert monitor.measure_samples(objective, images, labels)["diversity"] == pytest.approx(1)
    # The first four images are of the four classes in turn.
    repeated = images[:4][np.arange(20) % 4]
    assert monitor.measure_samples(objective, repeated, labels)["diversity"] == pytest.approx(
        0, abs=1e-3
    )


def test_both_splits_are_looked_at_and_nothing_moves(make_prepared: Make) -> None:
    data = make_prepared()
    monitor = _monitor(data)
    objective = build_objective(
        AutoencoderModel(name="autoencoder", width=4), Shape(32, 1), seed=0
    ).eval()
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    np.zeros((4, 32, 32, 1), np.uint8)
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


def test_active_units_are_those_whose_code_varies(make_prepared: Make) -> None:
    monitor = _monitor(make_prepared())
    config = AutoencoderModel(name="autoencoder", width=4, latent_dim=5)
    objective = build_objective(config, Shape(32, 1), seed=0).eval()

    class Two(nn.Module):
        """The first two of five codes tell of the image."""

        def forward(self, images: Tensor, labels: Tensor) -> Tensor:
            codes = torch.full((len(images), 5), 0.3)
            codes[:, 0], codes[:, 1] = images.mean(dim=(1, 2, 3)) * 1e3, images[:, 0, 0, 0]
            return codes

    objective.encoder = Two()
    assert (
        monitor.measure_samples(objective, np.zeros((4, 32, 32, 1), np.uint8), torch.zeros(4, 0))[
            "active_units"
        ]
        == 2
    )


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"diversity": 0.1}, ["mode collapse"]),
        (
            {"diversity": 0.8, "accuracy_real": 1.0, "accuracy_fake": 0.995},
            ["saturated discriminator"],
        ),
        ({"accuracy_real": 1.0, "accuracy_fake": 0.8}, []),
        ({"active_units": 1.0, "diversity": None}, ["posterior collapse"]),
        ({"active_units": 20.0, "diversity": 0.9}, []),
        ({"active_units": 0.0, "diversity": 0.0}, ["mode collapse", "posterior collapse"]),
    ],
)
def test_trouble_is_named_where_it_is(values: dict[str, float | None], named: list[str]) -> None:
    found = find_warnings(values, latent_dim=64)
    assert [sentence.partition(":")[0] for sentence in found] == named


def test_a_model_without_a_prior_cannot_miss_its_modes() -> None:
    assert find_warnings({"diversity": 0.1}, latent_dim=64, has_prior=False) == []


def test_the_animation_plays_every_epoch(tmp_path: Path) -> None:
    frames = []
    for epoch in (1, 2, 3):
        path = tmp_path / f"{epoch}.png"
        write_png(path, np.full((40, 60, 1), 60 * epoch, np.uint8))
        frames.append((epoch, path))
    places = [tmp_path / "evolution.gif", tmp_path / "evolution.webp"]
    write_evolution(frames, places)
    for place in places:
        with Image.open(place) as animation:
            assert animation.n_frames == 3
            levels, titles = [], []
            for frame in range(3):
                animation.seek(frame)
                picture = np.asarray(animation.convert("L")).astype(int)
                levels.append(picture[50, 30])
                titles.append(picture[:32])
            assert levels == pytest.approx([60, 120, 180], abs=4)
            # The number changes, and is legible: dark on white.
            assert np.abs(titles[0] - titles[1]).max() > 100
            assert titles[0].max() > 240
            assert titles[0].min() < 60


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "architecture": "residual",
            "layers_per_stage": 2,
            "attention_resolution": 8,
            "condition": "class",
        },
        {"spectral_norm": True, "gp_weight": 0.0},
        {"architecture": "fully_connected"},
    ],
)
def test_the_table_of_layers_adds_up(settings: dict[str, Any]) -> None:
    shape = Shape(32, 3, num_labels=7 if "condition" in settings else 0)
    objective = build_objective(WGANGPModel(name="wgan_gp", width=8, **settings), shape, seed=0)
    rows = describe_networks(objective, shape)
    for name, network in objective.networks().items():
        assert sum(row["parameters"] for row in rows if row["network"] == name) == count_parameters(
            network
        )


def test_layers_are_told_as_the_paper_draws_them() -> None:
    shape = Shape(64, 3)
    objective = build_objective(DCGANModel(name="dcgan", width=128), shape, seed=0)
    rows = describe_networks(objective, shape)
    ups = [row for row in rows if row["kind"] == "ConvTranspose2d"]
    assert [row["output"] for row in ups] == ["512×8×8", "256×16×16", "128×32×32", "3×64×64"]
    assert {(row["kernel"], row["stride"], row["padding"]) for row in ups} == {
        ("4×4", "2×2", "1×1")
    }
    # Every one of 4×4 inputs with 1,024 channels meets 4×4 taps to 512 channels.
    assert ups[0]["multiply_adds"] == 16 * 1024 * 16 * 512
    # The last has a bias, which each of 64×64 places in 3 channels adds once.
    assert ups[-1]["multiply_adds"] == 32 * 32 * 128 * 16 * 3 + 3 * 64 * 64
    downs = [row for row in rows if row["kind"] == "Conv2d"]
    assert downs[1]["multiply_adds"] == 16 * 16 * 256 * 16 * 128
