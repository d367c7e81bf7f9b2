"""The schema of a model: how its networks are stacked, how they begin, and what they minimize.

Defaults are those of each objective's paper.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from latentbench.config.base import Section

# Side of the smallest feature map of a convolutional network, in pixels.
SMALLEST = 4

Architecture = Literal["convolutional", "residual", "fully_connected"]
Initialization = Literal["dcgan", "xavier", "kaiming", "orthogonal", "default"]
# A dataset has at most two to the power of so many kinds of attributes to be asked for.
Condition = Literal["class"] | Annotated[list[str], Field(min_length=1, max_length=8)]


class Model(Section):
    """What every objective has in common."""

    # Whether the objective maps images to codes: its training then also leaves reconstructions.
    has_encoder: ClassVar[bool] = False
    # Whether it is trained to make images of random latents: only then do its samples say how good it is.
    has_prior: ClassVar[bool] = True

    latent_dim: int = Field(default=128, ge=1, le=1024)
    architecture: Architecture = Field(
        default="convolutional",
        description="`convolutional` is DCGAN's (Radford et al., 2016), `residual` has blocks of two convolutions "
        "beside a shortcut (Gulrajani et al., 2017, appendix F), `fully_connected` has `hidden_dims`.",
    )
    width: int = Field(
        default=64, ge=4, description="Channels at the largest resolution; doubles as it halves."
    )
    layers_per_stage: int = Field(
        default=1,
        ge=1,
        le=4,
        description="Convolutions (or residual blocks) per resolution; those after the first keep size and channels.",
    )
    dilation: int = Field(
        default=1,
        ge=1,
        le=4,
        description="Step between the taps of the kernel-3 convolutions, of half of their channels, where feature maps "
        "are four times as wide.",
    )
    attention_resolution: Literal[8, 16, 32, 64] | None = Field(
        default=None,
        description="Side of the feature maps with self-attention (Zhang et al., 2019); null is none.",
    )
    spectral_norm: bool = Field(
        default=False,
        description="Divide the weights of the network that reads images by their largest singular value "
        "(Miyato et al., 2018).",
    )
    hidden_dims: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(
        default=[512, 256],
        description="Units of a fully connected network's hidden layers, from the image inwards.",
    )
    initialization: Initialization = Field(
        default="dcgan",
        description="Of the weights: N(0, 0.02²) (Radford et al., 2016), Glorot & Bengio (2010), He et al. (2015), "
        "Saxe et al. (2014), or PyTorch's own.",
    )
    condition: Condition | None = Field(
        default=None,
        description="What images are asked for by: `class`, or a list of the dataset's attributes; null is nothing.",
    )
    label_dim: int = Field(
        default=50, ge=1, description="Dimension of the labels' embedding, where there are labels."
    )
    learning_rate: float = Field(gt=0, description="Adam's step size.")
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)

    @model_validator(mode="after")
    def _network_makes_sense(self) -> Model:
        if self.architecture == "fully_connected":
            for key, nothing in (
                ("attention_resolution", None),
                ("dilation", 1),
                ("layers_per_stage", 1),
            ):
                if getattr(self, key) != nothing:
                    raise ValueError(
                        f"has {key}: {getattr(self, key)}, which a fully connected network has no place for; "
                        f"drop {key}, or set architecture: convolutional"
                    )
        if (
            self.architecture == "convolutional"
            and self.dilation > 1
            and self.layers_per_stage == 1
        ):
            raise ValueError(
                f"has dilation: {self.dilation}, but the only convolution of each stage is the strided one, which "
                "would skip pixels if it were dilated; set layers_per_stage: 2 or more, or architecture: residual"
            )
        return self

    def require_size(self, image_size: int) -> None:
        """Raise ValueError where no feature map has the side that attention is asked for at."""
        sides = feature_map_sizes(image_size)
        if self.attention_resolution is not None and self.attention_resolution not in sides:
            raise ValueError(
                f"has attention_resolution: {self.attention_resolution}, but at image_size {image_size} feature maps have sides "
                f"{', '.join(map(str, sides))}; choose one of them"
            )


def feature_map_sizes(image_size: int) -> list[int]:
    """Sides of a convolutional network's feature maps, from half the image's down to the smallest."""
    sides = [image_size // 2]
    while sides[-1] > SMALLEST:
        sides.append(sides[-1] // 2)
    return sides


class AutoencoderModel(Model):
    """Deterministic autoencoder (Hinton & Salakhutdinov, 2006): mean squared error, no prior on the codes."""

    has_encoder: ClassVar[bool] = True
    has_prior: ClassVar[bool] = False
    name: Literal["autoencoder"]
    learning_rate: float = Field(default=1e-3, gt=0)


class VAEModel(Model):
    """Variational autoencoder (Kingma & Welling, 2014)."""

    has_encoder: ClassVar[bool] = True
    name: Literal["vae"]
    latent_dim: int = Field(default=64, ge=1, le=1024)
    kl_weight: float = Field(
        default=1.0, ge=0, description="β of Higgins et al. (2017); 1 is the ELBO."
    )
    kl_warmup_steps: int = Field(
        default=0,
        ge=0,
        description="Steps in which the KL's weight rises from 0 (Bowman et al., 2016).",
    )
    likelihood: Literal["gaussian", "optimal_gaussian", "bernoulli"] = Field(
        default="gaussian",
        description="`optimal_gaussian` has the standard deviation that is most likely (Rybkin et al., 2021); "
        "`bernoulli` is the continuous one, which has its normalizing constant (Loaiza-Ganem & Cunningham, 2019).",
    )
    decoder_std: float | None = Field(
        default=None,
        gt=0,
        description="Standard deviation of the Gaussian likelihood, where images are in [-1, 1]; null is 1. The "
        "smaller, the sharper are reconstructions, and the farther are codes from the prior of which samples are made.",
    )
    learning_rate: float = Field(default=1e-3, gt=0)

    @model_validator(mode="after")
    def _likelihood_has_its_keys(self) -> VAEModel:
        if self.likelihood != "gaussian" and self.decoder_std is not None:
            raise ValueError(
                f"has a decoder_std, which likelihood: {self.likelihood} has no use for; drop one of the two"
            )
        return self


class GANModel(Model):
    """A game of two networks."""

    discriminator_learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Of the discriminator or critic, where it differs (TTUR, Heusel et al., 2017); null is the same.",
    )
    n_critic: int = Field(
        default=1, ge=1, description="Steps of the discriminator or critic per generator step."
    )
    n_generator: int = Field(
        default=1, ge=1, description="Steps of the generator per discriminator or critic step."
    )
    ema_decay: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Of the generator's averaged weights, per generator step; 0 is off.",
    )

    @model_validator(mode="after")
    def _one_side_leads(self) -> GANModel:
        if self.n_critic > 1 and self.n_generator > 1:
            raise ValueError(
                f"has n_critic: {self.n_critic} and n_generator: {self.n_generator}, but only one network can take "
                "more steps than the other; leave one of them at 1"
            )
        return self


class DiscriminatorModel(GANModel):
    """A game in which the discriminator tells real images from generated ones."""

    latent_dim: int = Field(default=100, ge=1, le=1024)
    loss: Literal["non_saturating", "minimax", "hinge", "least_squares"] = Field(
        default="non_saturating",
        description="Goodfellow et al. (2014), section 3 and equation 1; Lim & Ye (2017); Mao et al. (2017).",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="Real images count as real by one minus this (one-sided, Salimans et al., 2016).",
    )
    learning_rate: float = Field(default=2e-4, gt=0)
    beta1: float = Field(default=0.5, ge=0, lt=1)

    @model_validator(mode="after")
    def _smoothing_has_a_target(self) -> DiscriminatorModel:
        if self.label_smoothing and self.loss == "hinge":
            raise ValueError(
                "has label_smoothing, but the hinge loss has no target to smooth; drop one of the two"
            )
        return self


class DCGANModel(DiscriminatorModel):
    """Radford et al. (2016): convolutional, batch norm in both networks, the non-saturating loss."""

    name: Literal["dcgan"]


class CGANModel(DiscriminatorModel):
    """Mirza & Osindero (2014): class labels, embedded, beside the latent and beside the image."""

    name: Literal["cgan"]
    architecture: Architecture = "fully_connected"
    initialization: Initialization = "default"
    condition: Condition = "class"


class WGANGPModel(GANModel):
    """Gulrajani et al. (2017): Wasserstein critic with a gradient penalty, and without batch norm."""

    name: Literal["wgan_gp"]
    # With He's, which are larger, the penalty first has to bring the critic's slopes down.
    initialization: Initialization = "xavier"
    learning_rate: float = Field(default=1e-4, gt=0)
    beta1: float = Field(default=0.0, ge=0, lt=1)
    beta2: float = Field(default=0.9, ge=0, lt=1)
    n_critic: int = Field(default=5, ge=1, description="Critic steps per generator step.")
    gp_weight: float = Field(default=10.0, ge=0, description="λ of equation 3.")

    @model_validator(mode="after")
    def _one_bound(self) -> WGANGPModel:
        if self.spectral_norm and self.gp_weight:
            raise ValueError(
                "has spectral_norm and a gp_weight, which bound the critic's slope twice and by different means; "
                "set gp_weight: 0 or spectral_norm: false"
            )
        return self


AnyModel = Annotated[
    AutoencoderModel | VAEModel | DCGANModel | CGANModel | WGANGPModel, Field(discriminator="name")
]


def has_encoder(objective: str) -> bool:
    """Whether the objective of this name maps images to codes; of one that is not known, that it does not."""
    return any(model.has_encoder for model in _of(objective))


def has_prior(objective: str) -> bool:
    """Whether models of the objective were trained to make images of random latents; of one not known, that it was."""
    return all(model.has_prior for model in _of(objective))


def _of(objective: str) -> list[type[Model]]:
    models: tuple[type[Model], ...] = get_args(get_args(AnyModel)[0])
    return [
        model for model in models if objective in get_args(model.model_fields["name"].annotation)
    ]
