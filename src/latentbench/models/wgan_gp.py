"""WGAN-GP: a critic that estimates the Wasserstein distance, kept 1-Lipschitz by a gradient penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latentbench.config.models import WGANGPModel
from latentbench.models.gan import GAN
from latentbench.models.networks import Shape
from latentbench.models.objective import Terms, draw_latents
from latentbench.runtime.double_backward import EfficientDoubleBackward


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], *, real: Tensor, fake: Tensor, weights: Tensor
) -> Tensor:
    """E[(‖∇ critic(x̂)‖₂ - 1)²] at x̂ on the lines between fake and real (Gulrajani et al., 2017, equation 3).

    `weights` (batch, 1, 1, 1), uniform in [0, 1], say where on its line each point lies: 0 is the fake image.
    """
    points = torch.lerp(fake, real, weights).requires_grad_()
    with EfficientDoubleBackward():
        scores = critic(points)
    [gradients] = torch.autograd.grad(scores.sum(), points, create_graph=True)
    penalty: Tensor = (gradients.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


class WGANGP(GAN):
    """Gulrajani et al. (2017), algorithm 1."""

    terms = (
        "critic_loss",
        "wasserstein",
        "gradient_penalty",
        "generator_loss",
        "critic_gradient",
        "generator_gradient",
    )
    batch_norm = (
        False  # the penalty is of each image by itself (section 4, "No critic batch normalization")
    )

    def __init__(self, config: WGANGPModel, shape: Shape, *, generator: torch.Generator) -> None:
        super().__init__(config, shape, generator=generator)
        self.config = config

    def step(
        self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator
    ) -> Terms:
        with torch.no_grad():
            fakes = self.generate(labels, generator)
        real, fake = self.score(torch.cat([images, fakes]), torch.cat([labels, labels])).chunk(2)
        wasserstein = real.mean() - fake.mean()
        # In float32: the penalty is differentiated twice.
        whole = torch.rand(
            len(images) * self.processes.world_size,
            1,
            1,
            1,
            generator=generator,
            device=images.device,
        )
        penalty = gradient_penalty(
            lambda points: self.discriminator(points, labels),
            real=images,
            fake=fakes,
            weights=self.processes.local_shard(whole),
        )
        loss = -wasserstein + self.config.gp_weight * penalty
        gradient = self.update_discriminator(loss)
        return {
            "critic_loss": loss.detach(),
            "wasserstein": wasserstein.detach(),
            "gradient_penalty": penalty.detach(),
            "critic_gradient": gradient,
        } | self.update_generator(labels, step=step, generator=generator)

    def validate(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Terms:
        """Falls behind the training images' estimate where the critic knows these by heart."""
        fakes = self.decode(draw_latents(len(images), self.latent_dim, generator), labels)
        return {
            "wasserstein": self.discriminate(images, labels).mean()
            - self.discriminate(fakes, labels).mean()
        }

    def generator_loss(self, fake_scores: Tensor) -> Tensor:
        return -fake_scores.mean()
