"""WGAN-GP: a critic that estimates the Wasserstein distance, kept 1-Lipschitz by a gradient penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latentbench.config.experiments import WGANGPModel
from latentbench.models.gan import GAN
from latentbench.models.objective import Terms
from latentbench.models.second_order import CheapSecondDerivatives


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], *, real: Tensor, fake: Tensor, generator: torch.Generator
) -> Tensor:
    """E[(‖∇ critic(x̂)‖₂ - 1)²] at x̂ uniform on the lines between real and fake (Gulrajani et al., 2017, eq. 3)."""
    share = torch.rand(len(real), 1, 1, 1, generator=generator, device=real.device)
    points = torch.lerp(fake, real, share).requires_grad_()
    with CheapSecondDerivatives():
        scores = critic(points)
    [gradients] = torch.autograd.grad(scores.sum(), points, create_graph=True)
    penalty: Tensor = (gradients.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


class WGANGP(GAN):
    """Gulrajani et al. (2017), algorithm 1. Each step is one of the critic; every n_critic-th also the generator's."""

    terms = ("critic_loss", "wasserstein", "gradient_penalty", "generator_loss")
    batch_norm = False  # the penalty is of each image by itself (section 4, "No critic batch normalization")
    scheme = "kaiming"

    def __init__(self, config: WGANGPModel, *, image_size: int, channels: int, generator: torch.Generator) -> None:
        super().__init__(config, image_size=image_size, channels=channels, generator=generator)
        self.config = config

    def step(self, images: Tensor, *, step: int, generator: torch.Generator) -> Terms:
        with torch.no_grad():
            fakes = self.generate(len(images), generator)
        real_scores, fake_scores = self.score(torch.cat([images, fakes])).chunk(2)
        wasserstein = real_scores.mean() - fake_scores.mean()
        # In float32: the penalty is differentiated twice.
        penalty = gradient_penalty(self.discriminator, real=images, fake=fakes, generator=generator)
        critic_loss = -wasserstein + self.config.gp_weight * penalty
        self.update_discriminator(critic_loss)

        terms = {
            "critic_loss": critic_loss.detach(),
            "wasserstein": wasserstein.detach(),
            "gradient_penalty": penalty.detach(),
        }
        updates, remainder = divmod(step + 1, self.config.n_critic)
        if remainder == 0:
            fakes = self.generate(len(images), generator)
            terms["generator_loss"] = self.update_generator(fakes, updates=updates - 1)
        return terms

    def generator_loss(self, fake_scores: Tensor) -> Tensor:
        return -fake_scores.mean()
