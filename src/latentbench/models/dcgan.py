"""The game between a generator and a discriminator, with batch norm in both where they are convolutional."""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.config.models import CGANModel, DCGANModel
from latentbench.models.gan import GAN
from latentbench.models.gan_losses import calls_real, discriminator_loss, generator_loss
from latentbench.models.networks import Shape
from latentbench.models.objective import Terms, draw_latents


class DCGAN(GAN):
    """Goodfellow et al. (2014), algorithm 1, with the networks of Radford et al. (2016) unless others are named.

    With labels it is the game of Mirza & Osindero (2014), equation 2.
    """

    terms = (
        "discriminator_loss",
        "generator_loss",
        "accuracy_real",
        "accuracy_fake",
        "discriminator_gradient",
        "generator_gradient",
    )
    batch_norm = True

    def __init__(
        self, config: DCGANModel | CGANModel, shape: Shape, *, generator: torch.Generator
    ) -> None:
        super().__init__(config, shape, generator=generator)
        self.config = config

    def step(
        self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator
    ) -> Terms:
        kind = self.config.loss
        fakes = self.generate(labels, generator)
        # Real and fake go through apart, so that batch norm sees each by itself.
        real, fake = self.score(images, labels), self.score(fakes.detach(), labels)
        loss = discriminator_loss(kind, real=real, fake=fake, smoothing=self.config.label_smoothing)
        gradient = self.update_discriminator(loss)
        return {
            "discriminator_loss": loss.detach(),
            "accuracy_real": calls_real(kind, real.detach()).float().mean(),
            "accuracy_fake": 1 - calls_real(kind, fake.detach()).float().mean(),
            "discriminator_gradient": gradient,
        } | self.update_generator(labels, step=step, generator=generator, images=fakes)

    def validate(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Terms:
        fakes = self.decode(draw_latents(len(images), self.latent_dim, generator), labels)
        real, fake = (
            calls_real(self.config.loss, self.discriminate(each, labels))
            for each in (images, fakes)
        )
        return {"accuracy_real": real.float().mean(), "accuracy_fake": 1 - fake.float().mean()}

    def generator_loss(self, fake_scores: Tensor) -> Tensor:
        return generator_loss(self.config.loss, fake_scores)
