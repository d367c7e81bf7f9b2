"""Priors fitted to codes: densities and moments against scikit-learn and closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from latentbench.models.objective import draw_latents
from latentbench.models.prior import Prior, draw_codes
from latentbench.rng import torch_generator

MEANS = torch.tensor([[4.0, 0.0, 0.0], [-4.0, 2.0, 0.0]])
WEIGHTS = torch.tensor([0.25, 0.75])
FACTORS = torch.tensor(
    [
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.3, 2.0]],
        [[0.2, 0.0, 0.0], [0.0, 1.0, 0.0], [0.4, -0.3, 0.5]],
    ]
)
PRIOR = Prior(WEIGHTS, MEANS, FACTORS)


def _generator(stream: str = "prior", step: int = 0) -> torch.Generator:
    return torch_generator(0, stream, step)


def _scikit_mixture(prior: Prior) -> Any:
    """Return the same mixture of scikit-learn."""
    covariances = (prior.scale_tril.double() @ prior.scale_tril.double().mT).numpy()
    mixture = GaussianMixture(prior.num_components)
    mixture.weights_ = prior.weights.double().numpy()
    mixture.means_ = prior.means.double().numpy()
    mixture.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(covariances))
    return mixture


def test_the_standard_prior_draws_the_bits_of_draw_latents() -> None:
    prior, after = Prior.standard(7), _generator()
    drawn = prior.sample(50, after)
    expected = _generator()
    assert torch.equal(drawn, draw_latents(50, 7, expected))
    assert torch.equal(after.get_state(), expected.get_state())
    assert torch.equal(prior.mean, torch.zeros(7))
    assert prior.std == 1
    normal = torch.distributions.Normal(0, 1).log_prob(drawn.double()).sum(dim=1)
    torch.testing.assert_close(prior.log_prob(drawn), normal)


def test_density_is_that_of_scikit_learn() -> None:
    latents = 3 * draw_latents(200, 3, _generator())
    expected = _scikit_mixture(PRIOR).score_samples(latents.double().numpy())
    assert PRIOR.log_prob(latents).numpy() == pytest.approx(expected, rel=1e-9)


def test_samples_have_the_moments_of_the_mixture() -> None:
    """Means and covariances within six standard errors: false alarms are below one in a million."""
    number = 40_000
    drawn = PRIOR.sample(number, _generator()).double()
    covariances = (FACTORS @ FACTORS.mT).double()
    deviations = (MEANS - PRIOR.mean).double()
    spread = (deviations[:, :, None] * deviations[:, None, :] + covariances).mul(
        WEIGHTS[:, None, None].double()
    )
    expected = spread.sum(dim=0)
    error = 6 * (expected.diagonal() / number).sqrt()
    assert bool(((drawn.mean(dim=0) - PRIOR.mean.double()).abs() < error).all())
    products = (drawn - PRIOR.mean.double())[:, :, None] * (drawn - PRIOR.mean.double())[:, None]
    error = 6 * products.std(dim=0) / math.sqrt(number)
    assert bool(((products.mean(dim=0) - expected).abs() < error).all())
    assert PRIOR.std == pytest.approx(float(expected.diagonal().mean().sqrt()), rel=1e-6)


def test_equal_seeds_give_equal_draws() -> None:
    first, second = (PRIOR.sample(100, _generator()) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, PRIOR.sample(100, _generator(step=1)))


def test_fit_finds_the_mixture_again() -> None:
    codes = PRIOR.sample(20_000, _generator())
    fitted = Prior.fit(codes, num_components=2, seed=0)
    order = fitted.weights.argsort()
    torch.testing.assert_close(fitted.weights[order], WEIGHTS, atol=0.02, rtol=0)
    torch.testing.assert_close(fitted.means[order], MEANS, atol=0.1, rtol=0)
    torch.testing.assert_close(fitted.scale_tril[order], FACTORS, atol=0.1, rtol=0)
    again = Prior.fit(codes, num_components=2, seed=0)
    assert all(torch.equal(*pair) for pair in zip(_values(fitted), _values(again), strict=True))


def _values(prior: Prior) -> list[Tensor]:
    return list(prior.tensors().values())


def test_one_component_has_the_mean_and_covariance_of_the_codes() -> None:
    codes = PRIOR.sample(5_000, _generator())
    fitted = Prior.fit(codes, num_components=1, seed=0)
    covariance = (fitted.scale_tril @ fitted.scale_tril.mT)[0]
    torch.testing.assert_close(fitted.mean, codes.mean(dim=0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(covariance, codes.T.cov(correction=0), atol=2e-3, rtol=2e-4)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_fit_scales_with_the_codes(scale: float) -> None:
    codes = PRIOR.sample(2_000, _generator())
    plain, scaled = (
        Prior.fit(each, num_components=2, seed=3) for each in (codes, (scale * codes.double()))
    )
    torch.testing.assert_close(scaled.means / scale, plain.means, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scaled.scale_tril / scale, plain.scale_tril, atol=1e-4, rtol=1e-4)


DEGENERATE = {
    "a single code": torch.ones(1, 4),
    "two codes": torch.tensor([[0.0, 1.0], [1.0, 1.0]]),
    "equal codes": torch.full((500, 3), 2.0),
    "codes at 0": torch.zeros(300, 2),
    "one dimension": torch.arange(300.0)[:, None],
    "a constant dimension": torch.stack([torch.arange(300.0), torch.ones(300)], dim=1),
    "equal dimensions": torch.arange(300.0)[:, None].expand(-1, 3),
    "two distinct codes": torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(200, 1),
    "fewer codes than dimensions": draw_latents(5, 40, _generator()),
    "an outlier": torch.cat([draw_latents(300, 2, _generator()), torch.full((1, 2), 1e6)]),
}


@pytest.mark.parametrize("codes", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_codes_have_a_prior(codes: Tensor) -> None:
    prior = Prior.from_tensors(Prior.fit(codes, num_components=30, seed=0).tensors())
    assert prior.num_components <= max(1, len(codes) // (4 * codes.shape[1]))
    assert prior.num_components <= len(codes.unique(dim=0))
    drawn = prior.sample(50, _generator())
    assert drawn.shape == (50, codes.shape[1])
    assert bool(prior.log_prob(drawn).isfinite().all())
    reach = codes.max(dim=0).values - codes.min(dim=0).values
    middle = (codes.max(dim=0).values + codes.min(dim=0).values) / 2
    assert bool(((drawn - middle).abs() <= 5 * reach + 1e-2 * codes.abs().max() + 1e-9).all())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights", torch.tensor([0.5, 0.6])),
        ("weights", torch.tensor([-0.5, 1.5])),
        ("scale_tril", FACTORS.mT),
        ("scale_tril", -FACTORS),
        ("scale_tril", torch.zeros(2, 3, 3)),
    ],
)
def test_what_is_no_distribution_is_refused(name: str, value: Tensor) -> None:
    with pytest.raises(ValueError, match="prior"):
        Prior.from_tensors(PRIOR.tensors() | {f"prior.{name}": value.contiguous()})


class _Encoder:
    """An encoder whose codes are the first pixels."""

    def encode(self, images: Tensor, labels: Tensor) -> Tensor:
        return images.flatten(1)[:, :2] + labels.sum(dim=1, keepdim=True)


class _Posterior(_Encoder):
    def posterior(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return self.encode(images, labels), torch.full((len(images), 2), 2 * math.log(3))


def test_codes_of_posteriors_are_draws() -> None:
    images, labels = torch.zeros(20_000, 1, 2, 2), torch.zeros(20_000, 0)
    codes = draw_codes(_Posterior(), images, labels, _generator())
    assert codes.mean(dim=0).tolist() == pytest.approx([0, 0], abs=0.15)
    assert codes.std(dim=0).tolist() == pytest.approx([3, 3], abs=0.15)
    assert torch.equal(draw_codes(_Encoder(), images, labels, _generator()), torch.zeros(20_000, 2))
