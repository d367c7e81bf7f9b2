"""Inversion: latents of real images for models without an encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from latentbench.config.experiments import Latent
from latentbench.models.objective import Objective, draw_latents, frozen
from latentbench.runtime.adam import Adam


@dataclass(frozen=True)
class Inversion:
    """Latents (batch, latent_dim) and the errors (batch, steps + 1) after 0, 1, 2, ... steps.

    Errors are mean squared errors of pixels in [0, 1].
    """

    latents: Tensor
    errors: Tensor


def invert(
    objective: Objective,
    images: Tensor,
    labels: Tensor,
    settings: Latent,
    *,
    generator: torch.Generator,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Inversion:
    """Find latents whose images under `labels` have a small squared error to `images`.

    `images` are (batch, channel, height, width). For each image, Adam (Creswell & Bharath, 2018)
    starts at the closest of `inversion_starts` random samples. Latents stay on the sphere of radius
    √latent_dim, where N(0, I) has its mass: elsewhere a generator can reproduce images with latents
    that are never drawn.

    `progress` wraps the numbers of the steps, as tqdm does. `generator` may be on another device.
    """
    latents = closest_samples(
        objective, images, labels, starts=settings.inversion_starts, generator=generator
    )
    latents = on_sphere(latents).requires_grad_()
    optimizer = Adam([latents], learning_rate=settings.inversion_learning_rate)  # type: ignore[list-item]
    errors = []
    with frozen(objective):
        for step in progress(range(settings.inversion_steps)):
            error = _errors(objective, latents, labels, images)
            errors.append(error.detach())
            # Each image has its own latent, so the gradients of the sum are independent.
            error.sum().backward()
            remaining = 1 - step / settings.inversion_steps
            optimizer.learning_rate = settings.inversion_learning_rate * remaining
            optimizer.step()
    with torch.no_grad():
        errors.append(_errors(objective, latents, labels, images))
    # Pixels are in [-1, 1] here; errors are reported for [0, 1].
    return Inversion(on_sphere(latents).detach(), torch.stack(errors, dim=1) / 4)


def _errors(objective: Objective, latents: Tensor, labels: Tensor, images: Tensor) -> Tensor:
    return (objective.decode(on_sphere(latents), labels) - images).square().mean(dim=(1, 2, 3))


@torch.no_grad()
def closest_samples(
    objective: Objective,
    images: Tensor,
    labels: Tensor,
    *,
    starts: int,
    generator: torch.Generator,
    batch_size: int = 256,
) -> Tensor:
    """Return, for each image, the best of `starts` random latents under the image's label."""
    candidates = draw_latents(starts, objective.latent_dim, generator).to(images.device)
    closest = torch.empty(len(images), objective.latent_dim, device=images.device)
    # `unique` does not accept vectors without entries, which are all equal.
    for label in labels.unique(dim=0) if labels.shape[1] else labels[:1]:
        same_label = (labels == label).all(dim=1)
        targets = images[same_label].flatten(1)
        errors = []
        for batch in candidates.split(batch_size):
            samples = objective.sample(batch, label.expand(len(batch), -1)).flatten(1)
            errors.append(torch.cdist(targets, samples))
        closest[same_label] = candidates[torch.cat(errors, dim=1).argmin(dim=1)]
    return closest


def on_sphere(latents: Tensor) -> Tensor:
    """Scale each latent to length √latent_dim."""
    lengths = torch.linalg.vector_norm(latents, dim=1, keepdim=True)
    scaled: Tensor = latents / lengths * latents.shape[1] ** 0.5
    return scaled
