"""What conditional models make of label embeddings that belong to no label.

Noise and random embeddings are in units of the embeddings' own standard deviation about their mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from latentbench.data.image_grid import Images
from latentbench.evaluation.findings import Findings
from latentbench.latent.model_probe import ModelProbe
from latentbench.latent.perturbation import SIGMAS
from latentbench.models.networks import Decoder

# Random embeddings, and the latents that are decoded under each.
NUM_RANDOM = 8
NUM_UNDER_EACH = 10


@dataclass(frozen=True)
class Embeddings:
    """Of the labels that are shown (kinds, label_dim), and their standard deviation per dimension."""

    of_labels: Tensor
    spread: float

    @property
    def center(self) -> Tensor:
        center: Tensor = self.of_labels.mean(dim=0)
        return center

    def distances(self, others: Tensor) -> Tensor:
        """(others, kinds), root mean squares over dimensions in units of `spread`."""
        distances: Tensor = torch.cdist(others, self.of_labels) / (
            self.spread * others.shape[1] ** 0.5
        )
        return distances


def explore_embeddings(subject: ModelProbe) -> Findings:
    if not subject.is_conditional:
        return Findings()
    decoder = next(
        network for network in subject.objective.networks().values() if isinstance(network, Decoder)
    )
    assert decoder.embedding is not None
    of_labels = decoder.embedding(subject.shown_labels).detach()
    deviations = of_labels - of_labels.mean(dim=0)
    embeddings = Embeddings(of_labels, float(deviations.square().mean().sqrt()))
    with embeddings_given(decoder):
        return Findings.joined([around_labels(subject, embeddings), anywhere(subject, embeddings)])


@contextmanager
def embeddings_given(decoder: Decoder) -> Iterator[None]:
    """Where labels (batch, num_labels) are asked for, embeddings (batch, label_dim) are given instead."""
    embedding = decoder.embedding
    decoder.embedding = nn.Identity()  # type: ignore[assignment]
    try:
        yield
    finally:
        decoder.embedding = embedding


def around_labels(subject: ModelProbe, embeddings: Embeddings) -> Findings:
    """Images of one latent under each label's embedding, with more and more noise on the embedding."""
    number, dim = embeddings.of_labels.shape
    noise = subject.noise(number, "noise around embeddings", dim=dim)
    sigmas = torch.tensor(SIGMAS, device=subject.device)[:, None, None]
    moved = embeddings.of_labels + sigmas * embeddings.spread * noise
    latent = subject.noise(1, "latent under noisy embeddings")
    return Findings(
        {"noise_embedding": subject.decode(latent.expand(len(SIGMAS), number, -1), moved)}
    )


def anywhere(subject: ModelProbe, embeddings: Embeddings) -> Findings:
    """Images under random embeddings, and whether the nearest label (1-NN) says what the classifier sees in them."""
    noise = subject.noise(NUM_RANDOM, "random embeddings", dim=embeddings.of_labels.shape[1])
    chosen = embeddings.center + embeddings.spread * noise
    latents = subject.noise(NUM_UNDER_EACH, "latents under random embeddings")
    images = subject.decode(
        latents.expand(NUM_RANDOM, -1, -1), chosen[:, None].expand(-1, NUM_UNDER_EACH, -1)
    )
    distances = embeddings.distances(chosen)
    facts = [
        _described(subject, kind, float(row[kind]), shown)
        for kind, row, shown in zip(
            distances.argmin(dim=1).tolist(), distances, images, strict=True
        )
    ]
    agree = [fact["predicted"].get(fact["nearest"], 0.0) for fact in facts if fact["predicted"]]
    agreement = sum(agree) / len(agree) if agree else None
    return Findings(
        {"random_embedding": images}, {"random_embeddings": facts, "embedding_agreement": agreement}
    )


def _described(subject: ModelProbe, kind: int, distance: float, images: Images) -> dict[str, Any]:
    """A random embedding: its nearest label, how far that is, and as what its images are recognized."""
    return {
        "nearest": subject.shown_titles[kind],
        "distance": distance,
        "predicted": subject.recognized(images),
    }
