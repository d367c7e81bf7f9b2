"""From the name in params.yaml to the objective."""

from __future__ import annotations

from typing import Any

import torch

from latentbench.config.experiments import AnyModel
from latentbench.models.dcgan import DCGAN
from latentbench.models.objective import Objective
from latentbench.models.vae import VAE
from latentbench.models.wgan_gp import WGANGP
from latentbench.rng import torch_generator

OBJECTIVES: dict[str, Any] = {"vae": VAE, "dcgan": DCGAN, "wgan_gp": WGANGP}


def build_objective(model: AnyModel, *, image_size: int, channels: int, seed: int) -> Objective:
    """An objective on the CPU with its first weights, which depend on `seed` alone."""
    generator = torch_generator(seed, "weights")
    objective: Objective = OBJECTIVES[model.objective](
        model, image_size=image_size, channels=channels, generator=generator
    )
    return objective.to(memory_format=torch.channels_last)
