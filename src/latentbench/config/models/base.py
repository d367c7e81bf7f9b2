"""Settings that models share: networks, initialization, optimizer, labels."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from latentbench.config.base import Count, IntegerText, Section

# Side of the smallest feature map of a convolutional network, in pixels.
SMALLEST = 4

PriorKind = Literal["standard", "gaussian", "mixture"]
Architecture = Literal["convolutional", "residual", "resnet", "fully_connected"]
Initialization = Literal["dcgan", "xavier", "kaiming", "orthogonal", "default"]
# With n attributes there can be 2^n different label vectors, so n is limited.
Condition = Literal["class"] | Annotated[list[str], Field(min_length=1, max_length=8)]

# Settings that a fully connected network does not have, with the value that switches them off.
_CONVOLUTIONAL_SETTINGS = {"attention_resolution": None, "dilation": 1, "layers_per_stage": 1}


def by_architecture(
    *, convolutional: Any, residual: Any, resnet: Any, fully_connected: Any, description: str
) -> Any:
    """Return a field whose default depends on `architecture`, which must be declared before it.

    The default is resolved when a model is read, so resolved configs have the value.
    """
    defaults = {
        "convolutional": convolutional,
        "residual": residual,
        "resnet": resnet,
        "fully_connected": fully_connected,
    }
    listed = ", ".join(f"{value} if {key}" for key, value in defaults.items())
    return Field(
        default_factory=lambda settings: defaults[settings["architecture"]],
        description=f"{description} The default depends on `architecture`: {listed}.",
    )


INITIALIZATION = (
    "Initial weights: N(0, 0.02²) (Radford et al., 2016), Glorot & Bengio (2010), He et al. "
    "(2015), Saxe et al. (2014), or PyTorch's default."
)


class Model(Section):
    """Settings of every model."""

    # Whether the model maps images to codes.
    has_encoder: ClassVar[bool] = False
    # Whether it is trained to reconstruct images from codes. Its training then shows how well.
    learns_codes: ClassVar[bool] = False
    # Whether it is trained to decode latents from N(0, I). Only then do these show its quality.
    has_prior: ClassVar[bool] = True
    # How often a step of the walkthrough's training loop computes the multiply-adds of both
    # networks, as measured; 0 if the walkthrough has no loop for this model.
    walkthrough_passes: ClassVar[int] = 0
    # Settings that its training does not read: a change of these evaluates and explores again.
    sampling_settings: ClassVar[frozenset[str]] = frozenset()

    architecture: str
    width: Count = Field(
        default=64,
        ge=4,
        description="Channels at the largest resolution; they double as the resolution halves. Of "
        "a `resnet`, the channels of all feature maps.",
    )
    layers_per_stage: int = Field(
        default=1,
        ge=1,
        le=4,
        description="Convolutions (or residual blocks) per resolution. All but the first keep size "
        "and channels.",
    )
    attention_resolution: Annotated[Literal[8, 16, 32, 64], IntegerText] | None = Field(
        default=None,
        description="Side of the feature maps with self-attention (Zhang et al., 2019); null is "
        "none.",
    )
    condition: Condition | None = Field(
        default=None,
        description="What the model is conditioned on: `class`, or a list of the dataset's "
        "attributes; null is nothing.",
    )
    learning_rate: float = Field(gt=0, description="Learning rate of Adam.")
    learning_rate_decay: Literal["linear", "cosine"] | None = Field(
        default=None,
        description="Decay of all learning rates to 0 over the training: `linear` (Gulrajani et "
        "al., 2017, appendix F) or `cosine` (Loshchilov & Hutter, 2017); null is none.",
    )
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Adam's β₁.")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam's β₂.")

    @property
    def prior_kind(self) -> PriorKind:
        """The distribution that latents are drawn from; `standard` is N(0, I)."""
        return "standard"

    @property
    def is_generative(self) -> bool:
        """Whether its decoder knows latents like those that are drawn."""
        return self.has_prior or self.prior_kind != "standard"

    def num_latent_dims(self, image_size: int, channels: int) -> int:
        """Return the dimension of the latent of images of this size."""
        raise NotImplementedError

    def feature_map_sizes(self, image_size: int) -> list[int]:
        """Return the sides of the network's feature maps, the largest first."""
        return feature_map_sizes(image_size)

    def check_image_size(self, image_size: int) -> None:
        """Raise ValueError if no feature map has the side of `attention_resolution`."""
        sizes = self.feature_map_sizes(image_size)
        if self.attention_resolution is not None and self.attention_resolution not in sizes:
            raise ValueError(
                f"has attention_resolution: {self.attention_resolution}, but at image_size "
                f"{image_size} the feature maps have sides {', '.join(map(str, sizes))}; choose "
                "one of these"
            )


class DecoderModel(Model):
    """Settings of every model whose decoder maps a latent vector to an image."""

    latent_dim: int = Field(default=128, ge=1, le=1024, description="Dimension of the latent.")
    architecture: Architecture = Field(
        default="convolutional",
        description="`convolutional` is DCGAN's (Radford et al., 2016); `residual` has blocks of "
        "two convolutions and a shortcut; `resnet` is the network of the papers on CIFAR-10, with "
        "pooling and equally many channels everywhere (Gulrajani et al., 2017, appendix F; Miyato "
        "et al., 2018, table 4); `fully_connected` has the layers of `hidden_dims`.",
    )
    dilation: int = Field(
        default=1,
        ge=1,
        le=4,
        description="Dilation of the kernel-3 convolutions, in half of their channels, where "
        "feature maps are at least four times as wide as the dilation.",
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
    initialization: Initialization = by_architecture(
        convolutional="dcgan",
        residual="dcgan",
        resnet="xavier",
        fully_connected="dcgan",
        description=INITIALIZATION,
    )
    label_dim: Count = Field(
        default=50, ge=1, description="Dimension of the label embedding of a conditional model."
    )
    conditional_batch_norm: bool = Field(
        default=False,
        description="Whether the label sets the scales and shifts of batch norm in the generator "
        "or decoder (Dumoulin et al., 2017; Miyato & Koyama, 2018), instead of being concatenated "
        "to the latent.",
    )
    ema_decay: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Decay per step of the averaged weights (EMA) of the encoder and decoder, or "
        "of the generator. They are evaluated and saved; 0 is off.",
    )

    def num_latent_dims(self, image_size: int, channels: int) -> int:  # noqa: ARG002
        """Return the dimension of the latent, `latent_dim`."""
        return self.latent_dim

    @model_validator(mode="after")
    def _check_architecture(self) -> DecoderModel:
        if self.architecture == "fully_connected":
            for key, off in _CONVOLUTIONAL_SETTINGS.items():
                value = getattr(self, key)
                if value != off:
                    raise ValueError(
                        f"has {key}: {value}, which a fully connected network does not have; "
                        f"remove {key}, or set architecture: convolutional"
                    )
        if self.conditional_batch_norm and self.condition is None:
            raise ValueError(
                "has conditional_batch_norm, but no condition; set condition, or remove it"
            )
        is_convolutional = self.architecture == "convolutional"
        if is_convolutional and self.dilation > 1 and self.layers_per_stage == 1:
            raise ValueError(
                f"has dilation: {self.dilation}, but each stage has only the strided convolution, "
                "which would skip pixels if it were dilated; set layers_per_stage to 2 or more, or "
                "architecture: residual"
            )
        return self


def feature_map_sizes(image_size: int) -> list[int]:
    """Return the sides of a convolutional network's feature maps, from half the image's down."""
    sizes = [image_size // 2]
    while sizes[-1] > SMALLEST:
        sizes.append(sizes[-1] // 2)
    return sizes
