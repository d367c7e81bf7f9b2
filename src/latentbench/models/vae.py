"""The variational autoencoder: a Gaussian encoder, a Gaussian likelihood, the evidence lower bound."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from latentbench.config.experiments import VAEModel
from latentbench.models.adam import Adam
from latentbench.models.initialisation import initialise
from latentbench.models.networks import downsampling_network, upsampling_network
from latentbench.models.objective import Objective, Terms, draw_latents

# With the optimal standard deviation a perfect reconstruction would have infinite likelihood; an eighth of the
# step between two of the 256 levels is as fine as 8-bit images can tell.
SMALLEST_VARIANCE = (2 / 255 / 8) ** 2


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, I)) per image, in nats (Kingma & Welling, 2014, appendix B).

    Both (batch, latent_dim); the result (batch,).
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def gaussian_nll(squared_error: Tensor, variance: Tensor, *, dimensions: int) -> Tensor:
    """-log N(x; x̂, variance · I) per image, in nats, its constant kept.

    `squared_error` (batch,) is ‖x - x̂‖²; `variance` is a scalar in squared units of [-1, 1].
    """
    return 0.5 * (dimensions * (math.log(2 * math.pi) + variance.log()) + squared_error / variance)


class VAE(Objective):
    """Kingma & Welling (2014), equation 10, with β of Higgins et al. (2017) on the KL term."""

    terms = ("loss", "reconstruction", "kl", "mse")

    def __init__(self, config: VAEModel, *, image_size: int, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.latent_dim = config.latent_dim
        shape = {"image_size": image_size, "channels": channels, "width": config.width}
        self.encoder = downsampling_network(2 * config.latent_dim, **shape, batch_norm=True)
        self.decoder = upsampling_network(config.latent_dim, **shape)
        initialise(self.encoder, "dcgan", generator)
        initialise(self.decoder, "dcgan", generator)

    def make_optimizers(self) -> None:
        config = self.config
        self.optimizers["autoencoder"] = Adam(
            self.parameters(), learning_rate=config.learning_rate, beta1=config.beta1, beta2=config.beta2
        )

    def step(self, images: Tensor, *, step: int, generator: torch.Generator) -> Terms:  # noqa: ARG002
        with self.autocast():
            mean, log_variance = self.encoder(images).float().chunk(2, dim=1)
            noise = draw_latents(len(images), self.latent_dim, generator)
            reconstructions = self.decoder(mean + noise * (0.5 * log_variance).exp()).float()

        squared_error = (images - reconstructions).square().sum(dim=(1, 2, 3))
        dimensions = images[0].numel()
        mse = squared_error.detach().mean() / dimensions
        reconstruction = gaussian_nll(squared_error, self._variance(mse), dimensions=dimensions).mean()
        kl = gaussian_kl(mean, log_variance).mean()
        loss = reconstruction + self.config.kl_weight * kl

        loss.backward()
        self.optimizers["autoencoder"].step()
        return {
            "loss": loss.detach(),
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
            "mse": mse,
        }

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def encode(self, images: Tensor) -> Tensor:
        """The means (batch, latent_dim) of the codes' distributions."""
        mean: Tensor = self.encoder(images).chunk(2, dim=1)[0]
        return mean

    def decode(self, latents: Tensor) -> Tensor:
        images: Tensor = self.decoder(latents)
        return images

    def _variance(self, mse: Tensor) -> Tensor:
        """The likelihood's variance. Its optimum is the mean squared error (Rybkin et al., 2021, equation 4)."""
        if self.config.decoder_std is None:
            return mse.clamp(min=SMALLEST_VARIANCE)
        return torch.full_like(mse, self.config.decoder_std**2)
