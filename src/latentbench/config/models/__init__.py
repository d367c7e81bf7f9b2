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
from typing import Annotated, Any

from pydantic import Field

from latentbench.config.base import union_members
from latentbench.config.models.autoencoders import AutoencoderModel, EncoderModel, VAEModel
from latentbench.config.models.base import (
    SMALLEST,
    Architecture,
    Condition,
    DecoderModel,
    Initialization,
    Model,
    PriorKind,
    feature_map_sizes,
)
from latentbench.config.models.diffusion import DiffusionModel
from latentbench.config.models.gans import (
    CGANModel,
    DCGANModel,
    DiscriminatorModel,
    GANModel,
    WGANGPModel,
)

__all__ = [
    "MODELS",
    "SMALLEST",
    "AnyModel",
    "Architecture",
    "AutoencoderModel",
    "CGANModel",
    "Condition",
    "DCGANModel",
    "DecoderModel",
    "DiffusionModel",
    "DiscriminatorModel",
    "EncoderModel",
    "GANModel",
    "Initialization",
    "Model",
    "PriorKind",
    "VAEModel",
    "WGANGPModel",
    "feature_map_sizes",
    "is_generative",
    "learns_codes",
    "training_model",
]

AnyModel = Annotated[
    AutoencoderModel | VAEModel | DCGANModel | CGANModel | WGANGPModel | DiffusionModel,
    Field(discriminator="name"),
]

# The settings' class of each model name.
MODELS: dict[str, type[Model]] = union_members(AnyModel)


def learns_codes(name: str) -> bool:
    """Return whether models of this name learn to encode images; False for an unknown name."""
    return name in MODELS and MODELS[name].learns_codes


def training_model(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's settings without those that its training does not read."""
    unread = MODELS[model["name"]].sampling_settings
    return {key: value for key, value in model.items() if key not in unread}


def is_generative(model: Mapping[str, Any]) -> bool:
    """Return whether a model's decoder knows latents like those that are drawn, from its settings.

    True for a model of an unknown name.
    """
    kind = MODELS.get(model.get("name", ""))
    return kind is None or kind.has_prior or model.get("prior", "standard") != "standard"
