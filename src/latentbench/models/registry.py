"""Objectives by their names in params.yaml."""

from __future__ import annotations

from typing import Any

import torch

from latentbench.config.models import AnyModel
from latentbench.models.autoencoder import Autoencoder
from latentbench.models.dcgan import DCGAN
from latentbench.models.diffusion import Diffusion
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import Objective
from latentbench.models.vae import VAE
from latentbench.models.wgan_gp import WGANGP
from latentbench.rng import torch_generator

OBJECTIVES: dict[str, Any] = {
    "autoencoder": Autoencoder,
    "vae": VAE,
    "dcgan": DCGAN,
    "cgan": DCGAN,
    "wgan_gp": WGANGP,
    "diffusion": Diffusion,
}


def build_objective(model: AnyModel, shape: Shape, *, seed: int) -> Objective:
    """Return an objective on the CPU, with initial weights that depend on `seed` only."""
    generator = torch_generator(seed, "weights")
    objective: Objective = OBJECTIVES[model.name](model, shape, generator=generator)
    return objective.to(memory_format=torch.channels_last)
