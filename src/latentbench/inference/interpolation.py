"""Paths between two latents."""

from __future__ import annotations

import torch
from torch import Tensor


def interpolate(start: Tensor, end: Tensor, *, num_points: int, kind: str) -> Tensor:
    """Return (pairs, num_points, latent_dim) from `start` to `end`, both (pairs, latent_dim).

    Both ends are included. `kind` is a key of PATHS.
    """
    return PATHS[kind](start, end, torch.linspace(0, 1, num_points, device=start.device))


def linear(start: Tensor, end: Tensor, weights: Tensor) -> Tensor:
    """Interpolate along the straight line."""
    return torch.lerp(start[:, None], end[:, None], weights[None, :, None])


def spherical(start: Tensor, end: Tensor, weights: Tensor) -> Tensor:
    """Interpolate along the arc (White, 2016; Shoemake, 1985).

    Directions rotate at a constant rate. Lengths change linearly from that of one end to that of
    the other: they are typical of the prior only if both ends are. Where both directions are equal
    or opposite the path is linear.
    """
    start_length, start_direction = _length_and_direction(start)
    end_length, end_direction = _length_and_direction(end)
    cosine = (start_direction * end_direction).sum(dim=1).clamp(-1, 1)
    angle = cosine.acos()[:, None, None]
    steps = weights[None, :, None]
    directions = (
        ((1 - steps) * angle).sin() * start_direction[:, None]
        + (steps * angle).sin() * end_direction[:, None]
    ) / angle.sin()
    lengths = torch.lerp(start_length[:, None], end_length[:, None], steps)
    is_degenerate = angle.sin().abs() < 1e-4
    return torch.where(is_degenerate, linear(start, end, weights), directions * lengths)


def _length_and_direction(latents: Tensor) -> tuple[Tensor, Tensor]:
    length = torch.linalg.vector_norm(latents, dim=1, keepdim=True).clamp(min=1e-12)
    return length, latents / length


PATHS = {"linear": linear, "spherical": spherical}
