"""What the adversarial objectives share: a generator with averaged weights, a discriminator, their optimizers."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from latentbench.config.experiments import GANModel
from latentbench.models.adam import Adam
from latentbench.models.averaging import update_average
from latentbench.models.initialisation import initialise
from latentbench.models.networks import downsampling_network, upsampling_network
from latentbench.models.objective import Objective, draw_latents, frozen


class GAN(Objective):
    """Subclasses say how the discriminator learns and how the generator is scored."""

    # Whether the discriminator has batch norm, and how weights begin.
    batch_norm: bool
    scheme: str

    def __init__(self, config: GANModel, *, image_size: int, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.base_config = config
        self.latent_dim = config.latent_dim
        shape = {"image_size": image_size, "channels": channels, "width": config.width}
        self.generator = upsampling_network(config.latent_dim, **shape)
        self.discriminator = downsampling_network(1, **shape, batch_norm=self.batch_norm)
        initialise(self.generator, self.scheme, generator)
        initialise(self.discriminator, self.scheme, generator)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False).eval()

    def make_optimizers(self) -> None:
        config = self.base_config
        for name, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            self.optimizers[name] = Adam(
                network.parameters(),
                learning_rate=config.learning_rate,
                beta1=config.beta1,
                beta2=config.beta2,
            )

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.averaged, "discriminator": self.discriminator}

    def compilable(self) -> list[nn.Module]:
        # Not the discriminator: compiled code cannot be differentiated twice, as a gradient penalty is.
        return [self.generator]

    def decode(self, latents: Tensor) -> Tensor:
        images: Tensor = self.averaged(latents)
        return images

    def discriminate(self, images: Tensor) -> Tensor:
        scores: Tensor = self.discriminator(images)
        return scores

    def train(self, mode: bool = True) -> GAN:
        """The averaged generator is only ever used, never trained."""
        super().train(mode)
        self.averaged.eval()
        return self

    def generate(self, number: int, generator: torch.Generator) -> Tensor:
        """Fresh images of the generator in training, float32."""
        with self.autocast():
            images: Tensor = self.generator(draw_latents(number, self.latent_dim, generator))
        return images.float()

    def score(self, images: Tensor) -> Tensor:
        with self.autocast():
            scores: Tensor = self.discriminator(images)
        return scores.float()

    def update_discriminator(self, loss: Tensor) -> None:
        loss.backward()
        self.optimizers["discriminator"].step()

    def update_generator(self, images: Tensor, *, updates: int) -> Tensor:
        """Make the generator's `images` more real to the discriminator; `updates` were made before this one."""
        with frozen(self.discriminator):
            loss = self.generator_loss(self.score(images))
            loss.backward()
        self.optimizers["generator"].step()
        update_average(self.averaged, self.generator, decay=self.base_config.ema_decay, updates=updates)
        return loss.detach()

    def generator_loss(self, fake_scores: Tensor) -> Tensor:
        raise NotImplementedError
