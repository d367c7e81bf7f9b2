"""What the two players of a game with a discriminator minimize, by the names of `loss` in params.yaml.

Scores (batch,) are what the discriminator gives before any sigmoid; -log σ(s) is softplus(-s).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


def discriminator_loss(loss: str, *, real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean loss of scores of real and of generated images.

    `non_saturating` and `minimax`: -log D(x) - log(1 - D(G(z))) (Goodfellow et al., 2014, equation 1). `hinge`:
    max(0, 1 - s) and max(0, 1 + s) (Lim & Ye, 2017). `least_squares`: half the squared distances to 1 and 0 (Mao et
    al., 2017, equation 9). `smoothing` moves the target of real images from 1 to one minus it, and that of generated
    ones nowhere (Salimans et al., 2016, section 3.4).
    """
    if loss == "hinge":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    if loss == "least_squares":
        return 0.5 * ((real - (1 - smoothing)).square().mean() + fake.square().mean())
    # softplus(-s) + ε s is the cross-entropy with a target of 1 - ε.
    return (softplus(-real) + smoothing * real).mean() + softplus(fake).mean()


def generator_loss(loss: str, fake: Tensor) -> Tensor:
    """Mean loss of scores of generated images.

    `non_saturating`: -log D(G(z)) (Goodfellow et al., 2014, section 3); `minimax`: log(1 - D(G(z))) (equation 1);
    `hinge`: -s (Lim & Ye, 2017); `least_squares`: half the squared distance to 1 (Mao et al., 2017, equation 9).
    """
    if loss == "minimax":
        return -softplus(fake).mean()
    if loss == "hinge":
        return -fake.mean()
    if loss == "least_squares":
        return 0.5 * (fake - 1).square().mean()
    return softplus(-fake).mean()


def calls_real(loss: str, scores: Tensor) -> Tensor:
    """Whether each score says real: nearer to its target for real images than to that for generated ones."""
    return torch.gt(scores, real_threshold(loss))


def real_threshold(loss: str) -> float:
    """The score halfway between both targets; of hinge and the logistic losses they lie about zero."""
    return 0.5 if loss == "least_squares" else 0.0
