"""What lies around the mean latent."""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.evaluation.findings import Findings
from latentbench.latent.model_probe import ModelProbe

# Standard deviations of the noise.
SIGMAS = (0.1, 0.5, 1.0, 1.5, 2.0)
NUM_COLUMNS = 10


def explore_noise(subject: ModelProbe) -> Findings:
    """Images of codes ever farther from the mean; of conditional models a column for each kind of label.

    The noise is in units of the prior's standard deviation, which is 1, or where there is none of the codes'.
    """
    number = len(subject.shown_kinds) if subject.is_conditional else NUM_COLUMNS
    mean, unit = _center(subject)
    noise = subject.noise(number, "noise around the mean")
    sigmas = torch.tensor(SIGMAS, device=subject.device)
    codes = mean + unit * sigmas[:, None, None] * noise
    images = subject.decode(codes, subject.shown_labels.expand(len(SIGMAS), number, -1))
    facts = {"sigmas": list(SIGMAS), "sigma_unit": unit, "label_names": subject.shown_titles}
    return Findings({"noise_latent": images}, facts)


def _center(subject: ModelProbe) -> tuple[Tensor, float]:
    """The mean latent (latent_dim,), and what one standard deviation is."""
    if subject.has_prior:
        return torch.zeros(subject.objective.latent_dim, device=subject.device), 1.0
    rows = subject.order("test", "codes")[: subject.settings.num_encoded]
    codes = subject.encode(subject.images("test", rows), subject.labels("test", rows))
    return codes.mean(dim=0), float(codes.var(dim=0).mean().sqrt())
