"""Likelihoods of images: densities over [-1, 1] per pixel, with their normalizing constants.

Outputs are a decoder's values before its last activation, (batch, channel, height, width).
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup

# With the optimal standard deviation, a perfect reconstruction would have an infinite likelihood.
# An eighth of the step between two of 256 levels is below the resolution of 8-bit images.
MIN_VARIANCE = (2 / 255 / 8) ** 2

# Below this logit, log(l / tanh(l/2)) is computed from its series with an error below float32's.
_SMALL_LOGIT = 0.1


class Likelihood(Protocol):
    """A distribution of images given a decoder's outputs."""

    def mean(self, outputs: Tensor) -> Tensor:
        """Return the mean images in [-1, 1], in the shape of the outputs."""
        ...

    def nll(
        self, outputs: Tensor, images: Tensor, *, processes: ProcessGroup = SINGLE_PROCESS
    ) -> Tensor:
        """Return -log p(images) per image in nats, (batch,).

        With several processes, the tensors are this process's shard of a batch.
        """
        ...

    def fixed(self, mse: float) -> Likelihood:
        """Return the likelihood in which what `nll` estimates from a batch is fitted to `mse`."""
        ...


class Gaussian:
    """N(tanh(outputs), std² I); with `std` None, the maximum-likelihood value of each batch."""

    def __init__(self, std: float | None) -> None:
        self.std = std

    def mean(self, outputs: Tensor) -> Tensor:
        """Return tanh(outputs)."""
        return outputs.tanh()

    def nll(
        self, outputs: Tensor, images: Tensor, *, processes: ProcessGroup = SINGLE_PROCESS
    ) -> Tensor:
        """Return -log p(images) per image in nats, (batch,)."""
        squared_error = (images - self.mean(outputs)).square().sum(dim=(1, 2, 3))
        dimensions = images[0].numel()
        variance = self._variance(squared_error, dimensions, processes)
        return gaussian_nll(squared_error, variance, dimensions=dimensions)

    def fixed(self, mse: float) -> Gaussian:
        """Return the likelihood with a variance of `mse`, unless `std` is set."""
        return Gaussian(self.std or max(mse, MIN_VARIANCE) ** 0.5)

    def _variance(
        self, squared_error: Tensor, dimensions: int, processes: ProcessGroup = SINGLE_PROCESS
    ) -> Tensor:
        """Return the variance; its optimum is the MSE (Rybkin et al., 2021, equation 4)."""
        mse = squared_error.detach().mean() / dimensions
        if self.std is not None:
            return torch.full_like(mse, self.std**2)
        [batch_mse] = processes.all_reduce_mean([mse])
        return batch_mse.clamp(min=MIN_VARIANCE)


class ContinuousBernoulli:
    """The continuous Bernoulli of Loaiza-Ganem & Cunningham (2019), rescaled to [-1, 1].

    Its density on [0, 1] is proportional to λˣ(1 - λ)¹⁻ˣ with λ = σ(2 · outputs). The Bernoulli
    distribution itself, without the normalizing constant, is no density of gray values.
    """

    def mean(self, outputs: Tensor) -> Tensor:
        """Return 2 E[x] - 1 = coth(a) - 1/a, with a = outputs (their equation 8)."""
        is_small = outputs.abs() < _SMALL_LOGIT
        safe = torch.where(is_small, 1.0, outputs)
        return torch.where(is_small, outputs / 3 - outputs**3 / 45, 1 / safe.tanh() - 1 / safe)

    def nll(
        self,
        outputs: Tensor,
        images: Tensor,
        *,
        processes: ProcessGroup = SINGLE_PROCESS,  # noqa: ARG002
    ) -> Tensor:
        """Return -log C(λ) - x log λ - (1 - x) log(1 - λ) per image in nats, (batch,).

        Each dimension adds log 2, because [-1, 1] is twice as long as [0, 1].
        """
        logits, levels = 2 * outputs, (images + 1) / 2
        cross_entropy = functional.softplus(logits) - levels * logits
        return (cross_entropy - log_bernoulli_constant(logits) + math.log(2)).sum(dim=(1, 2, 3))

    def fixed(self, mse: float) -> ContinuousBernoulli:  # noqa: ARG002
        """Return the likelihood itself."""
        return self


def gaussian_nll(squared_error: Tensor, variance: Tensor, *, dimensions: int) -> Tensor:
    """Return -log N(x; x̂, variance · I) per image in nats, (batch,), constant included.

    `squared_error` (batch,) is ‖x - x̂‖²; `variance` is a scalar.
    """
    return 0.5 * (dimensions * (math.log(2 * math.pi) + variance.log()) + squared_error / variance)


def log_bernoulli_constant(logits: Tensor) -> Tensor:
    """Return log C(λ) = log(l / tanh(l/2)) with l = logit λ, and log 2 at l = 0.

    Loaiza-Ganem & Cunningham (2019), equation 7.
    """
    is_small = logits.abs() < _SMALL_LOGIT
    safe = torch.where(is_small, 1.0, logits)
    series = math.log(2) + logits.square() / 12 - logits.square().square() * (7 / 1440)
    return torch.where(is_small, series, (safe / (safe / 2).tanh()).log())


def bits_per_dimension(nll: Tensor, *, dimensions: int) -> Tensor:
    """Convert nats of a density over [-1, 1] to bits per dimension of 8-bit images.

    Two levels are 2/255 apart.
    """
    return nll / (dimensions * math.log(2)) + math.log2(255 / 2)
