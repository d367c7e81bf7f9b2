"""Settings of models that map images to codes: autoencoders and VAEs."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from latentbench.config.base import Count
from latentbench.config.models.base import DecoderModel, PriorKind


class EncoderModel(DecoderModel):
    """Settings of every model that maps images to codes."""

    has_encoder: ClassVar[bool] = True
    learns_codes: ClassVar[bool] = True
    prior: PriorKind = Field(
        default="mixture",
        description="The distribution that latents are drawn from: N(0, I), or a Gaussian or a "
        "mixture of Gaussians that is fitted to the codes of training images after training "
        "(Ghosh et al., 2020). It does not change the training.",
    )
    prior_components: int = Field(
        default=30,
        ge=1,
        le=1000,
        description="Gaussians of the mixture; fewer where 10,000 images are too few for so many.",
    )

    @property
    def prior_kind(self) -> PriorKind:
        """The distribution that latents are drawn from."""
        return self.prior


class AutoencoderModel(EncoderModel):
    """Deterministic autoencoder (Hinton & Salakhutdinov, 2006): squared error.

    With `code_penalty` and `decoder_weight_decay` it is RAE-L2 (Ghosh et al., 2020).
    """

    has_prior: ClassVar[bool] = False
    walkthrough_passes: ClassVar[int] = 3
    name: Literal["autoencoder"]
    learning_rate: float = Field(default=1e-3, gt=0, description="Learning rate of Adam.")
    code_penalty: float = Field(
        default=0.0,
        ge=0,
        description="β of RAE-L2 (Ghosh et al., 2020): the weight of ½‖z‖², which keeps codes "
        "near 0. The squared error is summed over pixels in [-1, 1].",
    )
    decoder_weight_decay: float = Field(
        default=0.0,
        ge=0,
        description="λ of RAE-L2: the weight of the squared norm of the decoder's parameters.",
    )


class VAEModel(EncoderModel):
    """Variational autoencoder (Kingma & Welling, 2014)."""

    walkthrough_passes: ClassVar[int] = 3
    name: Literal["vae"]
    latent_dim: int = Field(default=64, ge=1, le=1024)
    kl_weight: float = Field(
        default=1.0, ge=0, description="β of the β-VAE (Higgins et al., 2017); 1 is the ELBO."
    )
    kl_warmup_steps: Count = Field(
        default=0,
        ge=0,
        description="Steps in which the KL weight rises from 0 (Bowman et al., 2016).",
    )
    likelihood: Literal["gaussian", "optimal_gaussian", "bernoulli"] = Field(
        default="gaussian",
        description="`optimal_gaussian` has the maximum-likelihood standard deviation (Rybkin et "
        "al., 2021); `bernoulli` is the continuous Bernoulli (Loaiza-Ganem & Cunningham, 2019).",
    )
    decoder_std: float | None = Field(
        default=None,
        gt=0,
        description="Standard deviation of the Gaussian likelihood for images in [-1, 1]; null is "
        "1. Smaller values give sharper reconstructions and codes farther from the prior.",
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="Learning rate of Adam.")

    @model_validator(mode="after")
    def _check_decoder_std(self) -> VAEModel:
        if self.likelihood != "gaussian" and self.decoder_std is not None:
            raise ValueError(
                f"has decoder_std, which likelihood: {self.likelihood} does not use; remove one of "
                "the two"
            )
        return self
