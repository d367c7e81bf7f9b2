"""Paths and inversion."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentbench.config.experiments import Latent
from latentbench.inference.interpolation import interpolate
from latentbench.inference.inversion import closest_samples, invert, on_sphere
from latentbench.latent.explorations.paths import path_distances
from latentbench.models.objective import Objective
from latentbench.rng import torch_generator

NO_LABELS = torch.zeros(50, 0)


@pytest.mark.parametrize("kind", ["spherical", "linear"])
def test_a_path_starts_and_ends_at_its_latents(kind: str) -> None:
    start, end = torch.randn(2, 4, 16, generator=torch_generator(0, "ends"))
    path = interpolate(start, end, num_points=7, kind=kind)
    assert path.shape == (4, 7, 16)
    torch.testing.assert_close(path[:, 0], start)
    torch.testing.assert_close(path[:, -1], end)


def test_a_spherical_path_rotates_evenly_and_keeps_its_length() -> None:
    start, end = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    path = interpolate(start, end, num_points=4, kind="spherical")[0]
    angles = torch.tensor([0, 30, 60, 90]) * math.pi / 180
    torch.testing.assert_close(path, 3 * torch.stack([angles.cos(), angles.sin()], dim=1))


def test_a_spherical_path_between_equal_directions_is_straight() -> None:
    start = torch.tensor([[1.0, 1.0]])
    path = interpolate(start, 3 * start, num_points=3, kind="spherical")[0]
    torch.testing.assert_close(path, torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))


def test_lengths_on_a_spherical_path_are_between_those_of_the_ends() -> None:
    """Not those of the prior: codes far inside or outside of its sphere stay there."""
    start, end = torch.randn(2, 3, 16, generator=torch_generator(0, "ends"))
    path = interpolate(0.1 * start, 0.3 * end, num_points=5, kind="spherical")
    lengths = path.norm(dim=2)
    weights = torch.linspace(0, 1, 5)
    torch.testing.assert_close(lengths, torch.lerp(lengths[:, :1], lengths[:, -1:], weights))
    assert lengths.max() < 0.5 * 16**0.5


@pytest.mark.parametrize(
    ("distances", "middle"), [([1, 5, 2], 5), ([1, 2, 4, 9], 3), ([1, 2], 1.5)]
)
def test_middle_and_farthest_point_of_a_path(distances: list[float], middle: float) -> None:
    found = path_distances(np.array(distances, dtype=np.float32))
    assert found == {"middle": middle, "farthest": max(distances)}
    assert path_distances(np.array(distances[::-1], dtype=np.float32)) == found


class _Linear(Objective):
    """Decodes by a fixed matrix, so that the best latent is known."""

    terms = ()

    def __init__(self) -> None:
        super().__init__()
        self.latent_dim = 4
        self.matrix = nn.Linear(4, 16, bias=False)
        nn.init.normal_(self.matrix.weight, generator=torch_generator(0, "matrix"))

    def make_optimizers(self) -> None: ...

    def step(
        self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        raise NotImplementedError

    def networks(self) -> dict[str, nn.Module]:
        return {"matrix": self.matrix}

    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.matrix(latents).reshape(-1, 1, 4, 4)


def test_inversion_finds_the_latent_of_an_image() -> None:
    objective = _Linear()
    truth = on_sphere(torch.randn(5, 4, generator=torch_generator(0, "truth")))
    found = invert(
        objective,
        objective.sample(truth, NO_LABELS[:5]).clone(),
        NO_LABELS[:5],
        Latent(inversion_starts=64, inversion_steps=400, inversion_learning_rate=0.05),
        generator=torch_generator(0, "starts"),
    )
    torch.testing.assert_close(found.latents, truth, atol=1e-2, rtol=0)
    assert found.errors.shape == (5, 401)
    assert (found.errors[:, -1] < 1e-4).all()
    assert (found.errors[:, -1] < found.errors[:, 0]).all()


def test_inversion_starts_at_the_closest_sample() -> None:
    objective = _Linear()
    images = torch.randn(3, 1, 4, 4, generator=torch_generator(0, "images"))
    starts = closest_samples(
        objective, images, NO_LABELS[:3], starts=50, generator=torch_generator(0, "s"), batch_size=7
    )
    candidates = torch.randn(50, 4, generator=torch_generator(0, "s"))
    errors = (
        (objective.sample(candidates, NO_LABELS)[None] - images[:, None])
        .square()
        .sum(dim=(2, 3, 4))
    )
    assert torch.equal(starts, candidates[errors.argmin(dim=1)])
