"""What the adversarial objectives share: a generator with averaged weights, a discriminator, and whose turn it is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from latentbench.config.models import GANModel
from latentbench.models.initialization import apply_spectral_norm, initialize_weights
from latentbench.models.networks import Decoder, Encoder, Shape
from latentbench.models.objective import Objective, Terms, frozen, use_batch_stats
from latentbench.runtime.adam import Adam
from latentbench.runtime.ema import update_ema


class GAN(Objective):
    """Subclasses say how the discriminator learns and how the generator is scored.

    Each step is one of the discriminator; the generator takes none, one or several after it.
    """

    # Whether the discriminator has batch norm, where it is convolutional.
    batch_norm: bool

    def __init__(self, config: GANModel, shape: Shape, *, generator: torch.Generator) -> None:
        super().__init__()
        self.base_config = config
        self.latent_dim = config.latent_dim
        self.generator = Decoder(config, shape)
        batch_norm = (
            self.batch_norm
            and config.architecture != "fully_connected"
            and not config.spectral_norm
        )
        self.discriminator = Encoder(1, config, shape, batch_norm=batch_norm)
        initialize_weights(self.generator, config.initialization, generator)
        initialize_weights(self.discriminator, config.initialization, generator)
        if config.spectral_norm:
            apply_spectral_norm(self.discriminator, generator)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False).eval()

    def make_optimizers(self) -> None:
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
        return {"generator": self.averaged, "discriminator": self.discriminator}

    def compilable(self) -> list[nn.Module]:
        # Not the discriminator: compiled code cannot be differentiated twice, as a gradient penalty is.
        return [self.generator]

    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        images: Tensor = self.averaged(latents, labels).tanh()
        return images

    def discriminate(self, images: Tensor, labels: Tensor) -> Tensor:
        """Scores as in training: where there is batch norm, by the statistics of this batch, which should hold
        either real or generated images. Running statistics mix both, and fit neither."""
        with use_batch_stats(self.discriminator):
            scores: Tensor = self.discriminator(images, labels).flatten()
        return scores

    def train(self, mode: bool = True) -> GAN:
        """The averaged generator is only ever used, never trained."""
        super().train(mode)
        self.averaged.eval()
        return self

    def generate(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Fresh images of the generator in training, float32, one per label."""
        with self.autocast():
            images: Tensor = self.generator(self.draw_latents(len(labels), generator), labels)
        return images.float().tanh()

    def score(self, images: Tensor, labels: Tensor) -> Tensor:
        with self.autocast():
            scores: Tensor = self.discriminator(images, labels).flatten()
        return scores.float()

    def update_discriminator(self, loss: Tensor) -> Tensor:
        """Step along the gradient, whose norm is returned."""
        loss.backward()
        return self.optimizers["discriminator"].step()

    def update_generator(
        self, labels: Tensor, *, step: int, generator: torch.Generator, images: Tensor | None = None
    ) -> Terms:
        """The generator's turn after the discriminator's `step`, if it has one.

        `images` are the generator's own of this step, where they can serve it too. Returns the terms of its last
        update, none where it had no turn.
        """
        config = self.base_config
        turns, remainder = divmod(step + 1, config.n_critic)
        if remainder:
            return {}
        terms: Terms = {}
        for update in range((turns - 1) * config.n_generator, turns * config.n_generator):
            fakes = self.generate(labels, generator) if images is None else images
            images = None
            with frozen(self.discriminator):
                loss = self.generator_loss(self.score(fakes, labels))
                loss.backward()
            gradient = self.optimizers["generator"].step()
            update_ema(self.averaged, self.generator, decay=config.ema_decay, updates=update)
            terms = {"generator_loss": loss.detach(), "generator_gradient": gradient}
        return terms

    def generator_loss(self, fake_scores: Tensor) -> Tensor:
        raise NotImplementedError
