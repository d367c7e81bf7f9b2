"""The schema of a model: its networks, their initialization and its loss.

Losses are those of each model's paper. Of the defaults, these are too:

- `dcgan`: `latent_dim`, Adam's settings and, for `convolutional`, the initialization (Radford et
  al., 2016, section 4). The paper's generator is twice as wide.
- `wgan_gp`: Adam's settings, `n_critic` and `gp_weight` (Gulrajani et al., 2017, algorithm 1).

The others are chosen here. The papers on autoencoders, VAEs and conditional GANs trained shallow
networks by other optimizers, so their settings do not fit these networks. No paper of a model has
`ema_decay`, which improves every GAN (Yazıcı et al., 2019). Where the paper's settings fail with
another architecture, the default depends on `architecture`; docs/models.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from latentbench.config.base import Count, IntegerText, Section, union_members

# Side of the smallest feature map of a convolutional network, in pixels.
SMALLEST = 4

PriorKind = Literal["standard", "gaussian", "mixture"]
Architecture = Literal["convolutional", "residual", "fully_connected"]
Initialization = Literal["dcgan", "xavier", "kaiming", "orthogonal", "default"]
# With n attributes there can be 2^n different label vectors, so n is limited.
Condition = Literal["class"] | Annotated[list[str], Field(min_length=1, max_length=8)]

# Settings that a fully connected network does not have, with the value that switches them off.
_CONVOLUTIONAL_SETTINGS = {"attention_resolution": None, "dilation": 1, "layers_per_stage": 1}


def _by_architecture(
    *, convolutional: Any, residual: Any, fully_connected: Any, description: str
) -> Any:
    """Return a field whose default depends on `architecture`, which must be declared before it.

    The default is resolved when a model is read, so resolved configs have the value.
    """
    defaults = {
        "convolutional": convolutional,
        "residual": residual,
        "fully_connected": fully_connected,
    }
    listed = ", ".join(f"{value} if {key}" for key, value in defaults.items())
    return Field(
        default_factory=lambda settings: defaults[settings["architecture"]],
        description=f"{description} The default depends on `architecture`: {listed}.",
    )


_INITIALIZATION = (
    "Initial weights: N(0, 0.02²) (Radford et al., 2016), Glorot & Bengio (2010), He et al. "
    "(2015), Saxe et al. (2014), or PyTorch's default."
)


class Model(Section):
    """Settings of every model."""

    # Whether the model maps images to codes. Its training then also writes reconstructions.
    has_encoder: ClassVar[bool] = False
    # Whether it is trained to decode latents from N(0, I). Only then do these show its quality.
    has_prior: ClassVar[bool] = True
    # How often a step of the walkthrough's training loop computes the multiply-adds of both
    # networks, as measured; 0 if the walkthrough has no loop for this model.
    walkthrough_passes: ClassVar[int] = 0

    latent_dim: int = Field(default=128, ge=1, le=1024, description="Dimension of the latent.")
    architecture: Architecture = Field(
        default="convolutional",
        description="`convolutional` is DCGAN's (Radford et al., 2016); `residual` has blocks of "
        "two convolutions and a shortcut (Gulrajani et al., 2017, appendix F); `fully_connected` "
        "has the layers of `hidden_dims`.",
    )
    width: Count = Field(
        default=64,
        ge=4,
        description="Channels at the largest resolution; they double as the resolution halves.",
    )
    layers_per_stage: int = Field(
        default=1,
        ge=1,
        le=4,
        description="Convolutions (or residual blocks) per resolution. All but the first keep size "
        "and channels.",
    )
    dilation: int = Field(
        default=1,
        ge=1,
        le=4,
        description="Dilation of the kernel-3 convolutions, in half of their channels, where "
        "feature maps are at least four times as wide as the dilation.",
    )
    attention_resolution: Annotated[Literal[8, 16, 32, 64], IntegerText] | None = Field(
        default=None,
        description="Side of the feature maps with self-attention (Zhang et al., 2019); null is "
        "none.",
    )
    spectral_norm: bool = Field(
        default=False,
        description="Divide the weights of the discriminator, critic or encoder by their largest "
        "singular value (Miyato et al., 2018).",
    )
    hidden_dims: Annotated[list[Annotated[Count, Field(ge=1)]], Field(min_length=1)] = Field(
        default=[512, 256],
        description="Units of a fully connected network's hidden layers, starting at the image.",
    )
    initialization: Initialization = Field(default="dcgan", description=_INITIALIZATION)
    condition: Condition | None = Field(
        default=None,
        description="What the model is conditioned on: `class`, or a list of the dataset's "
        "attributes; null is nothing.",
    )
    label_dim: Count = Field(
        default=50, ge=1, description="Dimension of the label embedding of a conditional model."
    )
    learning_rate: float = Field(gt=0, description="Learning rate of Adam.")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Adam's β₁.")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam's β₂.")
    ema_decay: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Decay per step of the averaged weights (EMA) of the encoder and decoder, or "
        "of the generator. They are evaluated and saved; 0 is off.",
    )

    @model_validator(mode="after")
    def _check_architecture(self) -> Model:
        if self.architecture == "fully_connected":
            for key, off in _CONVOLUTIONAL_SETTINGS.items():
                value = getattr(self, key)
                if value != off:
                    raise ValueError(
                        f"has {key}: {value}, which a fully connected network does not have; "
                        f"remove {key}, or set architecture: convolutional"
                    )
        is_convolutional = self.architecture == "convolutional"
        if is_convolutional and self.dilation > 1 and self.layers_per_stage == 1:
            raise ValueError(
                f"has dilation: {self.dilation}, but each stage has only the strided convolution, "
                "which would skip pixels if it were dilated; set layers_per_stage to 2 or more, or "
                "architecture: residual"
            )
        return self

    @property
    def prior_kind(self) -> PriorKind:
        """The distribution that latents are drawn from; `standard` is N(0, I)."""
        return "standard"

    @property
    def is_generative(self) -> bool:
        """Whether its decoder knows latents like those that are drawn."""
        return self.has_prior or self.prior_kind != "standard"

    def check_image_size(self, image_size: int) -> None:
        """Raise ValueError if no feature map has the side of `attention_resolution`."""
        sizes = feature_map_sizes(image_size)
        if self.attention_resolution is not None and self.attention_resolution not in sizes:
            raise ValueError(
                f"has attention_resolution: {self.attention_resolution}, but at image_size "
                f"{image_size} the feature maps have sides {', '.join(map(str, sizes))}; choose "
                "one of these"
            )


def feature_map_sizes(image_size: int) -> list[int]:
    """Return the sides of a convolutional network's feature maps, from half the image's down."""
    sizes = [image_size // 2]
    while sizes[-1] > SMALLEST:
        sizes.append(sizes[-1] // 2)
    return sizes


class EncoderModel(Model):
    """Settings of every model that maps images to codes."""

    has_encoder: ClassVar[bool] = True
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


class GANModel(Model):
    """Settings of every GAN."""

    discriminator_learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the discriminator or critic, if it differs (TTUR, Heusel et "
        "al., 2017); null is `learning_rate`.",
    )
    n_critic: Count = Field(
        default=1, ge=1, description="Steps of the discriminator or critic per generator step."
    )
    n_generator: Count = Field(
        default=1, ge=1, description="Steps of the generator per discriminator or critic step."
    )

    @model_validator(mode="after")
    def _check_step_ratio(self) -> GANModel:
        if self.n_critic > 1 and self.n_generator > 1:
            raise ValueError(
                f"has n_critic: {self.n_critic} and n_generator: {self.n_generator}, but only one "
                "network can take more steps than the other; set one of the two to 1"
            )
        return self


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
    learning_rate: float = Field(default=2e-4, gt=0, description="Learning rate of Adam.")
    beta1: float = Field(default=0.5, ge=0, lt=1)

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
    initialization: Initialization = _by_architecture(
        convolutional="dcgan",
        residual="xavier",
        fully_connected="dcgan",
        description=_INITIALIZATION,
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

    @model_validator(mode="after")
    def _check_lipschitz(self) -> WGANGPModel:
        if self.spectral_norm and self.gp_weight:
            raise ValueError(
                "has spectral_norm and gp_weight, which both bound the critic's slope; set "
                "gp_weight: 0 or spectral_norm: false"
            )
        return self


AnyModel = Annotated[
    AutoencoderModel | VAEModel | DCGANModel | CGANModel | WGANGPModel, Field(discriminator="name")
]

# The settings' class of each model name.
MODELS: dict[str, type[Model]] = union_members(AnyModel)


def has_encoder(name: str) -> bool:
    """Return whether models of this name map images to codes; False for an unknown name."""
    return name in MODELS and MODELS[name].has_encoder


def is_generative(model: Mapping[str, Any]) -> bool:
    """Return whether a model's decoder knows latents like those that are drawn, from its settings.

    True for a model of an unknown name.
    """
    kind = MODELS.get(model.get("name", ""))
    return kind is None or kind.has_prior or model.get("prior", "standard") != "standard"
