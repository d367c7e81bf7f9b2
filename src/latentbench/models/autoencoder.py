"""Encoders and decoders trained together, and the simplest such objective: the deterministic autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentbench.config.models import AutoencoderModel, VAEModel
from latentbench.models.initialization import apply_spectral_norm, initialize_weights
from latentbench.models.networks import Decoder, Encoder, Shape
from latentbench.models.objective import Objective, Terms
from latentbench.runtime.adam import Adam


class EncoderDecoder(Objective):
    """Two networks with one optimizer. Subclasses say what the encoder gives and what is minimized."""

    def __init__(
        self,
        config: AutoencoderModel | VAEModel,
        shape: Shape,
        *,
        code_dim: int,
        generator: torch.Generator,
    ) -> None:
        """The encoder gives `code_dim` numbers per image."""
        super().__init__()
        self.base_config = config
        self.latent_dim = config.latent_dim
        self.encoder = Encoder(code_dim, config, shape, batch_norm=True)
        self.decoder = Decoder(config, shape)
        initialize_weights(self.encoder, config.initialization, generator)
        initialize_weights(self.decoder, config.initialization, generator)
        if config.spectral_norm:
            apply_spectral_norm(self.encoder, generator)

    def make_optimizers(self) -> None:
        config = self.base_config
        self.optimizers["autoencoder"] = Adam(
            self.parameters(),
            learning_rate=config.learning_rate,
            beta1=config.beta1,
            beta2=config.beta2,
        )

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def encode(self, images: Tensor, labels: Tensor) -> Tensor:
        """The first latent_dim numbers that the encoder gives: codes, or the means of their distributions."""
        codes: Tensor = self.encoder(images, labels)[:, : self.latent_dim]
        return codes

    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        images: Tensor = self.decoder(latents, labels).tanh()
        return images

    def minimize(self, loss: Tensor) -> Tensor:
        """Step along the gradient, whose norm is returned."""
        loss.backward()
        return self.optimizers["autoencoder"].step()


class Autoencoder(EncoderDecoder):
    """Squared error of the reconstruction, nothing else (Hinton & Salakhutdinov, 2006)."""

    terms = ("loss", "mse", "gradient")

    def __init__(
        self, config: AutoencoderModel, shape: Shape, *, generator: torch.Generator
    ) -> None:
        super().__init__(config, shape, code_dim=config.latent_dim, generator=generator)

    def step(
        self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator
    ) -> Terms:  # noqa: ARG002
        with self.autocast():
            outputs = self.decoder(self.encoder(images, labels), labels).float()
        # Summed over pixels, as a likelihood is, so that learning rates mean the same as a VAE's.
        loss = (images - outputs.tanh()).square().sum(dim=(1, 2, 3)).mean()
        gradient = self.minimize(loss)
        return {
            "loss": loss.detach(),
            "mse": loss.detach() / images[0].numel(),
            "gradient": gradient,
        }

    def validate(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Terms:  # noqa: ARG002
        return {"mse": (images - self.decode(self.encode(images, labels), labels)).square().mean()}
