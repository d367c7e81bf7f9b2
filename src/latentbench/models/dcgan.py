"""DCGAN: the non-saturating game between convolutional networks with batch norm."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from latentbench.models.gan import GAN
from latentbench.models.objective import Terms


class DCGAN(GAN):
    """Radford et al. (2016) with the non-saturating loss of Goodfellow et al. (2014), section 3."""

    terms = ("discriminator_loss", "generator_loss", "accuracy_real", "accuracy_fake")
    batch_norm = True
    scheme = "dcgan"

    def step(self, images: Tensor, *, step: int, generator: torch.Generator) -> Terms:
        fakes = self.generate(len(images), generator)

        # Real and fake go through apart, so that batch norm sees each by itself. -log D = softplus(-score).
        real_scores = self.score(images)
        fake_scores = self.score(fakes.detach())
        discriminator_loss = softplus(-real_scores).mean() + softplus(fake_scores).mean()
        self.update_discriminator(discriminator_loss)

        generator_loss = self.update_generator(fakes, updates=step)
        return {
            "discriminator_loss": discriminator_loss.detach(),
            "generator_loss": generator_loss,
            "accuracy_real": (real_scores.detach() > 0).float().mean(),
            "accuracy_fake": (fake_scores.detach() < 0).float().mean(),
        }

    def generator_loss(self, fake_scores: Tensor) -> Tensor:
        return softplus(-fake_scores).mean()
