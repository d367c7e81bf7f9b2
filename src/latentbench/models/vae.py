"""The variational autoencoder: a Gaussian encoder, a likelihood, the evidence lower bound."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from latentbench.config.models import VAEModel
from latentbench.models.autoencoder import EncoderDecoder
from latentbench.models.likelihoods import (
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    bits_per_dimension,
)
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import Terms, draw_latents
from latentbench.runtime.device import to_float64
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) ‖ N(0, I)) per image in nats, (batch,).

    Both arguments are (batch, latent_dim). Kingma & Welling (2014), appendix B.
    """
    return gaussian_kl_by_dimension(mean, log_variance).sum(dim=1)


def gaussian_kl_by_dimension(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the contribution of each latent dimension to `gaussian_kl`, (batch, latent_dim)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


class VAE(EncoderDecoder):
    """Kingma & Welling (2014), equation 10, with β of Higgins et al. (2017) on the KL term.

    `loss` is minimized and has the KL weight of the step. `bits_per_dimension` is of the evidence
    lower bound itself, with KL weight 1.
    """

    terms = ("loss", "reconstruction", "kl", "mse", "bits_per_dimension", "gradient")

    def __init__(self, config: VAEModel, shape: Shape, *, generator: torch.Generator) -> None:
        super().__init__(config, shape, code_dim=2 * config.latent_dim, generator=generator)
        self.config = config
        self.likelihood = _likelihood(config)

    def step(
        self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator
    ) -> Terms:
        """Update both networks; see Objective.step."""
        noise = self.draw_latents(len(images), generator)
        networks = {"encoder": self.encoder, "decoder": self.decoder}
        terms = self._elbo_terms(images, labels, noise, networks, self.processes)
        loss = terms["reconstruction"] + self.kl_weight(step) * terms["kl"]
        gradient = self.minimize(loss, step=step)
        detached = {name: term.detach() for name, term in terms.items()}
        return {"loss": loss.detach(), "gradient": gradient} | detached

    def validate(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Terms:
        """Return the terms of the evidence lower bound, with one draw per code."""
        noise = draw_latents(len(images), self.latent_dim, generator)
        return self._elbo_terms(images, labels, noise, self.networks())

    def draw_weighted_codes(
        self, images: Tensor, labels: Tensor, noise: Tensor, *, training_mse: float
    ) -> tuple[Tensor, Tensor]:
        """Return codes and their log-ratios; see HasLikelihood.

        The codes are μ + σ · noise (Kingma & Welling, 2014, equation 10).
        """
        mean, log_variance = self.posterior(images, labels)
        codes = mean[:, None] + noise * (0.5 * log_variance).exp()[:, None]
        draws = noise.shape[1]
        labels, images = (part.repeat_interleave(draws, dim=0) for part in (labels, images))
        outputs = self.averaged["decoder"](codes.flatten(0, 1), labels).float()
        nll = self.likelihood.fixed(training_mse).nll(outputs, images).view(noise.shape[:2])
        log_q = -0.5 * (noise.square() + log_variance[:, None] + math.log(2 * math.pi))
        return codes, -to_float64(nll) - to_float64(log_q).sum(dim=2)

    def _elbo_terms(
        self,
        images: Tensor,
        labels: Tensor,
        noise: Tensor,
        networks: Mapping[str, nn.Module],
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> Terms:
        """Return the reconstruction and KL terms of the evidence lower bound, MSE and bits.

        `noise` (batch, latent_dim), of N(0, I), draws one code per image.
        """
        with self.autocast():
            mean, log_variance = _split(networks["encoder"](images, labels))
            latents = mean + noise * (0.5 * log_variance).exp()
            outputs = networks["decoder"](latents, labels).float()
        reconstruction = self.likelihood.nll(outputs, images, processes=processes).mean()
        kl = gaussian_kl(mean, log_variance).mean()
        with torch.no_grad():
            mse = (images - self.likelihood.mean(outputs)).square().mean()
            bits = bits_per_dimension(reconstruction + kl, dimensions=images[0].numel())
        return {"reconstruction": reconstruction, "kl": kl, "mse": mse, "bits_per_dimension": bits}

    def posterior(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means and log-variances of the codes, both (batch, latent_dim)."""
        return _split(self.averaged["encoder"](images, labels))

    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the likelihood's mean, (batch, channel, height, width) in [-1, 1]."""
        return self.likelihood.mean(self.averaged["decoder"](latents, labels))

    def kl_weight(self, step: int) -> float:
        """Return β at a step: linear from 0 over kl_warmup_steps (Bowman et al., 2016, 3.1)."""
        warmup_steps = self.config.kl_warmup_steps
        fraction = min(1.0, step / warmup_steps) if warmup_steps else 1.0
        return self.config.kl_weight * fraction


def _split(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means and the log-variances, the two halves of the encoder's outputs."""
    mean, log_variance = outputs.float().chunk(2, dim=1)
    return mean, log_variance


def _likelihood(config: VAEModel) -> Likelihood:
    match config.likelihood:
        case "bernoulli":
            return ContinuousBernoulli()
        case "optimal_gaussian":
            return Gaussian(None)
        case "gaussian":
            return Gaussian(config.decoder_std or 1.0)
