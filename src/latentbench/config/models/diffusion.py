"""Settings of diffusion models."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from latentbench.config.base import Count, IntegerText
from latentbench.config.models.base import SMALLEST, Model

# The smallest feature maps of the default `channel_multipliers`, in pixels.
_SMALLEST_BY_DEFAULT = 8


class DiffusionModel(Model):
    """Rectified flow (Liu et al., 2023; Lipman et al., 2023) with DDPM's U-Net (Ho et al., 2020).

    A latent is Gaussian noise of the size of an image.
    """

    has_encoder: ClassVar[bool] = True
    sampling_settings: ClassVar[frozenset[str]] = frozenset({"sampling_steps", "guidance", "churn"})

    name: Literal["diffusion"]
    architecture: Literal["unet", "ddpmpp"] = Field(
        default="unet",
        description="`unet` is the U-Net of DDPM (Ho et al., 2020, appendix B); `ddpmpp` is DDPM++ "
        "(Song et al., 2021, appendix H), whose residual blocks also halve and double the side.",
    )
    width: Count = Field(
        default=64,
        ge=4,
        description="Channels of the largest feature maps; the others have `channel_multipliers` "
        "times as many.",
    )
    channel_multipliers: Annotated[list[Count], Field(min_length=1, max_length=8)] | None = Field(
        default=None,
        description="Channels of the feature maps, the largest first, relative to `width`; each "
        "has half the side of the one before. null is 1 and then 2, down to a side of 8.",
    )
    layers_per_stage: int = Field(
        default=1,
        ge=1,
        le=4,
        description="Residual blocks per resolution on the way down; one more on the way up.",
    )
    patch_size: Annotated[Literal[1, 2, 4], IntegerText] = Field(
        default=2,
        description="The network sees squares of this many pixels a side as one position with more "
        "channels. 2 is a quarter of the computation of 1 (Dosovitskiy et al., 2021).",
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout in every residual block (Ho et al., 2020)."
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="Learning rate of Adam.")
    ema_half_life: Count = Field(
        default=50_000,
        ge=0,
        description="Training images after which the averaged weights (EMA) have lost half of what "
        "they were; at first 5 % of the images seen (Karras et al., 2022, appendix F.3). They are "
        "evaluated and saved; 0 is off.",
    )
    label_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the training images of a conditional model whose label is withheld, "
        "so that it is also an unconditional one (Ho & Salimans, 2021).",
    )
    sampling_steps: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Steps of Heun's method from noise to an image, each but the last with two "
        "evaluations of the network. It does not change the training.",
    )
    guidance: float = Field(
        default=1.0,
        ge=0,
        le=20,
        description="Classifier-free guidance (Ho & Salimans, 2021): above 1, the velocity is "
        "extrapolated from no label to the label; 1 is none. It does not change the training.",
    )
    churn: float = Field(
        default=0.0,
        ge=0,
        description="S_churn of Karras et al. (2022), algorithm 2: noise that is added during "
        "sampling; 0 is the deterministic ODE. It does not change the training.",
    )

    def num_latent_dims(self, image_size: int, channels: int) -> int:
        """Return the dimension of the latent: the number of values of an image."""
        return channels * image_size**2

    def multipliers(self, image_size: int) -> list[int]:
        """Return the channels of each feature map, relative to `width`."""
        if self.channel_multipliers is not None:
            return self.channel_multipliers
        halvings = 0
        while image_size // self.patch_size >> (halvings + 1) >= _SMALLEST_BY_DEFAULT:
            halvings += 1
        return [1] + halvings * [2]

    def feature_map_sizes(self, image_size: int) -> list[int]:
        """Return the sides of the feature maps, the largest first."""
        number = len(self.multipliers(image_size))
        return [image_size // self.patch_size >> halvings for halvings in range(number)]

    def check_image_size(self, image_size: int) -> None:
        """Raise ValueError if the network does not fit images of this size."""
        super().check_image_size(image_size)
        sizes = self.feature_map_sizes(image_size)
        if sizes[-1] < SMALLEST:
            raise ValueError(
                f"has channel_multipliers for {len(sizes)} feature maps, the smallest with a side "
                f"of {sizes[-1]} at image_size {image_size} and patch_size {self.patch_size}, but "
                f"it must be at least {SMALLEST}; remove some"
            )

    @model_validator(mode="after")
    def _check_guidance(self) -> DiffusionModel:
        if self.condition is None and self.guidance != 1:
            raise ValueError(
                f"has guidance: {self.guidance:g}, which needs labels; set a condition, or remove "
                "guidance"
            )
        if self.condition is not None and self.guidance != 1 and not self.label_dropout:
            raise ValueError(
                f"has guidance: {self.guidance:g} and label_dropout: 0, but guidance needs a "
                "network that was also trained without labels; raise label_dropout"
            )
        return self
