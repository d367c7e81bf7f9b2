"""The distribution that latents are drawn from: N(0, I), or one fitted to the codes of images.

A decoder is trained on codes. Where these are not distributed as N(0, I), it decodes draws from
N(0, I) that it has never seen. Ghosh et al. (2020), section 4, therefore fit a density to the codes
after training (ex-post density estimation) and draw latents from it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from latentbench.models.objective import HasEncoder, HasPosterior, draw_latents

PREFIX = "prior."  # of the names of its tensors in a checkpoint

# A component gets at least this many codes per latent dimension: below it, the likelihood of held-
# out codes falls (principal components of digits, of 32 and 128 dimensions).
_CODES_PER_DIMENSION = 4
# Added to the variances of the codes, which are scaled to 1.
_REGULARIZATION = 1e-4
# EM ends where the mean log-likelihood rises by less than this. scikit-learn's 1e-3 takes four
# times as long, for distances that are equal within their spread.
_TOLERANCE = 1e-2
_MAX_ITERATIONS = 100


@dataclass(frozen=True)
class Prior:
    """A mixture of Gaussians; N(0, I), which has one component, is `StandardNormal`.

    `weights` are (components,), `means` (components, latent_dim), and `scale_tril`, the Cholesky
    factors of the covariances, (components, latent_dim, latent_dim). All are float32, on the CPU.
    """

    weights: Tensor
    means: Tensor
    scale_tril: Tensor

    @staticmethod
    def standard(latent_dim: int) -> StandardNormal:
        """Return N(0, I)."""
        return StandardNormal(torch.ones(1), torch.zeros(1, latent_dim), torch.empty(0))

    @classmethod
    def fit(cls, codes: Tensor, *, num_components: int, seed: int) -> Self:
        """Fit a mixture with full covariances to codes (number, latent_dim) by EM.

        There are fewer components where there are too few codes for so many covariances.
        """
        from sklearn.mixture import GaussianMixture

        values = codes.cpu().double().numpy()
        center, spread = values.mean(axis=0), values.std(axis=0)
        # Constant dimensions would divide by 0.
        spread = np.maximum(spread, max(1e-6 * spread.max(), 1e-12))
        scaled = (values - center) / spread
        most = len(values) // (_CODES_PER_DIMENSION * values.shape[1])
        number = max(1, min(num_components, most, len(np.unique(scaled, axis=0))))
        mixture = GaussianMixture(
            number,
            tol=_TOLERANCE,
            reg_covar=_REGULARIZATION,
            max_iter=_MAX_ITERATIONS,
            random_state=seed % 2**32,
        )
        # scikit-learn needs two rows; a code counts twice then, which changes nothing.
        rows = scaled if len(scaled) > 1 else np.repeat(scaled, 2, axis=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of EM that has not converged
            mixture.fit(rows)
        factors = np.linalg.cholesky(mixture.covariances_)
        return cls(
            torch.from_numpy(mixture.weights_).float(),
            torch.from_numpy(center + spread * mixture.means_).float(),
            torch.from_numpy(spread[:, None] * factors).float(),
        )

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return the prior of `tensors`; raise ValueError if it is no distribution."""
        prior = cls(*(tensors[f"{PREFIX}{name}"] for name in ("weights", "means", "scale_tril")))
        is_distribution = bool((prior.weights >= 0).all()) and abs(prior.weights.sum() - 1) < 1e-3
        diagonals = prior.scale_tril.diagonal(dim1=1, dim2=2)
        is_cholesky = bool((diagonals > 0).all()) and torch.equal(
            prior.scale_tril, prior.scale_tril.tril()
        )
        if not (is_distribution and is_cholesky):
            raise ValueError("its prior is no mixture of Gaussians")
        return prior

    @staticmethod
    def shapes(num_components: int, latent_dim: int) -> dict[str, Tensor]:
        """Return empty tensors of the shapes that `tensors` has."""
        return {
            f"{PREFIX}weights": torch.empty(num_components),
            f"{PREFIX}means": torch.empty(num_components, latent_dim),
            f"{PREFIX}scale_tril": torch.empty(num_components, latent_dim, latent_dim),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint."""
        return {
            f"{PREFIX}weights": self.weights,
            f"{PREFIX}means": self.means,
            f"{PREFIX}scale_tril": self.scale_tril,
        }

    @property
    def num_components(self) -> int:
        """The number of Gaussians."""
        return len(self.weights)

    @property
    def mean(self) -> Tensor:
        """The mean (latent_dim,) over all components."""
        return self.weights @ self.means

    @property
    def std(self) -> float:
        """The root mean square over dimensions of the standard deviation; 1 for N(0, I)."""
        variances = self.scale_tril.square().sum(dim=2) + (self.means - self.mean).square()
        return float((self.weights @ variances).mean().sqrt())

    def sample(self, number: int, generator: torch.Generator) -> Tensor:
        """Return draws (number, latent_dim) on the CPU, which depend on a CPU `generator` alone.

        Draws from N(0, I) are those of `draw_latents`.
        """
        noise = draw_latents(number, self.means.shape[1], generator)
        return self.transform(noise, self.draw_components(number, generator))

    def draw_components(self, number: int, generator: torch.Generator) -> Tensor:
        """Return random components (number,); of a single one, without a random number."""
        if self.num_components == 1:
            return torch.zeros(number, dtype=torch.int64)
        return torch.multinomial(self.weights, number, replacement=True, generator=generator)

    def transform(self, noise: Tensor, components: Tensor) -> Tensor:
        """Return latents (number, latent_dim) of N(0, I) noise in these components (number,)."""
        latents = torch.empty_like(noise)
        # One component after another: a covariance per latent would not fit into memory.
        for component in range(self.num_components):
            rows = components == component
            mean, factor = self.means[component], self.scale_tril[component]
            latents[rows] = mean + noise[rows] @ factor.T
        return latents

    def log_prob(self, latents: Tensor) -> Tensor:
        """Return the log-density (number,) of latents (number, latent_dim), in float64."""
        components = MultivariateNormal(self.means.double(), scale_tril=self.scale_tril.double())
        mixture = MixtureSameFamily(Categorical(self.weights.double()), components)
        density: Tensor = mixture.log_prob(latents.cpu().double())
        return density


class StandardNormal(Prior):
    """N(0, I) without its covariance, which has 600 MB for latents of the size of an image."""

    @property
    def std(self) -> float:
        """The standard deviation, 1."""
        return 1.0

    def transform(self, noise: Tensor, components: Tensor) -> Tensor:  # noqa: ARG002
        """Return the noise itself."""
        return noise

    def log_prob(self, latents: Tensor) -> Tensor:
        """Return the log-density (number,) of latents (number, latent_dim), in float64."""
        values = latents.cpu().double()
        return -0.5 * (values.square() + math.log(2 * math.pi)).sum(dim=1)


def draw_codes(
    objective: HasEncoder, images: Tensor, labels: Tensor, generator: torch.Generator
) -> Tensor:
    """Return the codes (batch, latent_dim) of images on the CPU; draws of Gaussian posteriors.

    Over all images, draws have the distribution of the latents that the decoder was trained on, the
    aggregate posterior (Hoffman & Johnson, 2016). The means vary less: samples of a prior that is
    fitted to means are more precise, but less diverse and closer to the training images.
    """
    if not isinstance(objective, HasPosterior):
        return objective.encode(images, labels).float().cpu()
    mean, log_variance = objective.posterior(images, labels)
    noise = draw_latents(len(mean), mean.shape[1], generator)
    return mean.cpu() + noise * (0.5 * log_variance.cpu()).exp()
