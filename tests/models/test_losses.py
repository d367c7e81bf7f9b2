"""Losses by closed form and against second implementations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from latentbench.config.models import AutoencoderModel, DCGANModel, VAEModel, WGANGPModel
from latentbench.models.dcgan import DCGAN
from latentbench.models.gan_losses import (
    classified_as_real,
    discriminator_loss,
    generator_loss,
    r1_penalty,
)
from latentbench.models.likelihoods import (
    MIN_VARIANCE,
    ContinuousBernoulli,
    Gaussian,
    bits_per_dimension,
    gaussian_nll,
    log_bernoulli_constant,
)
from latentbench.models.networks.architectures import Shape
from latentbench.models.networks.layers import BATCH_NORMS
from latentbench.models.registry import build_objective
from latentbench.models.vae import VAE, gaussian_kl
from latentbench.models.wgan_gp import WGANGP, gradient_penalty
from latentbench.rng import torch_generator

NO_LABELS = torch.zeros(8, 0)


def _images(number: int = 8, size: int = 32, channels: int = 1) -> torch.Tensor:
    return torch.rand(number, channels, size, size, generator=torch_generator(0, "images")) * 2 - 1


def test_kl_of_prior_is_zero() -> None:
    zeros = torch.zeros(3, 5)
    assert gaussian_kl(zeros, zeros).tolist() == [0, 0, 0]


def test_kl_matches_torch_distributions() -> None:
    mean, log_variance = torch.randn(2, 4, 7, generator=torch_generator(0, "kl"))
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(gaussian_kl(mean, log_variance), expected)


def test_gaussian_nll_includes_constant() -> None:
    image, reconstruction = torch.randn(2, 3, 10, generator=torch_generator(0, "nll"))
    expected = -Normal(reconstruction, 0.3).log_prob(image).sum(dim=1)
    squared_error = (image - reconstruction).square().sum(dim=1)
    torch.testing.assert_close(
        gaussian_nll(squared_error, torch.tensor(0.09), dimensions=10), expected
    )


def test_optimal_variance_maximizes_likelihood() -> None:
    squared_error, dimensions = torch.tensor([2.0, 4.0, 9.0]), 20
    mse = squared_error.mean() / dimensions
    likelihoods = [
        gaussian_nll(squared_error, mse * factor, dimensions=dimensions).mean()
        for factor in (0.99, 1.0, 1.01)
    ]
    assert likelihoods[1] < min(likelihoods[0], likelihoods[2])
    assert Gaussian(None)._variance(squared_error, dimensions) == mse
    assert Gaussian(None)._variance(torch.zeros(3), dimensions).item() == pytest.approx(
        MIN_VARIANCE
    )


def test_continuous_bernoulli_matches_torch_distributions() -> None:
    outputs = torch.cat([torch.linspace(-6, 6, 49), torch.tensor([0.0, 1e-3, -1e-3, 0.049, 0.051])])
    levels = torch.rand(len(outputs), generator=torch_generator(0, "levels"))
    theirs = TorchContinuousBernoulli(logits=2 * outputs.double(), lims=(0.4999, 0.5001))
    images = 2 * levels.view(-1, 1, 1, 1) - 1
    nll = ContinuousBernoulli().nll(outputs.view(-1, 1, 1, 1), images)
    # A density over [-1, 1] is half of that over [0, 1].
    torch.testing.assert_close(
        nll.double(), math.log(2) - theirs.log_prob(levels.double()), rtol=1e-4, atol=1e-5
    )
    mean = ContinuousBernoulli().mean(outputs)
    torch.testing.assert_close(mean.double(), 2 * theirs.mean - 1, rtol=1e-4, atol=1e-4)


def test_densities_integrate_to_one() -> None:
    grid = torch.linspace(-1, 1, 4001)
    for output in (-3.0, 0.0, 0.02, 1.5):
        outputs = torch.full((len(grid), 1, 1, 1), output)
        density = (-ContinuousBernoulli().nll(outputs, grid.view(-1, 1, 1, 1))).exp()
        assert torch.trapezoid(density, grid).item() == pytest.approx(1, abs=1e-3)
    assert log_bernoulli_constant(torch.zeros(())).item() == pytest.approx(math.log(2))


def test_bits_per_dimension_of_known_densities() -> None:
    # A uniform density over [-1, 1] knows nothing of the 255 steps between 256 levels.
    nll = torch.tensor(30 * math.log(2))
    assert bits_per_dimension(nll, dimensions=30).item() == pytest.approx(math.log2(255))
    # A normal density whose standard deviation is a step between levels.
    step = 2 / 255
    nll = gaussian_nll(torch.tensor(0.0), torch.tensor(step**2), dimensions=30)
    assert bits_per_dimension(nll, dimensions=30).item() == pytest.approx(
        0.5 * math.log2(2 * math.pi), abs=1e-5
    )


REAL, FAKE = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([-3.0, 0.25, 1.0])


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator"),
    [
        # By hand: -log σ(s) = log(1 + e⁻ˢ).
        (
            "non_saturating",
            sum(math.log1p(math.exp(-s)) for s in REAL.tolist()) / 3
            + sum(math.log1p(math.exp(s)) for s in FAKE.tolist()) / 3,
            sum(math.log1p(math.exp(-s)) for s in FAKE.tolist()) / 3,
        ),
        (
            "minimax",
            sum(math.log1p(math.exp(-s)) for s in REAL.tolist()) / 3
            + sum(math.log1p(math.exp(s)) for s in FAKE.tolist()) / 3,
            sum(math.log(1 - 1 / (1 + math.exp(-s))) for s in FAKE.tolist()) / 3,
        ),
        ("hinge", (0 + 2 + 0.5) / 3 + (0 + 1.25 + 2) / 3, -(-3 + 0.25 + 1) / 3),
        (
            "least_squares",
            0.5 * (1 + 4 + 0.25) / 3 + 0.5 * (9 + 0.0625 + 1) / 3,
            0.5 * (16 + 0.5625 + 0) / 3,
        ),
    ],
)
def test_losses_at_known_scores(loss: str, discriminator: float, generator: float) -> None:
    assert discriminator_loss(loss, real=REAL, fake=FAKE).item() == pytest.approx(
        discriminator, rel=1e-6
    )
    assert generator_loss(loss, FAKE).item() == pytest.approx(generator, rel=1e-6)


def test_label_smoothing_is_one_sided() -> None:
    expected = binary_cross_entropy_with_logits(
        REAL, torch.full((3,), 0.9)
    ) + binary_cross_entropy_with_logits(FAKE, torch.zeros(3))
    found = discriminator_loss("non_saturating", real=REAL, fake=FAKE, smoothing=0.1)
    torch.testing.assert_close(found, expected)
    found = discriminator_loss(
        "least_squares", real=torch.full((3,), 0.9), fake=torch.zeros(3), smoothing=0.1
    )
    assert found.item() == pytest.approx(0)


def test_scores_are_classified_by_the_nearer_target() -> None:
    assert classified_as_real("non_saturating", REAL).tolist() == [True, False, True]
    assert classified_as_real("least_squares", torch.tensor([0.4, 0.6])).tolist() == [False, True]


def test_kl_weight_warmup() -> None:
    config = VAEModel(name="vae", width=4, kl_weight=2.0, kl_warmup_steps=4)
    model = VAE(config, Shape(32, 1), generator=torch_generator(0, "w"))
    assert [model.kl_weight(step) for step in range(6)] == [0, 0.5, 1, 1.5, 2, 2]


def test_vae_terms_add_up_to_the_loss() -> None:
    config = VAEModel(name="vae", width=4, kl_weight=2.5, decoder_std=0.7)
    objective = build_objective(config, Shape(32, 1), seed=0).train()
    objective.make_optimizers()
    step = objective.step(_images(), NO_LABELS, step=0, generator=torch_generator(0, "step"))
    terms = {name: value.item() for name, value in step.items()}
    assert terms["loss"] == pytest.approx(terms["reconstruction"] + 2.5 * terms["kl"], rel=1e-6)
    constant = 0.5 * 1024 * math.log(2 * math.pi * 0.49)
    assert terms["reconstruction"] == pytest.approx(
        constant + 1024 * terms["mse"] / (2 * 0.49), rel=1e-5
    )


@pytest.mark.parametrize(("beta", "decay"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.02), (0.7, 0.02)])
def test_regularized_autoencoder_minimizes_its_loss(beta: float, decay: float) -> None:
    """The loss and the step of RAE-L2, by a second implementation and torch's own Adam."""
    settings = {"code_penalty": beta, "decoder_weight_decay": decay, "learning_rate": 1e-2}
    config = AutoencoderModel(name="autoencoder", width=4, latent_dim=5, **settings)
    ours, theirs = (build_objective(config, Shape(32, 1), seed=0).train() for _ in range(2))
    images = _images()
    codes = theirs.encoder(images, NO_LABELS)
    outputs = theirs.decoder(codes, NO_LABELS).tanh()
    parameters = [*theirs.encoder.parameters(), *theirs.decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    loss = (outputs - images).flatten(1).norm(dim=1).square().mean()
    loss = loss + beta * codes.norm(dim=1).square().mean() / 2
    weights = torch.cat([parameter.flatten() for parameter in theirs.decoder.parameters()])
    loss = loss + decay * weights @ weights
    loss.backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in parameters]).norm()
    optimizer.step()

    ours.make_optimizers()
    terms = ours.step(images, NO_LABELS, step=0, generator=torch_generator(0, "step"))
    assert tuple(sorted(terms)) == tuple(sorted(ours.terms))
    assert terms["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert terms["gradient"].item() == pytest.approx(norm.item(), rel=1e-4)
    assert ("code_norm" in terms, "decoder_norm" in terms) == (beta > 0, decay > 0)
    assert terms.get("decoder_norm", weights @ weights).item() == pytest.approx(
        (weights @ weights).item(), rel=1e-5
    )
    for found, expected in zip(ours.decoder.parameters(), theirs.decoder.parameters(), strict=True):
        # Adam's first step is the sign of the gradient, which rounding may turn where it is 0.
        assert (found - expected).abs().median() < 1e-6


def test_gaussian_std_by_likelihood_and_setting() -> None:
    images, outputs = _images(), 0.5 * _images()
    squared_error = (images - outputs.tanh()).square().sum(dim=(1, 2, 3))
    variances = {
        "gaussian": (None, 1.0),
        "optimal_gaussian": (None, squared_error.mean().item() / 1024),
    }
    for likelihood, (std, variance) in (*variances.items(), ("gaussian", (0.5, 0.25))):
        config = VAEModel(name="vae", width=4, likelihood=likelihood, decoder_std=std)
        vae = VAE(config, Shape(32, 1), generator=torch_generator(0, "w"))
        expected = gaussian_nll(squared_error, torch.tensor(variance), dimensions=1024)
        torch.testing.assert_close(vae.likelihood.nll(outputs, images), expected)


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_gradient_penalty_of_linear_critic(slope: float) -> None:
    direction = torch.randn(1, 4, 4, generator=torch_generator(0, "critic"))
    direction = slope * direction / direction.norm()
    penalty = gradient_penalty(
        lambda images: (images * direction).sum(dim=(1, 2, 3)),
        real=_images(5, 4),
        fake=-_images(5, 4),
        weights=torch.rand(5, 1, 1, 1, generator=torch_generator(0, "penalty")),
    )
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-6)


def test_r1_of_linear_and_quadratic_discriminators() -> None:
    """The slopes are w and A x; the gradients of the penalties are 2 w and 2 A E[x xᵀ]."""
    real = _images(6, 4).double()
    generator = torch_generator(0, "discriminator")
    direction = torch.randn(16, generator=generator).double().requires_grad_()
    penalty = r1_penalty(lambda images: images.flatten(1) @ direction + 3, real)
    [gradient] = torch.autograd.grad(penalty, direction)
    torch.testing.assert_close(penalty, direction.square().sum())
    torch.testing.assert_close(gradient, 2 * direction)

    matrix = torch.randn(16, 16, generator=generator).double()
    matrix = (matrix + matrix.T).requires_grad_()
    vectors = real.flatten(1)
    penalty = r1_penalty(
        lambda images: 0.5 * ((images.flatten(1) @ matrix) * images.flatten(1)).sum(dim=1), real
    )
    [gradient] = torch.autograd.grad(penalty, matrix)
    torch.testing.assert_close(penalty, (vectors @ matrix).square().sum(dim=1).mean())
    expected = 2 * matrix @ (vectors.T @ vectors) / len(vectors)
    # By the symmetric part of the matrix, because the slope is that of ½ xᵀ A x.
    torch.testing.assert_close(gradient, (expected + expected.T) / 2)


@pytest.mark.parametrize("augment", [[], ["color", "translation", "cutout"]])
def test_r1_is_part_of_the_discriminators_loss(augment: list[str]) -> None:
    settings = {"r1_weight": 3.0, "r1_interval": 2, "augment": augment}
    config = DCGANModel(name="dcgan", width=4, latent_dim=5, **settings)
    objective = build_objective(config, Shape(32, 1), seed=0).train()
    assert isinstance(objective, DCGAN)
    objective.make_optimizers()
    assert not any(isinstance(each, BATCH_NORMS) for each in objective.discriminator.modules())
    for step in range(4):
        generator = torch_generator(0, "expected", step)
        fakes = objective.generate(NO_LABELS, generator).detach()
        images = objective.augment(_images(), generator)
        real = objective.score(images, NO_LABELS)
        fake = objective.score(objective.augment(fakes, generator), NO_LABELS)
        expected = discriminator_loss("non_saturating", real=real, fake=fake)
        points = images.clone().requires_grad_()
        objective.discriminator(points, NO_LABELS).sum().backward()
        assert points.grad is not None
        penalty = points.grad.flatten(1).norm(dim=1).square().mean()
        for parameter in objective.discriminator.parameters():
            parameter.grad = None
        if step % 2 == 0:
            expected += 2 * 3.0 / 2 * penalty
        generator = torch_generator(0, "expected", step)
        terms = objective.step(_images(), NO_LABELS, step=step, generator=generator)
        assert terms["discriminator_loss"].item() == pytest.approx(expected.item(), rel=1e-4)
        assert ("r1_penalty" in terms) == (step % 2 == 0)
        if "r1_penalty" in terms:
            assert terms["r1_penalty"].item() == pytest.approx(penalty.item(), rel=1e-4)
        assert set(terms) <= set(objective.terms)


def test_dcgan_losses_are_binary_cross_entropy() -> None:
    config = DCGANModel(name="dcgan", width=4, latent_dim=5)
    objective = build_objective(config, Shape(32, 1), seed=0).train()
    assert isinstance(objective, DCGAN)
    images, generator = _images(), torch_generator(0, "step")
    with torch.no_grad():
        fakes = objective.generate(NO_LABELS, torch_generator(0, "step"))
        real, fake = objective.score(images, NO_LABELS), objective.score(fakes, NO_LABELS)
        expected = binary_cross_entropy_with_logits(
            real, torch.ones(8)
        ) + binary_cross_entropy_with_logits(fake, torch.zeros(8))
        loss = objective.generator_loss(fake)
    assert loss.item() == pytest.approx(
        binary_cross_entropy_with_logits(fake, torch.ones(8)).item()
    )
    objective.make_optimizers()
    terms = objective.step(images, NO_LABELS, step=0, generator=generator)
    assert terms["discriminator_loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert terms["accuracy_real"].item() == pytest.approx((real > 0).float().mean().item())


def test_n_critic_updates_per_generator_update() -> None:
    config = WGANGPModel(name="wgan_gp", width=4, latent_dim=5, n_critic=3)
    objective = build_objective(config, Shape(32, 1), seed=0).train()
    assert isinstance(objective, WGANGP)
    objective.make_optimizers()
    turns = []
    for step in range(7):
        before = [parameter.clone() for parameter in objective.generator.parameters()]
        critic = [parameter.clone() for parameter in objective.discriminator.parameters()]
        terms = objective.step(
            _images(), NO_LABELS, step=step, generator=torch_generator(0, "step", step)
        )
        moved = any(
            not torch.equal(old, new)
            for old, new in zip(before, objective.generator.parameters(), strict=True)
        )
        assert moved == ("generator_loss" in terms)
        assert any(
            not torch.equal(old, new)
            for old, new in zip(critic, objective.discriminator.parameters(), strict=True)
        )
        turns.append(moved)
    assert turns == [False, False, True, False, False, True, False]


def test_n_generator_updates_per_step() -> None:
    config = DCGANModel(
        name="dcgan", width=4, latent_dim=5, n_generator=3, discriminator_learning_rate=1e-3
    )
    objective = build_objective(config, Shape(32, 1), seed=0).train()
    objective.make_optimizers()
    for step in range(2):
        objective.step(_images(), NO_LABELS, step=step, generator=torch_generator(0, "step", step))
    assert objective.optimizers["generator"].steps[0].item() == 6
    assert objective.optimizers["discriminator"].steps[0].item() == 2
    assert objective.optimizers["generator"].learning_rate == 2e-4
    assert objective.optimizers["discriminator"].learning_rate == 1e-3
