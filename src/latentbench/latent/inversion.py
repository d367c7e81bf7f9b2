"""Latents of real images for models that cannot encode: searched for, then optimized."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentbench.config.experiments import Latent
from latentbench.models.objective import Objective, draw_latents, frozen
from latentbench.runtime.adam import Adam


@dataclass(frozen=True)
class Inversion:
    """Latents (batch, latent_dim), and the mean squared error of each image, of pixels in [0, 1], after 0, 1, 2, ...
    steps, (batch, steps + 1)."""

    latents: Tensor
    errors: Tensor


def invert(
    objective: Objective,
    images: Tensor,
    labels: Tensor,
    settings: Latent,
    *,
    generator: torch.Generator,
) -> Inversion:
    """Latents that, decoded with `labels`, are close to `images` (batch, channel, height, width) in squared error.

    Begins, for each image, at the nearest of `inversion_starts` random samples, and follows Adam from there (Creswell &
    Bharath, 2018). A latent is kept on the sphere of radius √latent_dim, where N(0, I) has its mass: off it a
    generator can copy pixels with latents that it would never be given.
    """
    latents = nearest_samples(
        objective, images, labels, starts=settings.inversion_starts, generator=generator
    )
    latents = on_sphere(latents).requires_grad_()
    optimizer = Adam([latents], learning_rate=settings.inversion_learning_rate)  # type: ignore[list-item]
    errors = []
    with frozen(objective):
        for step in range(settings.inversion_steps):
            error = _errors(objective, latents, labels, images)
            errors.append(error.detach())
            # Each image has its own latent, so the sum over images does not couple them.
            error.sum().backward()
            optimizer.learning_rate = settings.inversion_learning_rate * (
                1 - step / settings.inversion_steps
            )
            optimizer.step()
    with torch.no_grad():
        errors.append(_errors(objective, latents, labels, images))
    # Pixels of the model span 2, those of [0, 1] span 1.
    return Inversion(on_sphere(latents).detach(), torch.stack(errors, dim=1) / 4)


def _errors(objective: Objective, latents: Tensor, labels: Tensor, images: Tensor) -> Tensor:
    return (objective.decode(on_sphere(latents), labels) - images).square().mean(dim=(1, 2, 3))


@torch.no_grad()
def nearest_samples(
    objective: Objective,
    images: Tensor,
    labels: Tensor,
    *,
    starts: int,
    generator: torch.Generator,
    batch_size: int = 256,
) -> Tensor:
    """For each image, the one of `starts` random latents whose sample, of its label, has the smallest squared error."""
    candidates = draw_latents(starts, objective.latent_dim, generator)
    nearest = torch.empty(len(images), objective.latent_dim, device=images.device)
    # `unique` takes no vectors of no entries, which are all alike.
    for label in labels.unique(dim=0) if labels.shape[1] else labels[:1]:
        alike = (labels == label).all(dim=1)
        errors = [
            torch.cdist(
                images[alike].flatten(1),
                objective.sample(batch, label.expand(len(batch), -1)).flatten(1),
            )
            for batch in candidates.split(batch_size)
        ]
        nearest[alike] = candidates[torch.cat(errors, dim=1).argmin(dim=1)]
    return nearest


def on_sphere(latents: Tensor) -> Tensor:
    """Each latent scaled to length √latent_dim."""
    scaled: Tensor = latents / latents.norm(dim=1, keepdim=True) * latents.shape[1] ** 0.5
    return scaled
