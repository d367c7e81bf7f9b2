"""Images of latents that nobody encoded: random ones, truncated ones, the mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentbench.evaluation.findings import Findings
from latentbench.latent.model_probe import ModelProbe

# Where the entries of truncated latents end, in standard deviations.
TRUNCATIONS = (2.0, 1.0, 0.5)
NUM_TRUNCATED = 10

# Training images whose codes give the mean code of a class.
MOST_ENCODED = 5_000


def explore_samples(subject: ModelProbe) -> Findings:
    """Random samples."""
    latents = subject.noise(subject.settings.num_samples, "study samples")
    labels = subject.kinds.round_robin(len(latents)).to(subject.device)
    return Findings({"samples": subject.decode(latents, labels)})


def explore_truncation(subject: ModelProbe) -> Findings:
    """The same samples nearer and nearer to the mean: fidelity for diversity (Brock et al., 2019, section 3.1)."""
    latents = subject.noise(NUM_TRUNCATED, "truncated samples")
    rows = torch.stack([latents, *(truncated(latents, bound) for bound in TRUNCATIONS)])
    labels = subject.kinds.round_robin(NUM_TRUNCATED).to(subject.device)
    images = subject.decode(rows, labels.expand(len(rows), -1, -1))
    return Findings({"truncated": images}, {"truncations": [None, *TRUNCATIONS]})


def truncated(latents: Tensor, bound: float) -> Tensor:
    """Draws from N(0, 1) as the draws from N(0, 1) within ±bound that stand at the same quantiles."""
    normal = latents.double()
    outside = 0.5 * math.erfc(bound / math.sqrt(2))  # the mass beyond either end
    quantiles = outside + (1 - 2 * outside) * torch.special.ndtr(normal)
    kept: Tensor = torch.special.ndtri(quantiles)
    return kept.to(latents.dtype)


def explore_means(subject: ModelProbe) -> Findings:
    """The image of the zero vector, where the prior has its mean: of each kind of label, or of the mean code of each
    class beside it."""
    if subject.is_conditional:
        labels = subject.shown_labels
        zeros = torch.zeros(len(labels), subject.objective.latent_dim, device=subject.device)
        return Findings(
            {"means": subject.decode(zeros, labels)},
            {"means": subject.shown_titles, "means_source": "zero vector"},
        )
    codes = torch.zeros(1, subject.objective.latent_dim, device=subject.device)
    titles, means_source = ["zero vector"], "zero vector"
    class_names = subject.dataset.manifest.class_names
    if class_names and subject.can_encode:
        by_class = mean_codes(subject)
        codes = torch.cat([codes, torch.stack(list(by_class.values()))])
        titles += [class_names[label] for label in by_class]
        means_source = "zero vector, then the mean code of each class"
    labels = torch.zeros(len(codes), 0, device=subject.device)
    return Findings(
        {"means": subject.decode(codes, labels)}, {"means": titles, "means_source": means_source}
    )


def mean_codes(subject: ModelProbe) -> dict[int, Tensor]:
    """Of each class that the training split has, the mean code of its images."""
    rows = subject.order("train", "mean codes")[:MOST_ENCODED]
    classes = torch.from_numpy(subject.dataset.labels("train")[rows])
    codes = subject.encode(subject.images("train", rows), subject.labels("train", rows))
    return {
        label: codes[(classes == label).to(codes.device)].mean(dim=0)
        for label in classes.unique().tolist()
        if label >= 0
    }
