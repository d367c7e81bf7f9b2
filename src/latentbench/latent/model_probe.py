"""A trained model beside the real images that it is asked about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.progress import log
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.image_grid import Images
from latentbench.data.images import to_model, to_uint8
from latentbench.data.labels import label_vectors
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DataError
from latentbench.evaluation.checkpoints import TrainedModel
from latentbench.latent.inversion import Inversion, invert
from latentbench.latent.realism import Realism
from latentbench.models.objective import HasEncoder, HasPosterior, draw_latents
from latentbench.rng import numpy_generator, torch_generator

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]

# Images that go through a network at once.
BATCH_SIZE = 250

# Latents of the same seed begin alike whatever the model's dimension, so that models are shown for the same draw.
MOST_DIMENSIONS = 1024
STUDY_STREAM_SEED = 0

# Of a condition with more kinds of labels, only the most frequent are shown.
MOST_KINDS = 26


class ModelProbe:
    """What every exploration asks: real images and their codes, images of codes, draws that all models share."""

    def __init__(
        self,
        config: ExperimentConfig,
        trained: TrainedModel,
        dataset: PreparedDataset,
        realism: Realism,
        device: torch.device,
    ) -> None:
        self.settings = config.latent
        self.has_prior = config.model.has_prior
        self.seed = config.seed
        self.threads = config.compute.threads
        self.objective = trained.objective
        self.kinds = trained.labels
        self.dataset = dataset
        self.realism = realism
        self.device = device
        self.method = "encoding" if isinstance(self.objective, HasEncoder) else "inversion"
        self.label_vectors = {
            split: label_vectors(dataset, split, config.model.condition)
            for split in ("train", "test")
        }
        number = dataset.manifest.test.num_images
        if number < 2:
            raise DataError(
                f"{dataset.folder} has {number} test images, but a path needs two ends; raise test_fraction."
            )
        # A small dataset is explored as far as it goes, rather than refused once the training is over.
        if number < max(self.settings.num_reconstructions, 2 * self.settings.num_pairs):
            log(
                f"There are {number} test images: fewer are reconstructed or joined by paths than was asked for."
            )

    @property
    def can_encode(self) -> bool:
        return isinstance(self.objective, HasEncoder)

    @property
    def is_conditional(self) -> bool:
        return bool(self.kinds.names)

    @cached_property
    def shown_kinds(self) -> list[int]:
        """Which label kinds are shown, in their order: all, or the most frequent."""
        most_frequent = np.argsort(self.kinds.counts, kind="stable")[::-1][:MOST_KINDS]
        return sorted(most_frequent.tolist())

    @cached_property
    def shown_titles(self) -> list[str]:
        """What they are called; nothing where there is no condition."""
        titles = self.kinds.descriptions()
        return [titles[kind] for kind in self.shown_kinds] if self.is_conditional else []

    @cached_property
    def shown_labels(self) -> Tensor:
        """Their vectors (kinds, num_labels)."""
        return self.kinds.round_robin(len(self.kinds))[self.shown_kinds].to(self.device)

    def order(self, split: str, purpose: str) -> Rows:
        """All rows of a split in random order, the same for all models of a study."""
        number = getattr(self.dataset.manifest, split).num_images
        return numpy_generator(STUDY_STREAM_SEED, purpose).permutation(number)

    def images(self, split: str, rows: Rows) -> Images:
        return np.asarray(self.dataset.images(split)[rows])

    def labels(self, split: str, rows: Rows) -> Tensor:
        """Float (number, num_labels)."""
        return torch.from_numpy(self.label_vectors[split][rows]).to(self.device, torch.float32)

    def noise(self, number: int, purpose: str, *, dim: int | None = None) -> Tensor:
        """(number, dim) from N(0, I), of which all models of a study have the same beginning; default: latent_dim."""
        dim = self.objective.latent_dim if dim is None else dim
        generator = torch_generator(STUDY_STREAM_SEED, purpose)
        draws = draw_latents(number * MOST_DIMENSIONS, 1, generator).view(number, MOST_DIMENSIONS)
        return draws[:, :dim].to(self.device)

    @torch.no_grad()
    def encode(self, images: Images, labels: Tensor) -> Tensor:
        """Codes (number, latent_dim); for models that can."""
        assert isinstance(self.objective, HasEncoder)
        return torch.cat(
            [self.objective.encode(image, label) for image, label in self._batches(images, labels)]
        )

    @torch.no_grad()
    def posterior(self, images: Images, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """Codes and their log-variances, both (number, latent_dim), where the model gives both."""
        if not isinstance(self.objective, HasPosterior):
            return None
        found = [
            self.objective.posterior(image, label) for image, label in self._batches(images, labels)
        ]
        means, log_variances = zip(*found, strict=True)
        return torch.cat(means), torch.cat(log_variances)

    def invert(self, images: Images, labels: Tensor, purpose: str) -> Inversion:
        """The same for models that cannot."""
        return invert(
            self.objective,
            to_model(torch.from_numpy(images).to(self.device)),
            labels,
            self.settings,
            generator=torch_generator(self.seed, f"inversion for {purpose}", device=self.device),
        )

    def codes(self, images: Images, labels: Tensor, purpose: str) -> Tensor:
        return (
            self.encode(images, labels)
            if self.can_encode
            else self.invert(images, labels, purpose).latents
        )

    def decode(self, codes: Tensor, labels: Tensor) -> Images:
        """uint8 (..., height, width, channel) of codes (..., latent_dim) and labels (..., num_labels)."""
        flat = zip(
            codes.flatten(0, -2).split(BATCH_SIZE),
            labels.flatten(0, -2).split(BATCH_SIZE),
            strict=True,
        )
        images = torch.cat([to_uint8(self.objective.sample(code, label)) for code, label in flat])
        decoded: Images = images.unflatten(0, codes.shape[:-1]).cpu().numpy()
        return decoded

    def recognized(self, images: Images) -> dict[str, float]:
        """By the title of a label, the share of the images that the classifier takes for it; nothing where no
        classifier knows the labels that the model is asked by."""
        if self.kinds.names == self.realism.class_names:
            return self.realism.recognized(images)
        known = self.realism.attribute_names
        if not set(self.kinds.names) <= set(known):
            return {}
        asked = self.realism.attributes(images)[
            ..., [known.index(name) for name in self.kinds.names]
        ]
        titles = Counter(
            self.kinds.describe(vector)
            for vector in asked.reshape(-1, len(self.kinds.names)).tolist()
        )
        return {title: count / titles.total() for title, count in titles.items()}

    def _batches(self, images: Images, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """As models take them, on the device."""
        for image, label in zip(
            torch.from_numpy(images).split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True
        ):
            yield to_model(image.to(self.device)), label
