"""Bounds on the log-likelihood of test images, by importance sampling."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.progress import track
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.models import PriorKind
from latentbench.data.images import to_model
from latentbench.data.labels import label_vectors
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DivergenceError
from latentbench.evaluation.findings import Findings
from latentbench.inference.model import Model
from latentbench.models.likelihoods import bits_per_dimension
from latentbench.models.objective import HasLikelihood
from latentbench.rng import numpy_generator, torch_generator

# Training images whose mean squared error fixes a variance, and the size of their batches. The
# draws depend on the batches, so their size is no setting.
NUM_TRAINING = 1_000
_TRAINING_BATCH_SIZE = 250

# The images do not depend on the experiment, so all models of a dataset are compared on the same.
_IMAGE_SEED = 0


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """Return log((1/k) Σ wᵢ) over the last dimension, of k weights, in float64.

    Burda et al. (2016), equation 8. Its expectation is the ELBO at k = 1, and grows with k toward
    log p(x).
    """
    return log_weights.double().logsumexp(dim=-1) - math.log(log_weights.shape[-1])


class LikelihoodEstimator:
    """Bounds the likelihood of a model with a density, on test images that all models share."""

    def __init__(
        self,
        config: ExperimentConfig,
        trained: Model,
        dataset: PreparedDataset,
        *,
        device: torch.device,
    ) -> None:
        self.config = config
        self.trained = trained
        self.dataset = dataset
        self.device = device

    def findings(self) -> Findings:
        """Return the ELBO and the importance-weighted bound by prior; nothing for other models."""
        if not self.config.evaluation.importance_samples:
            return Findings()
        if not isinstance(self.trained.objective, HasLikelihood):
            return Findings()
        rows = []
        for prior, log_weights in self._log_weights(self.trained.objective).items():
            # The ELBO is the mean of the same weights, so no image has a higher ELBO than bound.
            elbos, bounds = log_weights.mean(dim=1), importance_weighted_bound(log_weights)
            row = self._summary("elbo", elbos) | self._summary("bound", bounds)
            rows.append({"prior": prior} | row | _mean_and_error("gap_nats", bounds - elbos))
        num_images, num_draws = log_weights.shape
        facts = {"num_images": num_images, "num_draws": num_draws, "bounds": rows}
        return Findings(facts={"likelihood": facts})

    @torch.no_grad()
    def _log_weights(self, objective: HasLikelihood) -> dict[PriorKind, Tensor]:
        """Return the log-weights of `importance_samples` codes per image, by prior.

        They are float64, (images, draws), on the CPU. The draws depend on the seed and the image
        only, and are the same for all priors.
        """
        settings = self.config.evaluation
        training_mse = self._training_mse()
        size = (settings.importance_samples, self.trained.objective.latent_dim)
        by_prior: dict[PriorKind, list[Tensor]] = {prior: [] for prior in self.trained.priors}
        rows = self._rows("test", settings.num_likelihood_images)
        for index, (image, label) in enumerate(self._batches("test", rows, size=1)):
            generator = torch_generator(self.config.seed, "importance weights", index)
            noise = torch.randn(size, generator=generator).to(self.device)
            parts = [
                objective.draw_weighted_codes(image, label, part[None], training_mse=training_mse)
                for part in noise.split(settings.batch_size)
            ]
            codes = torch.cat([part[0] for part, _ in parts])
            ratios = torch.cat([part[0] for _, part in parts]).cpu()
            for name, prior in self.trained.priors.items():
                by_prior[name].append(prior.log_prob(codes) + ratios)
        found = {name: torch.stack(by_image) for name, by_image in by_prior.items()}
        if not all(bool(torch.isfinite(log_weights).all()) for log_weights in found.values()):
            raise DivergenceError(
                f"The likelihood of {self.config.name} is infinite or NaN: its training diverged. "
                "Train the experiment again with a lower learning rate."
            )
        return found

    def _training_mse(self) -> float:
        """Return the mean squared error of training images, decoded from one draw per code."""
        rows = self._rows("train", NUM_TRAINING)
        total = 0.0
        batches = self._batches("train", rows, size=_TRAINING_BATCH_SIZE)
        for index, (images, labels) in enumerate(batches):
            generator = torch_generator(self.config.seed, "training error", index, self.device)
            terms = self.trained.objective.validate(images, labels, generator=generator)
            total += len(images) * terms["mse"].item()
        return total / len(rows)

    def _rows(self, split: str, number: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        num_images = getattr(self.dataset.manifest, split).num_images
        order = numpy_generator(_IMAGE_SEED, f"likelihood of {split}").permutation(num_images)
        return order[:number]

    def _batches(
        self, split: str, rows: np.ndarray[Any, np.dtype[np.int64]], *, size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images in [-1, 1] and their labels, on the device."""
        images = torch.from_numpy(np.array(self.dataset.images(split)[rows]))
        vectors = label_vectors(self.dataset, split, self.config.model.condition)[rows]
        labels = torch.from_numpy(vectors).float()
        batches = zip(images.split(size), labels.split(size), strict=True)
        total = -(-len(rows) // size)
        what = f"{self.config.name}, likelihood of {split} images"
        for image, label in track(batches, what, total=total, unit="batches"):
            yield to_model(image.to(self.device)), label.to(self.device)

    def _summary(self, name: str, log_likelihoods: Tensor) -> dict[str, float | None]:
        """Return the mean in nats and in bits per dimension, with standard errors over images."""
        manifest = self.dataset.manifest
        dimensions = manifest.image_size**2 * manifest.channels
        bits = bits_per_dimension(-log_likelihoods, dimensions=dimensions)
        nats = _mean_and_error(f"{name}_nats", log_likelihoods)
        return nats | _mean_and_error(f"{name}_bits_per_dimension", bits)


def _mean_and_error(name: str, values: Tensor) -> dict[str, float | None]:
    """Return the mean over images and its standard error, which a single image does not have."""
    error = values.std().item() / len(values) ** 0.5 if len(values) > 1 else None
    return {name: values.mean().item(), f"{name}_std_error": error}
