"""Paths between two latents."""

from __future__ import annotations

import torch
from torch import Tensor


def interpolate(start: Tensor, end: Tensor, *, num_points: int, kind: str) -> Tensor:
    """(pairs, num_points, latent_dim) from `start` to `end`, both (pairs, latent_dim) and both included, along one of
    PATHS."""
    return PATHS[kind](start, end, torch.linspace(0, 1, num_points, device=start.device))


def linear(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    return torch.lerp(start[:, None], end[:, None], shares[None, :, None])


def spherical(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """Along the arc, so that points in between are as long as latents are (White, 2016; Shoemake, 1985).

    The directions are turned at even angles and the lengths change evenly; where two directions are one the
    path is straight.
    """
    lengths = [latents.norm(dim=1, keepdim=True).clamp(min=1e-12) for latents in (start, end)]
    directions = [latents / length for latents, length in zip((start, end), lengths, strict=True)]
    angle = (directions[0] * directions[1]).sum(dim=1).clamp(-1, 1).acos()[:, None, None]
    steps = shares[None, :, None]
    turned = (
        ((1 - steps) * angle).sin() * directions[0][:, None]
        + (steps * angle).sin() * directions[1][:, None]
    ) / angle.sin()
    length = torch.lerp(lengths[0][:, None], lengths[1][:, None], steps)
    return torch.where(angle.sin().abs() < 1e-4, linear(start, end, shares), turned * length)


PATHS = {"linear": linear, "spherical": spherical}
