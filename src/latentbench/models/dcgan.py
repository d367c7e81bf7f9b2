"""The GAN game of generator and discriminator, with batch norm in convolutional networks."""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.config.models import CGANModel, DCGANModel
from latentbench.models.augmentation import Augmentation
from latentbench.models.gan import GAN
from latentbench.models.gan_losses import (
    classified_as_real,
    discriminator_loss,
    generator_loss,
    r1_penalty,
    real_threshold,
)
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import Terms, draw_latents


class DCGAN(GAN):
    """Goodfellow et al. (2014), algorithm 1; by default with the networks of Radford et al. (2016).

    With labels it is the conditional GAN of Mirza & Osindero (2014), equation 2. With `r1_weight`
    γ, the discriminator's loss has γ/2 · E‖∇s(x)‖² of its scores s(x) of augmented real images
    (Mescheder et al., 2018, equation 9), at every `r1_interval`th step that many times as large
    (Karras et al., 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 3.1).
    """

    terms: tuple[str, ...] = (
        "discriminator_loss",
        "generator_loss",
        "accuracy_real",
        "accuracy_fake",
        "discriminator_gradient",
        "generator_gradient",
    )
    batch_norm = True
    pooling = "sum"  # Miyato et al. (2018), table 4

    def __init__(
        self, config: DCGANModel | CGANModel, shape: Shape, *, generator: torch.Generator
    ) -> None:
        super().__init__(config, shape, generator=generator)
        self.config = config
        self.augmentation = Augmentation(
            config.augment, target=config.augment_target, ramp_images=config.augment_ramp_images
        )
        if config.r1_weight:
            self.terms = (*self.terms, "r1_penalty")
        if config.augment_target is not None:
            self.terms = (*self.terms, "augment_probability")

    def step(
        self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator
    ) -> Terms:
        """Update the discriminator, then perhaps the generator; see Objective.step."""
        kind = self.config.loss
        fakes = self.generate(labels, generator)
        # Separate passes, so that batch norm has separate statistics of real and generated images.
        images = self.augment(images, generator)
        real = self.score(images, labels)
        fake = self.score(self.augment(fakes.detach(), generator), labels)
        loss = discriminator_loss(kind, real=real, fake=fake, smoothing=self.config.label_smoothing)
        terms: Terms = {}
        if self.config.r1_weight and step % self.config.r1_interval == 0:
            # In float32, without autocast: it is differentiated twice.
            penalty = r1_penalty(lambda real: self.discriminator(real, labels), images)
            loss = loss + self.config.r1_interval * self.config.r1_weight / 2 * penalty
            terms["r1_penalty"] = penalty.detach()
        gradient = self.update_discriminator(loss)
        self.augmentation.adapt(real - real_threshold(kind), step=step, processes=self.processes)
        terms |= {
            "discriminator_loss": loss.detach(),
            "accuracy_real": classified_as_real(kind, real.detach()).float().mean(),
            "accuracy_fake": 1 - classified_as_real(kind, fake.detach()).float().mean(),
            "discriminator_gradient": gradient,
        }
        if self.augmentation.probability is not None:
            terms["augment_probability"] = self.augmentation.probability.clone()
        return terms | self.update_generator(labels, step=step, generator=generator, images=fakes)

    def validate(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Terms:
        """Return the discriminator's accuracies on these images and as many generated ones."""
        fakes = self.decode(draw_latents(len(images), self.latent_dim, generator), labels)
        real = classified_as_real(self.config.loss, self.discriminate(images, labels))
        fake = classified_as_real(self.config.loss, self.discriminate(fakes, labels))
        return {"accuracy_real": real.float().mean(), "accuracy_fake": 1 - fake.float().mean()}

    def generator_loss(self, fake_scores: Tensor) -> Tensor:
        """Return the loss of the configured kind, a scalar."""
        return generator_loss(self.config.loss, fake_scores)
