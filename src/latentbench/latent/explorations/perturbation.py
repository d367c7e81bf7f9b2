"""Images around the mean latent."""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.evaluation.findings import Findings
from latentbench.latent.model_probe import ModelProbe

# Standard deviations of the noise.
SIGMAS = (0.1, 0.5, 1.0, 1.5, 2.0)
NUM_COLUMNS = 10


def explore_noise(probe: ModelProbe) -> Findings:
    """Decode the mean latent plus growing noise; conditional models get a column per label.

    The unit of the noise is the prior's standard deviation, 1, or without a prior that of the
    codes.
    """
    number = len(probe.shown_indices) if probe.is_conditional else NUM_COLUMNS
    mean, unit = _mean_and_unit(probe)
    noise = probe.noise(number, "noise around the mean")
    sigmas = torch.tensor(SIGMAS, device=probe.device)
    codes = mean + unit * sigmas[:, None, None] * noise
    images = probe.decode(codes, probe.shown_labels.expand(len(SIGMAS), number, -1))
    facts = {"sigmas": list(SIGMAS), "sigma_unit": unit, "label_names": probe.shown_names}
    return Findings({"noise_latent": images}, facts)


def _mean_and_unit(probe: ModelProbe) -> tuple[Tensor, float]:
    """Return the mean latent (latent_dim,) and the standard deviation that is the unit."""
    if probe.has_prior:
        return torch.zeros(probe.objective.latent_dim, device=probe.device), 1.0
    rows = probe.shuffled_rows("test", "codes")[: probe.settings.num_encoded]
    codes = probe.encode(probe.images("test", rows), probe.labels("test", rows))
    return codes.mean(dim=0), float(codes.var(dim=0).mean().sqrt())
