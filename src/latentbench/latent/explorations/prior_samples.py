"""Images of latents from the prior: random, truncated and mean ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentbench.evaluation.findings import Findings
from latentbench.latent.model_probe import ModelProbe
from latentbench.runtime.device import to_float64

# Bounds of truncated latents, in standard deviations.
TRUNCATIONS = (2.0, 1.0, 0.5)
NUM_TRUNCATED = 10

# Training images that are encoded for the mean code of each class.
MAX_ENCODED = 5_000


def explore_samples(probe: ModelProbe) -> Findings:
    """Decode latents from the model's prior and, if it was fitted, the same noise as N(0, I)."""
    noise = probe.noise(probe.settings.num_samples, "study samples")
    labels = probe.label_set.round_robin(len(noise)).to(probe.device)
    arrays = {"samples": probe.decode(probe.transform(noise, "study samples"), labels)}
    if probe.has_fitted_prior:
        arrays["samples_standard"] = probe.decode(noise, labels)
    return Findings(arrays)


def explore_truncation(probe: ModelProbe) -> Findings:
    """Decode latents with growing truncation (Brock et al., 2019, section 3.1).

    Truncation trades diversity for fidelity. A fitted prior is truncated within each component.
    """
    stream = "truncated samples"
    noise = probe.noise(NUM_TRUNCATED, stream)
    noises = [noise, *(truncate(noise, bound) for bound in TRUNCATIONS)]
    rows = torch.stack([probe.transform(each, stream) for each in noises])
    labels = probe.label_set.round_robin(NUM_TRUNCATED).to(probe.device)
    images = probe.decode(rows, labels.expand(len(rows), -1, -1))
    return Findings({"truncated": images}, {"truncations": [None, *TRUNCATIONS]})


def truncate(latents: Tensor, bound: float) -> Tensor:
    """Map draws from N(0, 1) to draws from N(0, 1) truncated at ±bound, with the same quantiles."""
    normal = to_float64(latents)
    tail = 0.5 * math.erfc(bound / math.sqrt(2))  # the probability beyond either bound
    quantiles = tail + (1 - 2 * tail) * torch.special.ndtr(normal)
    truncated: Tensor = torch.special.ndtri(quantiles)
    return truncated.to(latents)


def explore_means(probe: ModelProbe) -> Findings:
    """Decode the zero vector, the mean of N(0, I), under each label.

    For unconditional models with an encoder the mean code of each class follows.
    """
    latent_dim = probe.objective.latent_dim
    if probe.is_conditional:
        labels = probe.shown_labels
        zeros = torch.zeros(len(labels), latent_dim, device=probe.device)
        facts = {"means": probe.shown_names, "means_source": "zero vector"}
        return Findings({"means": probe.decode(zeros, labels)}, facts)
    codes = torch.zeros(1, latent_dim, device=probe.device)
    names, source = ["zero vector"], "zero vector"
    class_names = probe.dataset.manifest.class_names
    if class_names and probe.has_encoder:
        by_class = mean_codes(probe)
        codes = torch.cat([codes, torch.stack(list(by_class.values()))])
        names += [class_names[label] for label in by_class]
        source = "zero vector, then the mean code of each class"
    labels = torch.zeros(len(codes), 0, device=probe.device)
    facts = {"means": names, "means_source": source}
    return Findings({"means": probe.decode(codes, labels)}, facts)


def mean_codes(probe: ModelProbe) -> dict[int, Tensor]:
    """Return the mean code (latent_dim,) of each class in the training split."""
    rows = probe.shuffled_rows("train", "mean codes")[: probe.limit(MAX_ENCODED)]
    classes = torch.from_numpy(probe.dataset.labels("train")[rows])
    codes = probe.encode(probe.images("train", rows), probe.labels("train", rows))
    means = {}
    for label in classes.unique().tolist():
        if label >= 0:
            means[label] = codes[(classes == label).to(codes.device)].mean(dim=0)
    return means
