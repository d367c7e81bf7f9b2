"""WGAN-GP: a critic, kept 1-Lipschitz by a gradient penalty, for the Wasserstein distance."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latentbench.config.models import WGANGPModel
from latentbench.models.gan import GAN
from latentbench.models.gan_losses import image_gradients
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import Terms, draw_latents


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], *, real: Tensor, fake: Tensor, weights: Tensor
) -> Tensor:
    """Return the mean of (‖∇ critic(x̂)‖₂ - 1)² over interpolated images x̂.

    Gulrajani et al. (2017), equation 3.

    Args:
        critic: Maps images to scores (batch,).
        real: Real images, (batch, channel, height, width).
        fake: Generated images of the same shape.
        weights: The weight of each real image in its x̂, (batch, 1, 1, 1), uniform in [0, 1].
    """
    gradients = image_gradients(critic, torch.lerp(fake, real, weights))
    penalty: Tensor = (torch.linalg.vector_norm(gradients, dim=1) - 1).square().mean()
    return penalty


class WGANGP(GAN):
    """Gulrajani et al. (2017), algorithm 1.

    With augmentation, the critic estimates the distance between augmented images. The penalty then
    acts between augmented real and augmented generated images, where the slope must be 1.
    """

    terms = (
        "critic_loss",
        "wasserstein",
        "gradient_penalty",
        "generator_loss",
        "critic_gradient",
        "generator_gradient",
    )
    # The penalty is defined per image (section 4, "No critic batch normalization").
    batch_norm = False
    pooling = "mean"  # appendix F

    def __init__(self, config: WGANGPModel, shape: Shape, *, generator: torch.Generator) -> None:
        super().__init__(config, shape, generator=generator)
        self.config = config

    def step(
        self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator
    ) -> Terms:
        """Update the critic, then perhaps the generator; see Objective.step."""
        with torch.no_grad():
            fakes = self.augment(self.generate(labels, generator), generator)
            images = self.augment(images, generator)
        real, fake = self.score(torch.cat([images, fakes]), torch.cat([labels, labels])).chunk(2)
        wasserstein = real.mean() - fake.mean()
        penalty = self._gradient_penalty(images, fakes, labels, generator)
        loss = -wasserstein + self.config.gp_weight * penalty
        gradient = self.update_discriminator(loss)
        return {
            "critic_loss": loss.detach(),
            "wasserstein": wasserstein.detach(),
            "gradient_penalty": penalty.detach(),
            "critic_gradient": gradient,
        } | self.update_generator(labels, step=step, generator=generator)

    def validate(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Terms:
        """Return the critic's estimate of the Wasserstein distance to these images.

        A critic that has memorized the training images gives a smaller value for test images.
        """
        fakes = self.decode(draw_latents(len(images), self.latent_dim, generator), labels)
        real_scores = self.discriminate(images, labels)
        return {"wasserstein": real_scores.mean() - self.discriminate(fakes, labels).mean()}

    def generator_loss(self, fake_scores: Tensor) -> Tensor:
        """Return the negative mean score, a scalar."""
        return -fake_scores.mean()

    def _gradient_penalty(
        self, images: Tensor, fakes: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the penalty in float32, without autocast: it is differentiated twice."""
        size = (len(images) * self.processes.world_size, 1, 1, 1)
        weights = torch.rand(size, generator=generator, device=images.device)
        return gradient_penalty(
            lambda points: self.discriminator(points, labels),
            real=images,
            fake=fakes,
            weights=self.processes.local_shard(weights),
        )
