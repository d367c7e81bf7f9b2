"""GAN losses by the values of `loss` in params.yaml.

Scores (batch,) are the discriminator's outputs before the sigmoid; -log σ(s) is softplus(-s).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from latentbench.runtime.double_backward import EfficientDoubleBackward


def discriminator_loss(loss: str, *, real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the discriminator's mean loss, a scalar.

    `non_saturating` and `minimax`: -log D(x) - log(1 - D(G(z))) (Goodfellow et al., 2014,
    equation 1). `hinge`: max(0, 1 - s) and max(0, 1 + s) (Lim & Ye, 2017). `least_squares`: half
    the squared distances to 1 and 0 (Mao et al., 2017, equation 9).

    Args:
        loss: The kind of loss.
        real: Scores of real images.
        fake: Scores of generated images.
        smoothing: One-sided label smoothing: the target of real images is 1 - smoothing
            (Salimans et al., 2016, section 3.4). Not for `hinge`.
    """
    if loss == "hinge":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    if loss == "least_squares":
        return 0.5 * ((real - (1 - smoothing)).square().mean() + fake.square().mean())
    # softplus(-s) + ε s is the cross-entropy with the target 1 - ε.
    return (softplus(-real) + smoothing * real).mean() + softplus(fake).mean()


def generator_loss(loss: str, fake: Tensor) -> Tensor:
    """Return the generator's mean loss, a scalar, from the scores of its images.

    `non_saturating`: -log D(G(z)) (Goodfellow et al., 2014, section 3). `minimax`:
    log(1 - D(G(z))) (equation 1). `hinge`: -s (Lim & Ye, 2017). `least_squares`: half the squared
    distance to 1 (Mao et al., 2017, equation 9).
    """
    if loss == "minimax":
        return -softplus(fake).mean()
    if loss == "hinge":
        return -fake.mean()
    if loss == "least_squares":
        return 0.5 * (fake - 1).square().mean()
    return softplus(-fake).mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Return the mean of ‖∇ discriminator(x)‖² over real images x, a scalar.

    Times γ/2, it is the R1 regularizer of Mescheder et al. (2018, equation 9).

    Args:
        discriminator: Maps images to scores (batch,), each of its image alone.
        real: Real images, (batch, channel, height, width).
    """
    return image_gradients(discriminator, real).square().sum(dim=1).mean()


def image_gradients(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the gradient of each image's score by the image, (batch, pixels).

    Differentiable by the network's weights.
    """
    images = images.detach().requires_grad_()
    with EfficientDoubleBackward():
        scores = network(images)
    [gradients] = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradients.flatten(1)


def classified_as_real(loss: str, scores: Tensor) -> Tensor:
    """Return whether each score is closer to the target of real images than to the other, bool."""
    return torch.gt(scores, real_threshold(loss))


def real_threshold(loss: str) -> float:
    """Return the score halfway between the targets of real and generated images."""
    return 0.5 if loss == "least_squares" else 0.0


def estimates_probability(loss: str | None) -> bool:
    """Return whether the sigmoid of a score estimates the probability that the image is real.

    It does at the optimum of the cross-entropy (Goodfellow et al., 2014, proposition 1).
    """
    return loss in ("non_saturating", "minimax")
