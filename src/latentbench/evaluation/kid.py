"""The kernel distance: an unbiased estimate of a squared maximum mean discrepancy, over subsets."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Subsets of real images are drawn from at most so many of them.
MOST_REAL_IMAGES = 5_000

# Rows of a kernel matrix that are in memory at once.
_BLOCK = 1_000


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(xᵀy / dim + 1)³ of all pairs of rows (Bińkowski et al., 2018, section 4)."""
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)


def draw_subsets(number: int, *, subsets: int, size: int, generator: torch.Generator) -> Tensor:
    """Indices below `number`, (subsets, size), each row without repetition; size is at most `number`."""
    rows = [torch.randperm(number, generator=generator)[:size] for _ in range(subsets)]
    return torch.stack(rows)


class KernelDistance:
    """Distances of sets of samples to one set of real features, over subsets drawn once.

    A subset's kernel sum is 1ₛᵀ K 1ₛ with the subset's indicator 1ₛ. Each pair's kernel is therefore computed
    once, however many subsets it is in, and what the real features have among themselves once in all.
    """

    def __init__(self, real: Tensor, subsets: Tensor) -> None:
        """`real` (number, dim); `subsets` (subsets, size) are indices into it."""
        self.real = real.to(torch.float64)
        self.chosen = _indicators(subsets, self.real)
        self.among_real = _among(self.real, self.chosen)
        self.size = subsets.shape[1]

    def __call__(self, samples: Tensor, subsets: Tensor) -> Tensor:
        """Unbiased squared discrepancies (subsets,), paired in order (Gretton et al., 2012, equation 3).

        `samples` (number, dim); `subsets` are as many and as large as those of the real features.
        """
        chosen = _indicators(subsets, samples)
        m = self.size
        within = (_among(samples, chosen) + self.among_real) / (m * (m - 1))
        return within - 2 * _between(samples, chosen, self.real, self.chosen) / m**2


def _indicators(subsets: Tensor, features: Tensor) -> Tensor:
    """(number, subsets): 1 where a row of `features` is in the subset."""
    chosen = torch.zeros(len(features), len(subsets), dtype=torch.float64)
    for place, subset in enumerate(subsets):
        chosen[subset, place] = 1
    return chosen.to(features.device)


def _between(x: Tensor, chosen_x: Tensor, y: Tensor, chosen_y: Tensor) -> Tensor:
    """The kernel's sum over all pairs of each subset of x with that of y, (subsets,)."""
    total = torch.zeros(chosen_x.shape[1], dtype=torch.float64, device=x.device)
    for block, chosen in _blocks(x, chosen_x):
        for other, its_chosen in _blocks(y, chosen_y):
            total += (chosen * (polynomial_kernel(block, other) @ its_chosen)).sum(dim=0)
    return total


def _among(x: Tensor, chosen: Tensor) -> Tensor:
    """The kernel's sum over the pairs of different members of each subset, (subsets,)."""
    total = _between(x, chosen, x, chosen)
    for block, its_chosen in _blocks(x, chosen):
        total -= block.square().sum(dim=1).div(x.shape[1]).add(1).pow(3) @ its_chosen
    return total


def _blocks(features: Tensor, chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of both, the features in float64: not all of them at once, for there may be many."""
    for block, rows in zip(features.split(_BLOCK), chosen.split(_BLOCK), strict=True):
        yield block.to(torch.float64), rows
