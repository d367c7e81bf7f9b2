"""Likelihoods of images: densities over [-1, 1] per pixel, their constants kept, so that objectives compare.

Both take what a decoder gives before its last activation, (batch, channel, height, width).
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup

# With the optimal standard deviation a perfect reconstruction would have infinite likelihood; an eighth of the
# step between two of the 256 levels is as fine as 8-bit images can tell.
SMALLEST_VARIANCE = (2 / 255 / 8) ** 2

# From here down log(l / tanh(l/2)) is computed by its series, whose next term is under float32's rounding.
_SMALL_LOGIT = 0.1


class Likelihood(Protocol):
    def mean(self, outputs: Tensor) -> Tensor:
        """The images in [-1, 1] that are expected."""
        ...

    def nll(
        self, outputs: Tensor, images: Tensor, *, processes: ProcessGroup = SINGLE_PROCESS
    ) -> Tensor:
        """-log p(images) per image, (batch,), in nats; the batch may be shared among processes."""
        ...


class Gaussian:
    """N(tanh(outputs), std² I); `std` None is its maximum-likelihood value for each batch."""

    def __init__(self, std: float | None) -> None:
        self.std = std

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs.tanh()

    def nll(
        self, outputs: Tensor, images: Tensor, *, processes: ProcessGroup = SINGLE_PROCESS
    ) -> Tensor:
        squared_error = (images - self.mean(outputs)).square().sum(dim=(1, 2, 3))
        dimensions = images[0].numel()
        variance = self._variance(squared_error, dimensions, processes)
        return gaussian_nll(squared_error, variance, dimensions=dimensions)

    def _variance(
        self, squared_error: Tensor, dimensions: int, processes: ProcessGroup = SINGLE_PROCESS
    ) -> Tensor:
        """The optimum is the mean squared error (Rybkin et al., 2021, equation 4)."""
        mse = squared_error.detach().mean() / dimensions
        if self.std is not None:
            return torch.full_like(mse, self.std**2)
        [whole] = processes.all_reduce_mean([mse])
        return whole.clamp(min=SMALLEST_VARIANCE)


class ContinuousBernoulli:
    """The density on [0, 1] that is proportional to λˣ(1 - λ)¹⁻ˣ, at λ = σ(2 · outputs) (Loaiza-Ganem & Cunningham,
    2019), carried over to [-1, 1]. A Bernoulli's probability of a gray value is no density: its constant is missing.
    """

    def mean(self, outputs: Tensor) -> Tensor:
        """2 E[x] - 1 = coth(a) - 1/a (their equation 8, with a = outputs)."""
        is_small = outputs.abs() < _SMALL_LOGIT
        safe = torch.where(is_small, 1.0, outputs)
        return torch.where(is_small, outputs / 3 - outputs**3 / 45, 1 / safe.tanh() - 1 / safe)

    def nll(
        self, outputs: Tensor, images: Tensor, *, processes: ProcessGroup = SINGLE_PROCESS
    ) -> Tensor:  # noqa: ARG002
        """-log C(λ) - x log λ - (1 - x) log(1 - λ), and log 2 for each dimension, since [-1, 1] is twice as long."""
        logits, levels = 2 * outputs, (images + 1) / 2
        cross_entropy = functional.softplus(logits) - levels * logits
        return (cross_entropy - log_bernoulli_constant(logits) + math.log(2)).sum(dim=(1, 2, 3))


def gaussian_nll(squared_error: Tensor, variance: Tensor, *, dimensions: int) -> Tensor:
    """-log N(x; x̂, variance · I) per image, in nats, its constant kept.

    `squared_error` (batch,) is ‖x - x̂‖²; `variance` is a scalar in squared units of [-1, 1].
    """
    return 0.5 * (dimensions * (math.log(2 * math.pi) + variance.log()) + squared_error / variance)


def log_bernoulli_constant(logits: Tensor) -> Tensor:
    """log C(λ) = log(l / tanh(l/2)) with l = logit λ; log 2 at l = 0 (Loaiza-Ganem & Cunningham, 2019, equation 7)."""
    is_small = logits.abs() < _SMALL_LOGIT
    safe = torch.where(is_small, 1.0, logits)
    series = math.log(2) + logits.square() / 12 - logits.square().square() * (7 / 1440)
    return torch.where(is_small, series, (safe / (safe / 2).tanh()).log())


def bits_per_dimension(nll: Tensor, *, dimensions: int) -> Tensor:
    """Of 8-bit images, from nats of a density over [-1, 1], in which two levels are 2/255 apart."""
    return nll / (dimensions * math.log(2)) + math.log2(255 / 2)
