"""The base of adversarial objectives: generator, discriminator, EMA and update schedule."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentbench.config.models import GANModel
from latentbench.models.augmentation import Augmentation
from latentbench.models.networks.architectures import Decoder, Discriminator, Shape
from latentbench.models.networks.initialization import apply_spectral_norm, initialize_weights
from latentbench.models.networks.layers import Pooling
from latentbench.models.objective import Objective, Terms, frozen, use_batch_stats, use_stats_of
from latentbench.runtime.adam import Adam


class GAN(Objective):
    """A generator with averaged weights and a discriminator.

    Subclasses define the losses of both. Each step updates the discriminator once. After every
    n_critic steps, the generator is updated n_generator times.
    """

    # Whether a convolutional or residual discriminator has batch norm.
    batch_norm: bool
    # How the discriminator of a `resnet` pools its last feature maps.
    pooling: Pooling

    def __init__(self, config: GANModel, shape: Shape, *, generator: torch.Generator) -> None:
        super().__init__()
        self.base_config = config
        self.latent_dim = config.latent_dim
        self.generator = Decoder(config, shape)
        batch_norm = (
            self.batch_norm
            and config.architecture in ("convolutional", "residual")
            and not config.spectral_norm
            and not config.has_r1_penalty
        )
        self.discriminator = Discriminator(
            config, shape, batch_norm=batch_norm, pooling=self.pooling
        )
        initialize_weights(self.generator, config.initialization, generator)
        initialize_weights(self.discriminator, config.initialization, generator)
        if config.spectral_norm:
            apply_spectral_norm(self.discriminator, generator)
        self.average_weights("generator")
        self.augmentation = Augmentation(config.augment)

    def make_optimizers(self) -> None:
        """Make one Adam for each network."""
        config = self.base_config
        learning_rates = {
            "generator": config.learning_rate,
            "discriminator": config.discriminator_learning_rate or config.learning_rate,
        }
        for name, learning_rate in learning_rates.items():
            self.optimizers[name] = Adam(
                getattr(self, name).parameters(),
                learning_rate=learning_rate,
                beta1=config.beta1,
                beta2=config.beta2,
            )

    def networks(self) -> dict[str, nn.Module]:
        """Return the averaged generator and the discriminator."""
        return {"generator": self.averaged["generator"], "discriminator": self.discriminator}

    def networks_to_compile(self) -> list[nn.Module]:
        """Return the generator in training.

        Compiled code has no second derivative, which a gradient penalty on the discriminator needs.
        """
        return [self.generator]

    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images of the averaged generator, (batch, channel, height, width) in [-1, 1]."""
        images: Tensor = self.averaged["generator"](latents, labels).tanh()
        return images

    def discriminate(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        reference: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return scores (batch,) as in training.

        Batch norm uses the statistics of this batch, which should hold either real or generated
        images only, or of the images and labels of `reference`. The running statistics average over
        real and generated images and fit neither.
        """
        if reference is None:
            stats = use_batch_stats(self.discriminator)
        else:
            stats = use_stats_of(self.discriminator, *reference)
        with stats:
            scores: Tensor = self.discriminator(images, labels).flatten()
        return scores

    def generate(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return one image per label from the generator in training.

        They are float32, (batch, channel, height, width), in [-1, 1].
        """
        with self.autocast():
            images: Tensor = self.generator(self.draw_latents(len(labels), generator), labels)
        return images.float().tanh()

    def score(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the discriminator's float32 scores (batch,)."""
        with self.autocast():
            scores: Tensor = self.discriminator(images, labels).flatten()
        return scores.float()

    def augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return images as the discriminator sees them in training; see Augmentation."""
        augmented: Tensor = self.augmentation(images, generator=generator, processes=self.processes)
        return augmented

    def update_discriminator(self, loss: Tensor) -> Tensor:
        """Take one optimizer step on the loss and return the norm of the gradient."""
        loss.backward()
        return self.optimizers["discriminator"].step()

    def update_generator(
        self, labels: Tensor, *, step: int, generator: torch.Generator, images: Tensor | None = None
    ) -> Terms:
        """Update the generator if the schedule has updates after this step.

        Args:
            labels: The labels of the images to generate, (batch, num_labels).
            step: The number of discriminator updates before this step.
            generator: The source of random numbers.
            images: Images that the generator made in this step, for its first update.

        Returns:
            The terms of the last update, or none without updates.
        """
        config = self.base_config
        rounds, remainder = divmod(step + 1, config.n_critic)
        if remainder:
            return {}
        terms: Terms = {}
        for update in range((rounds - 1) * config.n_generator, rounds * config.n_generator):
            fakes = self.generate(labels, generator) if images is None else images
            images = None
            with frozen(self.discriminator):
                scores = self.score(self.augment(fakes, generator), labels)
                loss = self.generator_loss(scores)
                loss.backward()
            gradient = self.optimizers["generator"].step()
            self.update_averages(decay=config.ema_decay, updates=update)
            terms = {"generator_loss": loss.detach(), "generator_gradient": gradient}
        return terms

    def generator_loss(self, fake_scores: Tensor) -> Tensor:
        """Return the generator's loss, a scalar, from the scores (batch,) of its images."""
        raise NotImplementedError
