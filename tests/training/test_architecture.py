"""The table of layers."""

from __future__ import annotations

from typing import Any

import pytest

from latentbench.config.models import DCGANModel, WGANGPModel
from latentbench.models.networks.architectures import Shape, count_parameters
from latentbench.models.networks.layer_table import describe_networks
from latentbench.models.registry import build_objective


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
def test_parameters_of_layers_add_up(settings: dict[str, Any]) -> None:
    shape = Shape(32, 3, num_labels=7 if "condition" in settings else 0)
    objective = build_objective(WGANGPModel(name="wgan_gp", width=8, **settings), shape, seed=0)
    rows = describe_networks(objective, shape)
    for name, network in objective.networks().items():
        assert sum(row["parameters"] for row in rows if row["network"] == name) == count_parameters(
            network
        )


def test_layers_of_dcgan_match_paper() -> None:
    shape = Shape(64, 3)
    objective = build_objective(DCGANModel(name="dcgan", width=128), shape, seed=0)
    rows = describe_networks(objective, shape)
    ups = [row for row in rows if row["kind"] == "ConvTranspose2d"]
    assert [row["output"] for row in ups] == ["512×8×8", "256×16×16", "128×32×32", "3×64×64"]
    assert {(row["kernel"], row["stride"], row["padding"]) for row in ups} == {
        ("4×4", "2×2", "1×1")
    }
    # 4×4 input positions with 1,024 channels, 4×4 taps, 512 output channels.
    assert ups[0]["multiply_adds"] == 16 * 1024 * 16 * 512
    # The last layer adds a bias to 64×64 positions in 3 channels.
    assert ups[-1]["multiply_adds"] == 32 * 32 * 128 * 16 * 3 + 3 * 64 * 64
    downs = [row for row in rows if row["kind"] == "Conv2d"]
    assert downs[1]["multiply_adds"] == 16 * 16 * 256 * 16 * 128
