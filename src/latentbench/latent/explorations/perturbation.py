"""Images around the mean latent."""

from __future__ import annotations

import torch

from latentbench.evaluation.findings import Findings
from latentbench.latent.model_probe import ModelProbe

# Standard deviations of the noise.
SIGMAS = (0.1, 0.5, 1.0, 1.5, 2.0)
NUM_COLUMNS = 10


def explore_noise(probe: ModelProbe) -> Findings:
    """Decode the mean latent plus growing noise; conditional models get a column per label.

    Mean and unit of the noise are the mean and the standard deviation of the model's prior: 0 and 1
    of N(0, I).
    """
    number = len(probe.shown_indices) if probe.is_conditional else NUM_COLUMNS
    mean, unit = probe.prior.mean.to(probe.device), probe.prior.std
    noise = probe.noise(number, "noise around the mean")
    sigmas = torch.tensor(SIGMAS, device=probe.device)
    codes = mean + unit * sigmas[:, None, None] * noise
    images = probe.decode(codes, probe.shown_labels.expand(len(SIGMAS), number, -1))
    facts = {"sigmas": list(SIGMAS), "sigma_unit": unit, "label_names": probe.shown_names}
    return Findings({"noise_latent": images}, facts)
