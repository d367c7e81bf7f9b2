"""Paths, inversion and the files of `explore`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from latentbench.artifacts.files import file_sha256, read_json
from latentbench.cli import main
from latentbench.config.experiments import Latent
from latentbench.latent.explore import reconstruction_error
from latentbench.latent.interpolation import interpolate
from latentbench.latent.inversion import invert, nearest_samples, on_sphere
from latentbench.models.objective import Objective
from latentbench.rng import torch_generator
from tests.conftest import MODELS

Make = Callable[..., Path]
NO_LABELS = torch.zeros(50, 0)


@pytest.mark.parametrize("kind", ["spherical", "linear"])
def test_a_path_begins_and_ends_at_its_latents(kind: str) -> None:
    start, end = torch.randn(2, 4, 16, generator=torch_generator(0, "ends"))
    path = interpolate(start, end, num_points=7, kind=kind)
    assert path.shape == (4, 7, 16)
    torch.testing.assert_close(path[:, 0], start)
    torch.testing.assert_close(path[:, -1], end)


def test_a_spherical_path_turns_evenly_and_keeps_its_length() -> None:
    start, end = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    path = interpolate(start, end, num_points=4, kind="spherical")[0]
    angles = torch.tensor([0, 30, 60, 90]) * math.pi / 180
    torch.testing.assert_close(path, 3 * torch.stack([angles.cos(), angles.sin()], dim=1))


def test_a_spherical_path_between_equal_directions_is_straight() -> None:
    start = torch.tensor([[1.0, 1.0]])
    path = interpolate(start, 3 * start, num_points=3, kind="spherical")[0]
    torch.testing.assert_close(path, torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))


class _Linear(Objective):
    """Decodes by a fixed matrix, so that the best latent is known."""

    terms = ()

    def __init__(self) -> None:
        super().__init__()
        self.latent_dim = 4
        self.matrix = nn.Linear(4, 16, bias=False)
        nn.init.normal_(self.matrix.weight, generator=torch_generator(0, "matrix"))

    def make_optimizers(self) -> None: ...

    def step(self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        raise NotImplementedError

    def networks(self) -> dict[str, nn.Module]:
        return {"matrix": self.matrix}

    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.matrix(latents).reshape(-1, 1, 4, 4)


def test_inversion_finds_the_latent_that_made_an_image() -> None:
    objective = _Linear()
    truth = on_sphere(torch.randn(5, 4, generator=torch_generator(0, "truth")))
    found = invert(
        objective,
        objective.sample(truth, NO_LABELS[:5]).clone(),
        NO_LABELS[:5],
        Latent(inversion_starts=64, inversion_steps=400, inversion_learning_rate=0.05),
        generator=torch_generator(0, "starts"),
    )
    torch.testing.assert_close(found, truth, atol=1e-2, rtol=0)


def test_the_start_is_the_nearest_sample() -> None:
    objective = _Linear()
    images = torch.randn(3, 1, 4, 4, generator=torch_generator(0, "images"))
    starts = nearest_samples(
        objective, images, NO_LABELS[:3], starts=50, generator=torch_generator(0, "s"), batch_size=7
    )
    candidates = torch.randn(50, 4, generator=torch_generator(0, "s"))
    errors = (objective.sample(candidates, NO_LABELS)[None] - images[:, None]).square().sum(dim=(2, 3, 4))
    assert torch.equal(starts, candidates[errors.argmin(dim=1)])


def test_reconstruction_error_of_a_known_difference() -> None:
    reals = np.full((2, 4, 4, 1), 100, np.uint8)
    error = reconstruction_error(reals, reals + np.array([0, 51], np.uint8).reshape(2, 1, 1, 1))
    assert error["mse"] == pytest.approx((0 + 0.2**2) / 2)
    assert error["psnr"] == pytest.approx((20 * math.log10(510) + 20 * math.log10(5)) / 2)


@pytest.mark.parametrize("objective", MODELS)
def test_explore_leaves_what_is_promised(objective: str, make_config: Make, make_prepared: Make) -> None:
    config, data = make_config(objective), make_prepared()
    results, root = config.parent, config.parents[3]
    places = ["--config", config, "--data", data, "--results", results]
    train = ["train", *places, "--logs", root / "logs", "--scratch", root / "scratch"]
    assert CliRunner().invoke(main, [str(word) for word in train]).exit_code == 0
    digests = []
    for _ in range(2):
        result = CliRunner().invoke(main, ["explore", *(str(word) for word in places)])
        assert result.exit_code == 0, result.output
        digests.append({path.name: file_sha256(path) for path in (results / "latent").iterdir()})
    assert digests[0] == digests[1]
    shapes = {path.stem: np.load(path).shape for path in (results / "latent").glob("*.npy")}
    assert shapes == {
        "samples": (6, 32, 32, 1),
        "reconstruction-real": (3, 32, 32, 1),
        "reconstruction-model": (3, 32, 32, 1),
        "interpolation-real": (2, 2, 32, 32, 1),
        "interpolation": (2, 4, 32, 32, 1),
    }
    told = read_json(results / "latent" / "explore.json")
    assert told["method"] == ("encoding" if objective in ("autoencoder", "vae") else "inversion")
    assert (told["epoch"], told["num_images"]) == (3, 3)
    reals, models = (np.load(results / "latent" / f"reconstruction-{name}.npy") for name in ("real", "model"))
    assert told["mse"] == pytest.approx(reconstruction_error(reals, models)["mse"])


def test_a_small_dataset_is_explored_as_far_as_it_goes(make_config: Make, make_prepared: Make) -> None:
    config, data = make_config("vae", latent={"num_pairs": 11}), make_prepared()
    root = config.parents[3]
    places = ["--config", str(config), "--data", str(data), "--results", str(config.parent)]
    train = ["train", *places, "--logs", str(root / "logs"), "--scratch", str(root / "scratch")]
    assert CliRunner().invoke(main, train).exit_code == 0
    result = CliRunner().invoke(main, ["explore", *places])
    assert result.exit_code == 0
    assert "There are 20 test images: fewer are" in result.output
    assert len(np.load(config.parent / "latent" / "interpolation.npy")) == 10
