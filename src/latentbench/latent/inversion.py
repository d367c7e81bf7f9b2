"""Latents of real images for models that cannot encode: searched for, then optimised."""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.models.adam import Adam
from latentbench.models.objective import Objective, draw_latents, frozen


def invert(
    objective: Objective,
    images: Tensor,
    *,
    starts: int,
    steps: int,
    learning_rate: float,
    generator: torch.Generator,
) -> Tensor:
    """Latents (batch, latent_dim) whose decoded images are close to `images` in squared error.

    Begins, for each image, at the nearest of `starts` random samples, and follows Adam from there (Creswell &
    Bharath, 2018). A latent is kept on the sphere of radius √latent_dim, where N(0, I) has its mass: off it a
    generator can copy pixels with latents that it would never be given.
    """
    latents = nearest_samples(objective, images, starts=starts, generator=generator)
    latents = on_sphere(latents).requires_grad_()
    optimizer = Adam([latents], learning_rate=learning_rate)  # type: ignore[list-item]
    with frozen(objective):
        for step in range(steps):
            # Each image has its own latent, so the sum over images does not couple them.
            (objective.decode(on_sphere(latents)) - images).square().mean(dim=(1, 2, 3)).sum().backward()
            optimizer.learning_rate = learning_rate * (1 - step / steps)
            optimizer.step()
    return on_sphere(latents).detach()


@torch.no_grad()
def nearest_samples(
    objective: Objective, images: Tensor, *, starts: int, generator: torch.Generator, batch_size: int = 256
) -> Tensor:
    """For each image, the one of `starts` random latents whose sample has the smallest squared error."""
    candidates = draw_latents(starts, objective.latent_dim, generator)
    errors = [
        torch.cdist(images.flatten(1), objective.sample(batch).flatten(1)) for batch in candidates.split(batch_size)
    ]
    nearest: Tensor = candidates[torch.cat(errors, dim=1).argmin(dim=1)]
    return nearest


def on_sphere(latents: Tensor) -> Tensor:
    """Each latent scaled to length √latent_dim."""
    scaled: Tensor = latents / latents.norm(dim=1, keepdim=True) * latents.shape[1] ** 0.5
    return scaled
