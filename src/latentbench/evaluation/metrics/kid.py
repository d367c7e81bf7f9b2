"""The kernel distance: an unbiased estimate of the squared MMD, over random subsets."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Subsets of real images are drawn from at most this many of them.
MAX_REAL_IMAGES = 5_000

# Rows of a kernel matrix in memory at once.
_BLOCK = 1_000


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return (xᵀy / dim + 1)³ for all pairs of rows (Bińkowski et al., 2018, section 4)."""
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)


def draw_subsets(number: int, *, subsets: int, size: int, generator: torch.Generator) -> Tensor:
    """Return indices below `number`, (subsets, size), each row without replacement."""
    rows = [torch.randperm(number, generator=generator)[:size] for _ in range(subsets)]
    return torch.stack(rows)


class KernelDistance:
    """Kernel distances (KID) to one set of real features, whose subsets are drawn once.

    A subset's kernel sum is 1ₛᵀ K 1ₛ with the subset's indicator vector 1ₛ. Each pair's kernel
    value is therefore computed once, however many subsets contain the pair, and the sums among real
    features once in all. For 100 subsets of 1,000 of 5,000 images with 2,048 features this takes
    9 s after 4 s once, in float64; clean-fid's `kernel_distance` takes 50 s, and 19 s in float32
    (AMD EPYC, 1 thread).
    """

    def __init__(self, real: Tensor, subsets: Tensor) -> None:
        """`real` has shape (number, dim); `subsets` (subsets, size) holds indices into it."""
        self.real = real.to(torch.float64)
        self.indicators = _indicators(subsets, self.real)
        self.real_sums = _within_sums(self.real, self.indicators)
        self.size = subsets.shape[1]

    def __call__(self, samples: Tensor, subsets: Tensor) -> Tensor:
        """Return an unbiased squared MMD per pair of subsets (Gretton et al., 2012, eq. 3).

        `samples` (number, dim); `subsets` are as many and as large as those of the real features.
        """
        indicators = _indicators(subsets, samples)
        m = self.size
        within = (_within_sums(samples, indicators) + self.real_sums) / (m * (m - 1))
        return within - 2 * _cross_sums(samples, indicators, self.real, self.indicators) / m**2


def _indicators(subsets: Tensor, features: Tensor) -> Tensor:
    """Return (number, subsets): 1 where a row of `features` is in the subset."""
    indicators = torch.zeros(len(features), len(subsets), dtype=torch.float64)
    for place, subset in enumerate(subsets):
        indicators[subset, place] = 1
    return indicators.to(features.device)


def _cross_sums(x: Tensor, in_x: Tensor, y: Tensor, in_y: Tensor) -> Tensor:
    """Return the kernel's sum over all pairs of a subset of x and a subset of y, (subsets,)."""
    total = torch.zeros(in_x.shape[1], dtype=torch.float64, device=x.device)
    for x_block, in_x_block in _blocks(x, in_x):
        for y_block, in_y_block in _blocks(y, in_y):
            total += (in_x_block * (polynomial_kernel(x_block, y_block) @ in_y_block)).sum(dim=0)
    return total


def _within_sums(x: Tensor, in_x: Tensor) -> Tensor:
    """Return the kernel's sum over pairs of different members of each subset, (subsets,)."""
    total = _cross_sums(x, in_x, x, in_x)
    for block, in_block in _blocks(x, in_x):
        total -= block.square().sum(dim=1).div(x.shape[1]).add(1).pow(3) @ in_block
    return total


def _blocks(features: Tensor, indicators: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows of both, the features in float64, so that few are in memory in float64 at once."""
    for block, rows in zip(features.split(_BLOCK), indicators.split(_BLOCK), strict=True):
        yield block.to(torch.float64), rows
