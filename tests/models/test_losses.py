"""Losses by closed form and against second implementations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from latentbench.config.experiments import DCGANModel, VAEModel, WGANGPModel
from latentbench.models.adam import Adam
from latentbench.models.averaging import update_average
from latentbench.models.dcgan import DCGAN
from latentbench.models.registry import build_objective
from latentbench.models.vae import SMALLEST_VARIANCE, VAE, gaussian_kl, gaussian_nll
from latentbench.models.wgan_gp import WGANGP, gradient_penalty
from latentbench.rng import torch_generator


def _images(number: int = 8, size: int = 32, channels: int = 1) -> torch.Tensor:
    return torch.rand(number, channels, size, size, generator=torch_generator(0, "images")) * 2 - 1


def test_kl_of_the_prior_with_itself_is_zero() -> None:
    zeros = torch.zeros(3, 5)
    assert gaussian_kl(zeros, zeros).tolist() == [0, 0, 0]


def test_kl_of_known_gaussians_is_known() -> None:
    mean, log_variance = torch.randn(2, 4, 7, generator=torch_generator(0, "kl"))
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(gaussian_kl(mean, log_variance), expected)


def test_gaussian_likelihood_keeps_its_constant() -> None:
    image, reconstruction = torch.randn(2, 3, 10, generator=torch_generator(0, "nll"))
    expected = -Normal(reconstruction, 0.3).log_prob(image).sum(dim=1)
    squared_error = (image - reconstruction).square().sum(dim=1)
    torch.testing.assert_close(gaussian_nll(squared_error, torch.tensor(0.09), dimensions=10), expected)


def test_the_optimal_variance_is_that_of_maximum_likelihood() -> None:
    squared_error, dimensions = torch.tensor([2.0, 4.0, 9.0]), 20
    mse = squared_error.mean() / dimensions
    likelihoods = [
        gaussian_nll(squared_error, mse * factor, dimensions=dimensions).mean() for factor in (0.99, 1.0, 1.01)
    ]
    assert likelihoods[1] < min(likelihoods[0], likelihoods[2])
    model = VAE(VAEModel(objective="vae", width=4), image_size=32, channels=1, generator=torch_generator(0, "w"))
    assert model._variance(mse) == mse
    assert model._variance(torch.tensor(0.0)).item() == pytest.approx(SMALLEST_VARIANCE)


def test_vae_terms_add_up_to_the_bound() -> None:
    config = VAEModel(objective="vae", width=4, kl_weight=2.5, decoder_std=0.7)
    objective = build_objective(config, image_size=32, channels=1, seed=0).train()
    objective.make_optimizers()
    step = objective.step(_images(), step=0, generator=torch_generator(0, "step"))
    terms = {name: value.item() for name, value in step.items()}
    assert terms["loss"] == pytest.approx(terms["reconstruction"] + 2.5 * terms["kl"], rel=1e-6)
    constant = 0.5 * 1024 * math.log(2 * math.pi * 0.49)
    assert terms["reconstruction"] == pytest.approx(constant + 1024 * terms["mse"] / (2 * 0.49), rel=1e-5)


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_known(slope: float) -> None:
    direction = torch.randn(1, 4, 4, generator=torch_generator(0, "critic"))
    direction = slope * direction / direction.norm()
    penalty = gradient_penalty(
        lambda images: (images * direction).sum(dim=(1, 2, 3)),
        real=_images(5, 4),
        fake=-_images(5, 4),
        generator=torch_generator(0, "penalty"),
    )
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-6)


def test_dcgan_scores_are_those_of_binary_cross_entropy() -> None:
    config = DCGANModel(objective="dcgan", width=4, latent_dim=5)
    objective = build_objective(config, image_size=32, channels=1, seed=0).train()
    assert isinstance(objective, DCGAN)
    images, generator = _images(), torch_generator(0, "step")
    with torch.no_grad():
        fakes = objective.generate(len(images), torch_generator(0, "step"))
        real, fake = objective.score(images), objective.score(fakes)
        expected = binary_cross_entropy_with_logits(real, torch.ones(8)) + binary_cross_entropy_with_logits(
            fake, torch.zeros(8)
        )
        generator_loss = objective.generator_loss(fake)
    assert generator_loss.item() == pytest.approx(binary_cross_entropy_with_logits(fake, torch.ones(8)).item())
    objective.make_optimizers()
    terms = objective.step(images, step=0, generator=generator)
    assert terms["discriminator_loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert terms["accuracy_real"].item() == pytest.approx((real > 0).float().mean().item())


def test_the_critic_is_trained_n_critic_times_as_often_as_the_generator() -> None:
    config = WGANGPModel(objective="wgan_gp", width=4, latent_dim=5, n_critic=3)
    objective = build_objective(config, image_size=32, channels=1, seed=0).train()
    assert isinstance(objective, WGANGP)
    objective.make_optimizers()
    turns = []
    for step in range(7):
        before = [parameter.clone() for parameter in objective.generator.parameters()]
        critic = [parameter.clone() for parameter in objective.discriminator.parameters()]
        terms = objective.step(_images(), step=step, generator=torch_generator(0, "step", step))
        moved = any(
            not torch.equal(old, new) for old, new in zip(before, objective.generator.parameters(), strict=True)
        )
        assert moved == ("generator_loss" in terms)
        assert any(
            not torch.equal(old, new) for old, new in zip(critic, objective.discriminator.parameters(), strict=True)
        )
        turns.append(moved)
    assert turns == [False, False, True, False, False, True, False]


def test_adam_steps_as_torch_optim_does() -> None:
    networks = [nn.Linear(6, 3), nn.Linear(6, 3)]
    networks[1].load_state_dict(networks[0].state_dict())
    ours = Adam(networks[0].parameters(), learning_rate=0.01, beta1=0.5, beta2=0.9)
    theirs = torch.optim.Adam(networks[1].parameters(), lr=0.01, betas=(0.5, 0.9))
    for step in range(5):
        inputs = torch.randn(4, 6, generator=torch_generator(0, "adam", step))
        for network in networks:
            network(inputs).square().sum().backward()
        ours.step()
        theirs.step()
        theirs.zero_grad()
    for mine, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


def test_the_average_forgets_its_start_and_then_decays() -> None:
    average, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        average.weight.fill_(10.0)
        network.weight.fill_(0.0)
        update_average(average, network, decay=0.9, updates=0)
        assert average.weight.item() == pytest.approx(10 * 1 / 10)
        average.weight.fill_(10.0)
        update_average(average, network, decay=0.9, updates=10_000)
        assert average.weight.item() == pytest.approx(9.0)
        update_average(average, network, decay=0.0, updates=10_000)
        assert average.weight.item() == 0.0
