"""CMMD: the maximum mean discrepancy of CLIP embeddings (Jayasumana et al., 2024)."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

# As in the authors' code: the kernel's bandwidth and a factor that makes numbers readable.
BANDWIDTH = 10.0
SCALE = 1_000

# The largest number of real images to compare with, that of the authors' reference images.
MAX_REAL_IMAGES = 30_000

# Rows of a kernel matrix in memory at once.
_BLOCK = 1_000


class CMMD:
    """CMMD to one set of real embeddings, whose own kernel mean is computed once.

    It is 1,000 times the biased estimate of the squared maximum mean discrepancy (Gretton et al.,
    2012, equation 5). With n embeddings of unit length on each side, the bias is below 40 / n.
    """

    def __init__(self, real: Tensor) -> None:
        """`real` has shape (number, dim)."""
        self.real = real

    def __call__(self, samples: Tensor) -> float:
        """Return the distance of embeddings (number, dim)."""
        within = self._real_mean + gaussian_kernel_mean(samples, samples)
        return SCALE * (within - 2 * gaussian_kernel_mean(samples, self.real))

    @cached_property
    def _real_mean(self) -> float:
        return gaussian_kernel_mean(self.real, self.real)


def gaussian_kernel_mean(x: Tensor, y: Tensor, *, bandwidth: float = BANDWIDTH) -> float:
    """Return the mean of exp(-|x - y|² / (2 bandwidth²)) over all pairs of rows, in float64."""
    total = torch.zeros((), dtype=torch.float64, device=x.device)
    for x_block in x.split(_BLOCK):
        for y_block in y.split(_BLOCK):
            total += _kernel(x_block.double(), y_block.double(), bandwidth).sum()
    return total.item() / (len(x) * len(y))


def _kernel(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    distances = torch.addmm(squares, x, y.T, alpha=-2)
    return distances.div_(-2 * bandwidth**2).exp_()
