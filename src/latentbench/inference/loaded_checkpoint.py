"""A loaded checkpoint: networks, labels, priors, and how images and labels become their inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from latentbench.config.experiments import ExperimentConfig
from latentbench.config.models import PriorKind
from latentbench.data.image_grid import Images
from latentbench.data.images import to_model
from latentbench.data.labels import LabelSet
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.errors import ArgumentError, UnsupportedError, list_names
from latentbench.inference.conditions import LabelInput, label_vectors
from latentbench.inference.draws import draw_indices
from latentbench.inference.images import ImageInput, prepare_images
from latentbench.inference.latents import LatentInput, latent_tensor
from latentbench.models.objective import (
    HasDiscriminator,
    HasEncoder,
    HasSampling,
    Objective,
    Sampling,
)
from latentbench.models.prior import Prior

# Images per forward pass.
BATCH_SIZE = 250


@dataclass(frozen=True, repr=False, eq=False)
class LoadedCheckpoint:
    """The networks of a checkpoint, with what describes their inputs and outputs.

    Attributes:
        config: The settings of the experiment.
        epoch: The epoch of the checkpoint.
        device: Where the networks compute.
        objective: The networks with their loss, in evaluation mode.
        label_set: The labels of the training images; one without entries if unconditional.
        priors: Distributions of latents. The first is that of the settings. Where it was fitted,
            N(0, I) is the second.
        resize_spec: How the dataset's images were prepared.
    """

    config: ExperimentConfig
    epoch: int
    device: torch.device
    objective: Objective
    label_set: LabelSet
    priors: dict[PriorKind, Prior]
    resize_spec: ResizeSpec

    def __repr__(self) -> str:
        facts = [f"epoch={self.epoch}", f"latent_dim={self.latent_dim}"]
        if self.sampling is not None:
            facts += [f"{key}={value:g}" for key, value in vars(self.sampling).items()]
        facts.append(f"device={str(self.device)!r}")
        return f"{type(self).__name__}({self.name!r}, {self.config.model.name}, {', '.join(facts)})"

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self.config.name

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name.

        They are `encoder` and `decoder`, `generator` and `discriminator`, or `unet`.
        """
        return self.objective.networks()

    @property
    def latent_dim(self) -> int:
        """The dimension of a latent."""
        return self.objective.latent_dim

    @property
    def label_names(self) -> list[str]:
        """The classes or attributes that the model is conditioned on; empty if unconditional."""
        return self.label_set.names

    @property
    def prior(self) -> Prior:
        """The prior of the model's settings."""
        return next(iter(self.priors.values()))

    @property
    def has_encoder(self) -> bool:
        """Whether the model encodes images; others are inverted."""
        return isinstance(self.objective, HasEncoder)

    @property
    def has_discriminator(self) -> bool:
        """Whether the model scores images."""
        return isinstance(self.objective, HasDiscriminator)

    @property
    def sampling(self) -> Sampling | None:
        """How a diffusion model turns noise into an image; None for other models."""
        return self.objective.sampling if isinstance(self.objective, HasSampling) else None

    def prepare(self, images: ImageInput) -> Images:
        """Return images as the model sees them, uint8 (number, height, width, channel).

        >>> lb.grid([model.prepare("cat.jpg"), model.reconstruct("cat.jpg")])

        Arguments and errors are those of `prepare_images`.
        """
        return prepare_images(images, self.resize_spec)

    def _to_tensor(self, latents: LatentInput) -> Tensor:
        return latent_tensor(latents, self.latent_dim).to(self.device)

    def _label_tensor(self, labels: LabelInput | None, shape: tuple[int, ...]) -> Tensor:
        """Return label vectors (*shape, num_labels) on the device."""
        names = self.label_names
        if not names:
            if labels is not None and not (isinstance(labels, Tensor) and labels.shape[-1] == 0):
                raise UnsupportedError(f"{self.name} is not conditioned on labels; leave them out.")
            return torch.zeros(*shape, 0, device=self.device)
        if labels is None:
            raise ArgumentError(
                f"{self.name} needs labels; they are {list_names(names)}, by name or index."
            )
        vectors = label_vectors(labels, names)
        if vectors.ndim > 1 and vectors.shape[:-1] != shape and vectors.shape[:-1] != (1,):
            number = "×".join(map(str, vectors.shape[:-1]))
            raise ArgumentError(
                f"There are {number} labels for {'×'.join(map(str, shape))} images; give one for "
                "each, or one for all."
            )
        return vectors.expand(*shape, -1).to(self.device)

    def _random_labels(self, number: int, seed: int) -> Tensor:
        """Return vectors (number, num_labels), distributed as in the training images."""
        counts = np.asarray(self.label_set.counts, np.float64)
        chosen = draw_indices(counts, number, seed, "labels")
        return torch.tensor(self.label_set.vectors, dtype=torch.float32)[chosen]

    def _batches(
        self, images: ImageInput, labels: LabelInput | None, *, batch_size: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images in [-1, 1], on the device, with their label vectors."""
        prepared = self.prepare(images)
        vectors = self._label_tensor(labels, (len(prepared),))
        size = batch_size or BATCH_SIZE
        batches = torch.from_numpy(prepared).split(size)
        for image, label in zip(batches, vectors.split(size), strict=True):
            yield to_model(image.to(self.device)), label
