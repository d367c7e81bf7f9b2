"""Latents of the user as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.errors import ArgumentError

Latents = np.ndarray[Any, np.dtype[np.float32]]
LatentInput = np.ndarray[Any, np.dtype[Any]] | Tensor


def are_latents(values: Any, latent_dim: int) -> bool:
    """Return whether these are latents (latent_dim,) or (number, latent_dim), and no images."""
    if not isinstance(values, np.ndarray | Tensor) or values.ndim not in (1, 2):
        return False
    if isinstance(values, Tensor):
        is_floating = values.is_floating_point()
    else:
        is_floating = np.issubdtype(values.dtype, np.floating)
    return is_floating and values.shape[-1] == latent_dim


def latent_tensor(latents: LatentInput, latent_dim: int) -> Tensor:
    """Return latents as a float32 tensor (..., latent_dim) on their device.

    Raises ArgumentError if they are no array or have another shape.
    """
    try:
        # A copy: PyTorch takes no array that is read-only or has negative strides.
        array = latents if isinstance(latents, Tensor) else np.array(latents, np.float32)
        tensor = torch.as_tensor(array, dtype=torch.float32)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"The latents are of type {type(latents).__name__}; give an array (number, "
            f"{latent_dim})."
        ) from None
    if tensor.ndim == 0 or tensor.shape[-1] != latent_dim or not tensor.numel():
        raise ArgumentError(
            f"The latents have the shape {tuple(tensor.shape)}; the model decodes (number, "
            f"{latent_dim})."
        )
    return tensor
