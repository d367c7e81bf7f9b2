"""Label embeddings of conditional models: with noise, and random ones that belong to no label.

The unit of noise is the standard deviation of the embeddings about their mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from latentbench.evaluation.findings import Findings
from latentbench.latent.explorations.perturbation import SIGMAS
from latentbench.latent.model_probe import ModelProbe
from latentbench.models.networks.architectures import Decoder
from latentbench.models.networks.unet import Embedding, UNet, mark_known
from latentbench.models.objective import Objective

NUM_RANDOM = 8  # random embeddings
NUM_LATENTS = 10  # that are decoded under each of them


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of the shown labels, (labels, label_dim), and their standard deviation."""

    of_labels: Tensor
    std: float

    @property
    def mean(self) -> Tensor:
        """The mean embedding (label_dim,)."""
        mean: Tensor = self.of_labels.mean(dim=0)
        return mean

    def distances(self, others: Tensor) -> Tensor:
        """Return (others, labels): root mean squares over dimensions, in units of `std`."""
        unit = self.std * others.shape[1] ** 0.5
        distances: Tensor = torch.cdist(others, self.of_labels) / unit
        return distances


def explore_embeddings(probe: ModelProbe) -> Findings:
    """Decode noisy and random label embeddings; nothing for unconditional models."""
    if not probe.is_conditional:
        return Findings()
    of_labels = embed(probe.objective, probe.shown_labels)
    deviations = of_labels - of_labels.mean(dim=0)
    embeddings = Embeddings(of_labels, float(deviations.square().mean().sqrt()))
    with embeddings_as_labels(probe.objective):
        parts = [noisy_embeddings(probe, embeddings), random_embeddings(probe, embeddings)]
    return Findings.merge(parts)


def embed(objective: Objective, labels: Tensor) -> Tensor:
    """Return the embeddings (batch, label_dim) of labels (batch, num_labels)."""
    owner, name = _embedding_of(objective)
    known = mark_known(labels) if isinstance(owner, Embedding) else labels
    embedded: Tensor = getattr(owner, name)(known)
    return embedded.detach()


@contextmanager
def embeddings_as_labels(objective: Objective) -> Iterator[None]:
    """Let the objective decode embeddings (batch, label_dim) in place of labels."""
    owner, name = _embedding_of(objective)
    embedding = getattr(owner, name)
    setattr(owner, name, Unmarked() if isinstance(owner, Embedding) else nn.Identity())
    try:
        yield
    finally:
        setattr(owner, name, embedding)


class Unmarked(nn.Module):
    """Undoes `mark_known`: no label is then an embedding of zeros, as that of a U-Net is."""

    def forward(self, known: Tensor) -> Tensor:
        """Return (batch, label_dim) of (batch, label_dim + 1)."""
        return known[:, :-1]


def _embedding_of(objective: Objective) -> tuple[nn.Module, str]:
    """Return the module that embeds the labels of what is decoded, as an attribute of another."""
    for network in objective.networks().values():
        if isinstance(network, UNet):
            return network.embedding, "labels"
        if isinstance(network, Decoder):
            return network, "embedding"
    raise TypeError(f"{type(objective).__name__} has no network with a label embedding.")


def noisy_embeddings(probe: ModelProbe, embeddings: Embeddings) -> Findings:
    """Decode one latent under each label's embedding with growing noise."""
    number, dim = embeddings.of_labels.shape
    noise = probe.noise(number, "noise around embeddings", dim=dim)
    sigmas = torch.tensor(SIGMAS, device=probe.device)[:, None, None]
    noisy = embeddings.of_labels + sigmas * embeddings.std * noise
    latent = probe.latents(1, "latent under noisy embeddings")
    images = probe.decode(latent.expand(len(SIGMAS), number, -1), noisy)
    return Findings({"noise_embedding": images})


def random_embeddings(probe: ModelProbe, embeddings: Embeddings) -> Findings:
    """Decode random embeddings, and compare their nearest label with the classifier's predictions.

    `embedding_agreement` is the mean share of images for which the classifier predicts the nearest
    label.
    """
    noise = probe.noise(NUM_RANDOM, "random embeddings", dim=embeddings.of_labels.shape[1])
    drawn = embeddings.mean + embeddings.std * noise
    latents = probe.latents(NUM_LATENTS, "latents under random embeddings")
    images = probe.decode(
        latents.expand(NUM_RANDOM, -1, -1), drawn[:, None].expand(-1, NUM_LATENTS, -1)
    )
    rows: list[dict[str, Any]] = []
    agreements = []
    for distances, of_embedding in zip(embeddings.distances(drawn), images, strict=True):
        label = int(distances.argmin())
        nearest = probe.shown_names[label]
        predicted = probe.predicted_labels(of_embedding)
        rows.append(
            {"nearest": nearest, "distance": float(distances[label]), "predicted": predicted}
        )
        if predicted:
            agreements.append(predicted.get(nearest, 0.0))
    facts = {
        "random_embeddings": rows,
        "embedding_agreement": sum(agreements) / len(agreements) if agreements else None,
    }
    return Findings({"random_embedding": images}, facts)
