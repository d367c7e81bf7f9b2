"""A trained model for all explorations: codes, decoded images, and shared random draws."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.progress import log
from latentbench.data.image_grid import Images
from latentbench.data.images import to_model
from latentbench.data.labels import label_vectors
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DataError
from latentbench.inference.draws import MAX_DIMENSIONS
from latentbench.inference.inversion import Inversion, invert
from latentbench.inference.model import Model
from latentbench.latent.realism import Realism
from latentbench.models.objective import HasPosterior, draw_latents
from latentbench.rng import numpy_generator, torch_generator

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]

STUDY_STREAM_SEED = 0

# A model with an ODE evaluates its network many times per image. It encodes and decodes this share
# of the images that others do, but no fewer than some.
_ODE_SHARE, _FEWEST = 0.1, 16

# Figures show at most this many labels, the most frequent ones.
MAX_LABELS = 26


class ModelProbe:
    """A trained model with its dataset; rows and noise are the same for all models of a study."""

    def __init__(
        self,
        model: Model,
        dataset: PreparedDataset,
        realism: Realism,
    ) -> None:
        config = model.config
        if model.sampling is not None:
            # Only without noise on the way does a latent belong to one image.
            model = model.with_sampling(churn=0)
        self.model = model
        self.settings = config.latent
        self.seed = config.seed
        self.threads = config.compute.threads
        self.objective = model.objective
        self.prior = model.prior
        self.prior_kind = config.model.prior_kind
        self.label_set = model.label_set
        self.dataset = dataset
        self.realism = realism
        self.device = model.device
        self.method = "encoding" if model.has_encoder else "inversion"
        if self.has_ode:
            self.method = "ODE"
        self.label_vectors = {
            split: label_vectors(dataset, split, config.model.condition)
            for split in ("train", "test")
        }
        number = dataset.manifest.test.num_images
        if number < 2:
            raise DataError(
                f"{dataset.folder} has {number} test images, but an interpolation needs two. Raise "
                "test_fraction."
            )
        # A small test split is explored as far as possible, because the model is trained already.
        if number < max(self.settings.num_reconstructions, 2 * self.settings.num_pairs):
            log(
                f"{config.name}: there are only {number} test images, so there are fewer "
                "reconstructions or interpolations than latent.num_reconstructions and "
                "latent.num_pairs request."
            )

    @property
    def has_encoder(self) -> bool:
        """Whether the model encodes images; others are inverted."""
        return self.model.has_encoder

    @property
    def has_ode(self) -> bool:
        """Whether latents are noise of the size of an image, which an ODE maps to the image."""
        return self.model.sampling is not None

    def limit(self, number: int) -> int:
        """Return how many of a number of images to encode or decode: with an ODE a tenth."""
        return ode_limit(number) if self.has_ode else number

    @cached_property
    def projected_rows(self) -> Rows:
        """The rows of the test images whose codes are projected."""
        return self.shuffled_rows("test", "codes")[: self.limit(self.settings.num_projected)]

    @cached_property
    def projected_codes(self) -> Tensor:
        """The codes (number, latent_dim) of these images; for models with an encoder."""
        rows = self.projected_rows
        return self.encode(self.images("test", rows), self.labels("test", rows))

    @property
    def has_fitted_prior(self) -> bool:
        """Whether the prior was fitted to codes, and so is not N(0, I)."""
        return self.prior_kind != "standard"

    @property
    def is_conditional(self) -> bool:
        """Whether the model is conditioned on labels."""
        return bool(self.label_set.names)

    @cached_property
    def shown_indices(self) -> list[int]:
        """The indices of the labels to show: all of them, or the most frequent ones."""
        by_frequency = np.argsort(self.label_set.counts, kind="stable")[::-1]
        return sorted(by_frequency[:MAX_LABELS].tolist())

    @cached_property
    def shown_names(self) -> list[str]:
        """The names of the labels to show; empty without a condition."""
        names = self.label_set.descriptions()
        return [names[index] for index in self.shown_indices] if self.is_conditional else []

    @cached_property
    def shown_labels(self) -> Tensor:
        """The vectors (labels, num_labels) of the labels to show."""
        vectors = self.label_set.round_robin(len(self.label_set))
        return vectors[self.shown_indices].to(self.device)

    def shuffled_rows(self, split: str, stream: str) -> Rows:
        """Return all rows of a split in an order that is the same for all models of a study."""
        number = getattr(self.dataset.manifest, split).num_images
        return numpy_generator(STUDY_STREAM_SEED, stream).permutation(number)

    def images(self, split: str, rows: Rows) -> Images:
        """Return uint8 (number, height, width, channel)."""
        return np.asarray(self.dataset.images(split)[rows])

    def labels(self, split: str, rows: Rows) -> Tensor:
        """Return float (number, num_labels)."""
        return torch.from_numpy(self.label_vectors[split][rows]).to(self.device, torch.float32)

    def noise(self, number: int, stream: str, *, dim: int | None = None) -> Tensor:
        """Return (number, dim) from N(0, I), by default of latent_dim dimensions.

        Models with different dimensions share the leading ones.
        """
        dim = self.objective.latent_dim if dim is None else dim
        generator = torch_generator(STUDY_STREAM_SEED, stream)
        draws = draw_latents(number, MAX_DIMENSIONS, generator)
        if dim > MAX_DIMENSIONS:
            further = torch_generator(STUDY_STREAM_SEED, f"{stream}, further dimensions")
            draws = torch.cat([draws, draw_latents(number, dim - MAX_DIMENSIONS, further)], dim=1)
        return draws[:, :dim].to(self.device)

    def latents(self, number: int, stream: str) -> Tensor:
        """Return draws (number, latent_dim) from the model's prior."""
        return self.transform(self.noise(number, stream), stream)

    def transform(self, noise: Tensor, stream: str) -> Tensor:
        """Return the latents (number, latent_dim) that the model's prior makes of N(0, I) noise.

        They are the noise where N(0, I) is the prior. Else `stream` decides their components.
        """
        generator = torch_generator(STUDY_STREAM_SEED, f"{stream}, components")
        components = self.prior.draw_components(len(noise), generator)
        return self.prior.transform(noise.cpu(), components).to(self.device)

    def encode(self, images: Images, labels: Tensor) -> Tensor:
        """Return codes (number, latent_dim); for models with an encoder."""
        return torch.from_numpy(self.model.encode(images, labels=labels)).to(self.device)

    def posterior(self, images: Images, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return posterior means and log-variances (number, latent_dim), or None without them."""
        if not isinstance(self.objective, HasPosterior):
            return None
        mean, log_variance = self.model.posterior(images, labels=labels)
        return torch.from_numpy(mean).to(self.device), torch.from_numpy(log_variance).to(
            self.device
        )

    def invert(self, images: Images, labels: Tensor, purpose: str) -> Inversion:
        """Search for latents whose samples are close to images; for models without encoder."""
        return invert(
            self.objective,
            to_model(torch.from_numpy(images).to(self.device)),
            labels,
            self.settings,
            generator=torch_generator(self.seed, f"inversion for {purpose}", device=self.device),
        )

    def encode_or_invert(self, images: Images, labels: Tensor, purpose: str) -> Tensor:
        """Return codes (number, latent_dim) by encoding or, without an encoder, by inversion."""
        if self.has_encoder:
            return self.encode(images, labels)
        return self.invert(images, labels, purpose).latents

    def decode(self, codes: Tensor, labels: Tensor) -> Images:
        """Return uint8 (..., height, width, channel).

        `codes` are (..., latent_dim) and `labels` (..., num_labels).
        """
        return self.model.decode_vectors(codes, labels)

    def predicted_labels(self, images: Images) -> dict[str, float]:
        """Return, by label, the share of the images for which the classifier predicts it.

        Empty where no classifier was trained on the labels of the model's condition.
        """
        names = self.label_set.names
        if names == self.realism.class_names:
            return self.realism.predicted_classes(images)
        attributes = self.realism.attribute_names
        if not set(names) <= set(attributes):
            return {}
        columns = [attributes.index(name) for name in names]
        predicted = self.realism.predict_attributes(images)[..., columns]
        counts = Counter(map(self.label_set.describe, predicted.reshape(-1, len(names)).tolist()))
        return {label: count / counts.total() for label, count in counts.items()}


def ode_limit(number: int) -> int:
    """Return how many images of a number to encode or decode by an ODE."""
    return max(min(number, _FEWEST), round(_ODE_SHARE * number))
