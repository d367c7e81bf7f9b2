"""Settings of GANs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from latentbench.config.base import Count
from latentbench.config.models.base import (
    INITIALIZATION,
    Architecture,
    Condition,
    DecoderModel,
    Initialization,
    by_architecture,
)

AugmentationKind = Literal["color", "translation", "cutout"]


class GANModel(DecoderModel):
    """Settings of every GAN."""

    discriminator_learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the discriminator or critic, if it differs (TTUR, Heusel et "
        "al., 2017); null is `learning_rate`.",
    )
    discriminator_width: Count | None = Field(
        default=None,
        ge=4,
        description="`width` of the discriminator or critic, if it differs; null is `width`.",
    )
    projection_discriminator: bool = Field(
        default=False,
        description="Whether the label enters the discriminator or critic by an inner product with "
        "its features (Miyato & Koyama, 2018), instead of being concatenated to the image.",
    )
    n_critic: Count = Field(
        default=1, ge=1, description="Steps of the discriminator or critic per generator step."
    )
    n_generator: Count = Field(
        default=1, ge=1, description="Steps of the generator per discriminator or critic step."
    )
    augment: list[AugmentationKind] = Field(
        default=[],
        description="How images are changed at random before the discriminator or critic sees "
        "them in training, real and generated alike (Zhao et al., 2020): `color`, `translation`, "
        "`cutout`. It helps where training images are few.",
    )

    @model_validator(mode="after")
    def _check_discriminator_width(self) -> GANModel:
        if self.architecture == "fully_connected" and self.discriminator_width is not None:
            raise ValueError(
                f"has discriminator_width: {self.discriminator_width}, which a fully connected "
                "network does not have; remove it, or choose another architecture"
            )
        return self

    @model_validator(mode="after")
    def _check_augment(self) -> GANModel:
        if len(set(self.augment)) < len(self.augment):
            raise ValueError("has the same kind twice in augment; list each once")
        return self

    @model_validator(mode="after")
    def _check_projection(self) -> GANModel:
        if self.projection_discriminator and self.condition is None:
            raise ValueError(
                "has projection_discriminator, but no condition; set condition, or remove it"
            )
        return self

    @model_validator(mode="after")
    def _check_step_ratio(self) -> GANModel:
        if self.n_critic > 1 and self.n_generator > 1:
            raise ValueError(
                f"has n_critic: {self.n_critic} and n_generator: {self.n_generator}, but only one "
                "network can take more steps than the other; set one of the two to 1"
            )
        return self

    @property
    def has_r1_penalty(self) -> bool:
        """Whether the discriminator's slope at real images is penalized."""
        return False


class DiscriminatorModel(GANModel):
    """Settings of a GAN whose discriminator classifies images as real or generated."""

    latent_dim: int = Field(default=100, ge=1, le=1024)
    loss: Literal["non_saturating", "minimax", "hinge", "least_squares"] = Field(
        default="non_saturating",
        description="Goodfellow et al. (2014), section 3 and equation 1; Lim & Ye (2017); Mao et "
        "al. (2017).",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="The target of real images is one minus this (one-sided label smoothing, "
        "Salimans et al., 2016).",
    )
    r1_weight: float = Field(
        default=0.0,
        ge=0,
        description="γ of the R1 penalty (Mescheder et al., 2018, equation 9): half of it is the "
        "weight of the discriminator's squared slope at real images. A discriminator with it has "
        "no batch norm.",
    )
    r1_interval: Count = Field(
        default=1,
        ge=1,
        description="Steps between penalties, each as many times as large; 16 in StyleGAN2 (Karras "
        "et al., 2020). An interval saves most of their time, about a quarter of a step.",
    )
    augment_target: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Each operation of `augment` changes an image with a probability that adapts: "
        "it rises while the mean sign of the scores of real images is above this target, and falls "
        "while it is below (Karras et al., 2020, who take 0.6). Null changes every image.",
    )
    augment_ramp_images: Count = Field(
        default=50_000,
        ge=1,
        description="Real images over which this probability can rise from 0 to 1; 500,000 in the "
        "paper, for trainings of 25 million.",
    )
    learning_rate: float = Field(default=2e-4, gt=0, description="Learning rate of Adam.")
    beta1: float = Field(default=0.5, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_augment_target(self) -> DiscriminatorModel:
        if self.augment_target is not None and not self.augment:
            raise ValueError(
                f"has augment_target: {self.augment_target}, but no operations whose probability "
                "could adapt; list some under augment, or remove augment_target"
            )
        return self

    @property
    def has_r1_penalty(self) -> bool:
        """Whether the discriminator's slope at real images is penalized."""
        return self.r1_weight > 0

    @model_validator(mode="after")
    def _check_label_smoothing(self) -> DiscriminatorModel:
        if self.label_smoothing and self.loss == "hinge":
            raise ValueError(
                "has label_smoothing, but the hinge loss has no target to smooth; remove one of "
                "the two"
            )
        return self


class DCGANModel(DiscriminatorModel):
    """DCGAN (Radford et al., 2016): convolutions, batch norm, the non-saturating loss."""

    walkthrough_passes: ClassVar[int] = 5
    name: Literal["dcgan"]
    # A residual generator whose last layer starts from N(0, 0.02²) collapses (docs/models.md).
    initialization: Initialization = by_architecture(
        convolutional="dcgan",
        residual="xavier",
        resnet="xavier",
        fully_connected="dcgan",
        description=INITIALIZATION,
    )


class CGANModel(DiscriminatorModel):
    """Conditional GAN (Mirza & Osindero, 2014): both networks read an embedding of the label."""

    walkthrough_passes: ClassVar[int] = 5
    name: Literal["cgan"]
    architecture: Architecture = "fully_connected"
    initialization: Initialization = "default"
    condition: Condition = "class"


class WGANGPModel(GANModel):
    """WGAN-GP (Gulrajani et al., 2017): critic with a gradient penalty and without batch norm."""

    walkthrough_passes: ClassVar[int] = 6
    name: Literal["wgan_gp"]
    # He's initialization is larger: the penalty would first have to reduce the critic's slopes.
    initialization: Initialization = "xavier"
    learning_rate: float = Field(default=1e-4, gt=0, description="Learning rate of Adam.")
    beta1: float = Field(default=0.0, ge=0, lt=1)
    beta2: float = Field(default=0.9, ge=0, lt=1)
    n_critic: Count = Field(default=5, ge=1, description="Critic steps per generator step.")
    gp_weight: float = Field(
        default=10.0, ge=0, description="Weight of the gradient penalty, λ of equation 3."
    )

    @model_validator(mode="before")
    @classmethod
    def _check_augment_target(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and "augment_target" in settings:
            raise ValueError(
                "has augment_target, which compares the scores of real images with 0, but only "
                "differences of a critic's scores have a meaning; remove augment_target, so that "
                "every image is augmented"
            )
        return settings

    @model_validator(mode="after")
    def _check_lipschitz(self) -> WGANGPModel:
        if self.spectral_norm and self.gp_weight:
            raise ValueError(
                "has spectral_norm and gp_weight, which both bound the critic's slope; set "
                "gp_weight: 0 or spectral_norm: false"
            )
        return self
