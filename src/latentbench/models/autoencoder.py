"""Encoder-decoder objectives and the simplest of them, the deterministic autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentbench.config.models import AutoencoderModel, Model
from latentbench.models.networks.architectures import Decoder, Encoder, Shape
from latentbench.models.networks.initialization import apply_spectral_norm, initialize_weights
from latentbench.models.objective import Objective, Terms
from latentbench.runtime.adam import Adam


class EncoderDecoder(Objective):
    """An encoder and a decoder with averaged weights and one optimizer.

    Subclasses define the loss. The encoder returns `code_dim` numbers per image.
    """

    def __init__(
        self,
        config: Model,
        shape: Shape,
        *,
        code_dim: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.base_config = config
        self.latent_dim = config.latent_dim
        self.encoder = Encoder(code_dim, config, shape, batch_norm=True)
        self.decoder = Decoder(config, shape)
        initialize_weights(self.encoder, config.initialization, generator)
        initialize_weights(self.decoder, config.initialization, generator)
        if config.spectral_norm:
            apply_spectral_norm(self.encoder, generator)
        self.average_weights("encoder", "decoder")

    def make_optimizers(self) -> None:
        """Make one Adam for both networks."""
        config = self.base_config
        self.optimizers["autoencoder"] = Adam(
            [*self.encoder.parameters(), *self.decoder.parameters()],
            learning_rate=config.learning_rate,
            beta1=config.beta1,
            beta2=config.beta2,
        )

    def networks(self) -> dict[str, nn.Module]:
        """Return the averaged encoder and decoder."""
        return {name: self.averaged[name] for name in ("encoder", "decoder")}

    def networks_to_compile(self) -> list[nn.Module]:
        """Return the encoder and the decoder in training."""
        return [self.encoder, self.decoder]

    def encode(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return codes (batch, latent_dim), the first outputs of the averaged encoder.

        Of a Gaussian encoder they are the means.
        """
        codes: Tensor = self.averaged["encoder"](images, labels)[:, : self.latent_dim]
        return codes

    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images of the averaged decoder, (batch, channel, height, width) in [-1, 1]."""
        images: Tensor = self.averaged["decoder"](latents, labels).tanh()
        return images

    def minimize(self, loss: Tensor, *, step: int) -> Tensor:
        """Take one optimizer step on the loss and return the norm of the gradient.

        `step` is the number of steps before this one.
        """
        loss.backward()
        gradient = self.optimizers["autoencoder"].step()
        self.update_averages(decay=self.base_config.ema_decay, updates=step)
        return gradient


class Autoencoder(EncoderDecoder):
    """Minimizes the squared error of the reconstruction (Hinton & Salakhutdinov, 2006)."""

    terms = ("loss", "mse", "gradient")

    def __init__(
        self, config: AutoencoderModel, shape: Shape, *, generator: torch.Generator
    ) -> None:
        super().__init__(config, shape, code_dim=config.latent_dim, generator=generator)

    def step(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        step: int,
        generator: torch.Generator,  # noqa: ARG002
    ) -> Terms:
        """Update both networks; see Objective.step."""
        with self.autocast():
            outputs = self.decoder(self.encoder(images, labels), labels).float()
        # The sum over pixels, as in a likelihood, so that a VAE's learning rates fit.
        loss = (images - outputs.tanh()).square().sum(dim=(1, 2, 3)).mean()
        gradient = self.minimize(loss, step=step)
        return {
            "loss": loss.detach(),
            "mse": loss.detach() / images[0].numel(),
            "gradient": gradient,
        }

    def validate(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,  # noqa: ARG002
    ) -> Terms:
        """Return the mean squared error of the reconstructions."""
        return {"mse": (images - self.decode(self.encode(images, labels), labels)).square().mean()}
