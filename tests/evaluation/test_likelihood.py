"""Importance-weighted bounds: inequalities, the closed form of a linear VAE, the stage's facts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from latentbench.artifacts.files import read_json, write_yaml
from latentbench.config.load import read_yaml
from latentbench.config.models import VAEModel
from latentbench.evaluation.metrics.likelihood import importance_weighted_bound
from latentbench.models.likelihoods import MIN_VARIANCE, Gaussian, bits_per_dimension
from latentbench.models.networks.architectures import Shape
from latentbench.models.prior import Prior
from latentbench.models.registry import build_objective
from latentbench.models.vae import VAE
from latentbench.rng import torch_generator
from tests.evaluation.conftest import evaluate

Make = Callable[..., Path]
LIKELIHOODS = ("gaussian", "optimal_gaussian", "bernoulli")
MSE = 0.04


def _vae(likelihood: str = "gaussian", latent_dim: int = 3) -> VAE:
    config = VAEModel(name="vae", width=4, latent_dim=latent_dim, likelihood=likelihood)
    objective = build_objective(config, Shape(32, 1), seed=0).eval().double()
    assert isinstance(objective, VAE)
    return objective


def _images(number: int) -> Tensor:
    return torch.rand(number, 1, 32, 32, generator=torch_generator(0, "images")).double() * 2 - 1


def _noise(*size: int) -> Tensor:
    return torch.randn(size, generator=torch_generator(0, "noise")).double()


def _log_weights(vae: VAE, images: Tensor, noise: Tensor, prior: Prior | None = None) -> Tensor:
    prior = prior or Prior.standard(vae.latent_dim)
    labels = torch.zeros(len(images), 0)
    codes, ratios = vae.draw_weighted_codes(images, labels, noise, training_mse=MSE)
    return prior.log_prob(codes.flatten(0, 1)).view(ratios.shape) + ratios


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@torch.no_grad()
def test_log_weights_match_torch_distributions(likelihood: str) -> None:
    vae, images, labels = _vae(likelihood), _images(2), torch.zeros(2, 0)
    noise = _noise(2, 4, 3)
    found = _log_weights(vae, images, noise)
    mean, log_variance = vae.posterior(images, labels)
    for image, draw in product(range(2), range(4)):
        posterior = Normal(mean[image].double(), (0.5 * log_variance[image]).exp().double())
        code = posterior.mean + posterior.stddev * noise[image, draw]
        outputs = vae.averaged["decoder"](code[None], labels[:1]).float()
        expected = Normal(0.0, 1.0).log_prob(code).sum() - posterior.log_prob(code).sum()
        if likelihood == "bernoulli":
            expected -= vae.likelihood.nll(outputs, images[[image]]).item()
        else:
            std = 1.0 if likelihood == "gaussian" else MSE**0.5
            expected += Normal(outputs.tanh(), std).log_prob(images[image]).sum()
        torch.testing.assert_close(found[image, draw], expected, rtol=1e-5, atol=1e-3)


@torch.no_grad()
def test_one_draw_is_the_elbo() -> None:
    """The noise ±1 has the mean and the variance of N(0, 1), so the divergence is exact."""
    vae, images, labels = _vae(), _images(3), torch.zeros(3, 0)
    ones = torch.ones(3, 3).double()
    log_weights = _log_weights(vae, images, torch.stack([ones, -ones], 1))
    bounds = importance_weighted_bound(log_weights[:, :, None])
    torch.testing.assert_close(bounds, log_weights, rtol=0, atol=0)
    elbos = []
    for noise in (ones, -ones):
        terms = vae._elbo_terms(images, labels, noise, vae.networks())
        elbos.append(-terms["reconstruction"] - terms["kl"])
    assert bounds.mean().item() == pytest.approx(torch.stack(elbos).mean().item(), rel=1e-6)


def test_bound_grows_with_the_number_of_draws() -> None:
    """The mean over all subsets of k of the same draws grows with k, by Jensen's inequality."""
    log_weights = 30 * _noise(7) - 700
    means = []
    for size in range(1, 8):
        subsets = torch.tensor(list(combinations(range(7), size)))
        means.append(importance_weighted_bound(log_weights[subsets]).mean().item())
    assert means[0] == pytest.approx(log_weights.mean().item())
    assert (np.diff(means) > 0).all()
    assert means[-1] < log_weights.max().item()
    # Weights that float32 and float64 cannot hold: the maximum counts, less log k.
    extreme = importance_weighted_bound(torch.tensor([-1e5, -2e5]))
    assert extreme.item() == pytest.approx(-1e5 - np.log(2))


class _Constant(nn.Module):
    """Outputs the same means and log-variances for every image."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.outputs.expand(len(images), -1)


class _Linear(nn.Module):
    """Maps codes to 2×2 images with the mean W z + b, before the tanh of the Gaussian."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return (latents @ self.weight.T + self.bias).atanh().view(-1, 1, 2, 2)


@torch.no_grad()
def test_linear_vae_has_the_likelihood_of_a_gaussian() -> None:
    """With W Wᵀ diagonal the posterior has independent dimensions, as the encoder's."""
    std = 0.05
    weight = 0.04 * torch.tensor([[1, 1], [1, -1], [1, 1], [1, -1]]).double()
    bias = torch.tensor([0.1, -0.2, 0.0, 0.3]).double()
    image = bias + torch.tensor([0.06, -0.03, 0.01, 0.05]).double()
    covariance = weight @ weight.T + std**2 * torch.eye(4)
    exact = multivariate_normal(bias, covariance).logpdf(image)
    variance = 1 / (1 + weight.square().sum(dim=0) / std**2)
    mean = variance * ((image - bias) @ weight) / std**2

    vae = _vae(latent_dim=2)
    vae.likelihood = Gaussian(std)
    vae.averaged["decoder"] = _Linear(weight, bias)

    def log_weights(mean: Tensor, variance: Tensor, noise: Tensor) -> Tensor:
        vae.averaged["encoder"] = _Constant(torch.cat([mean, variance.log()]))
        return _log_weights(vae, image.view(1, 1, 2, 2), noise[None])[0]

    # With the true posterior every weight is p(x), so the bound is tight for any k.
    tight = log_weights(mean, variance, _noise(50, 2))
    np.testing.assert_allclose(tight, exact, rtol=0, atol=1e-4)
    # Otherwise the ELBO falls short by the divergence. All signs of ±1 average exactly here.
    wrong_mean, wrong_variance = mean + 0.2, 1.5 * variance
    signs = torch.tensor(list(product([1.0, -1.0], repeat=2))).double()
    gap = kl_divergence(
        MultivariateNormal(wrong_mean, wrong_variance.diag()),
        MultivariateNormal(mean, variance.diag()),
    ).item()
    elbo = log_weights(wrong_mean, wrong_variance, signs).mean().item()
    assert elbo == pytest.approx(exact - gap, abs=1e-4)
    assert gap > 0.1
    # The bound approaches the likelihood. Its error with 20,000 draws has a standard deviation of
    # 0.0039 (of 2,000 repetitions), of which the tolerance is ten.
    many = importance_weighted_bound(log_weights(wrong_mean, wrong_variance, _noise(20_000, 2)))
    assert many.item() == pytest.approx(exact, abs=0.04)


@torch.no_grad()
def test_bound_uses_the_given_prior() -> None:
    """A mixture of two halves, by the definition of its density."""
    vae, images, noise = _vae(), _images(1), _noise(1, 5, 3)
    means, scales = torch.tensor([[1.0, 0, 0], [0, -1, 2]]), torch.tensor([0.5, 2.0])
    mixture = Prior(torch.tensor([0.25, 0.75]), means, scales[:, None, None] * torch.eye(3))
    codes, ratios = vae.draw_weighted_codes(images, torch.zeros(1, 0), noise, training_mse=MSE)
    densities = torch.zeros(5).double()
    for weight, mean, scale in zip(mixture.weights, means, scales, strict=True):
        densities += weight * Normal(mean, scale).log_prob(codes[0]).sum(dim=1).exp()
    found = _log_weights(vae, images, noise, mixture)
    torch.testing.assert_close(found[0], ratios[0] + densities.log(), rtol=1e-6, atol=1e-4)


def test_optimal_variance_is_that_of_training_images() -> None:
    assert Gaussian(None).fixed(0.09).std == pytest.approx(0.3)
    assert Gaussian(None).fixed(0.0).std == pytest.approx(MIN_VARIANCE**0.5)
    assert Gaussian(0.5).fixed(0.09).std == 0.5


@pytest.mark.parametrize("condition", [None, "class"])
def test_evaluation_bounds_the_likelihood(
    prepared: Path, build_reference: Make, make_experiment: Make, condition: str | None
) -> None:
    reference = build_reference(prepared)
    found = []
    for batch_size in (4, 250):  # draws do not depend on it
        settings = {"importance_samples": 9, "num_likelihood_images": 30, "batch_size": batch_size}
        model = {"condition": condition, "likelihood": "optimal_gaussian"}
        results = make_experiment(prepared, "vae", evaluation=settings, model=model)
        assert evaluate(results, reference, prepared).exit_code == 0
        found.append(read_json(results / "metrics.json")["likelihood"])
    for facts in found:
        assert (facts["num_images"], facts["num_draws"]) == (30, 9)
        assert [row["prior"] for row in facts["bounds"]] == ["mixture", "standard"]
    for row, same in zip(found[0]["bounds"], found[1]["bounds"], strict=True):
        for name in ("elbo", "bound"):
            nats, bits = row[f"{name}_nats"], row[f"{name}_bits_per_dimension"]
            assert nats == pytest.approx(same[f"{name}_nats"], rel=1e-4)
            expected = bits_per_dimension(torch.tensor(-nats), dimensions=1024).item()
            assert bits == pytest.approx(expected)
            error = row[f"{name}_nats_std_error"] / (1024 * np.log(2))
            assert row[f"{name}_bits_per_dimension_std_error"] == pytest.approx(error)
        gap = row["bound_nats"] - row["elbo_nats"]
        assert row["gap_nats"] == pytest.approx(gap, abs=1e-6)
        assert gap >= 0


def test_only_models_with_a_density_have_a_bound(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference = build_reference(prepared)
    for model, draws in (("autoencoder", 9), ("dcgan", 9), ("vae", 0)):
        results = make_experiment(prepared, model, evaluation={"importance_samples": draws})
        assert evaluate(results, reference, prepared).exit_code == 0
        assert "likelihood" not in read_json(results / "metrics.json")


def test_diverged_likelihood_is_one_sentence(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference = build_reference(prepared)
    results = make_experiment(prepared, "vae", model={"decoder_std": 1e-30})
    result = evaluate(results, reference, prepared)
    assert result.exit_code == 1
    assert "vae" in result.output
    assert "Traceback" not in result.output
    settings = read_yaml(results / "config.yaml")
    settings["evaluation"]["importance_samples"] = 0
    write_yaml(results / "config.yaml", settings)
    assert evaluate(results, reference, prepared).exit_code == 0
