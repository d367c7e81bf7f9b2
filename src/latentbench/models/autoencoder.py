"""Encoder-decoder objectives and the simplest of them, the deterministic autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentbench.config.models import AutoencoderModel, DecoderModel
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
        config: DecoderModel,
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
    """Minimizes the squared error of the reconstruction (Hinton & Salakhutdinov, 2006).

    With `code_penalty` β or `decoder_weight_decay` λ it is the regularized autoencoder RAE-L2
    (Ghosh et al., 2020, section 3): squared error + β · ½‖z‖² + λ · ‖θ‖², with the codes z
    and the decoder's parameters θ. The terms `code_norm` and `decoder_norm` are ½‖z‖² and ‖θ‖².
    """

    def __init__(
        self, config: AutoencoderModel, shape: Shape, *, generator: torch.Generator
    ) -> None:
        super().__init__(config, shape, code_dim=config.latent_dim, generator=generator)
        self.norm_weights: dict[str, float] = {}
        if config.code_penalty:
            self.norm_weights["code_norm"] = config.code_penalty
        if config.decoder_weight_decay:
            self.norm_weights["decoder_norm"] = config.decoder_weight_decay
        self.terms = ("loss", "mse", *self.norm_weights, "gradient")

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
            codes = self.encoder(images, labels)
            outputs = self.decoder(codes, labels).float()
        # The sum over pixels, as in a likelihood, so that a VAE's learning rates fit.
        error = (images - outputs.tanh()).square().sum(dim=(1, 2, 3)).mean()
        loss, terms = error, {"mse": error.detach() / images[0].numel()}
        for name, weight in self.norm_weights.items():
            norm = self._decoder_norm() if name == "decoder_norm" else _code_norm(codes)
            loss = loss + weight * norm
            terms[name] = norm.detach()
        gradient = self.minimize(loss, step=step)
        return {"loss": loss.detach(), "gradient": gradient} | terms

    def validate(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,  # noqa: ARG002
    ) -> Terms:
        """Return the mean squared error of the reconstructions."""
        return {"mse": (images - self.decode(self.encode(images, labels), labels)).square().mean()}

    def _decoder_norm(self) -> Tensor:
        """Return the sum of the squares of the decoder's parameters, a scalar."""
        squares = [parameter.square().sum() for parameter in self.decoder.parameters()]
        return torch.stack(squares).sum()


def _code_norm(codes: Tensor) -> Tensor:
    """Return the mean of ½‖z‖² over codes (batch, latent_dim), a scalar."""
    return 0.5 * codes.float().square().sum(dim=1).mean()
