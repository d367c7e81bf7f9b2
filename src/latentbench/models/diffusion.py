"""Diffusion as flow matching: a network learns the velocity from images to noise."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from latentbench.config.models import DiffusionModel
from latentbench.models.networks.architectures import Shape
from latentbench.models.networks.initialization import initialize_weights
from latentbench.models.networks.unet import UNet, mark_known
from latentbench.models.objective import Objective, Sampling, Terms, draw_latents
from latentbench.runtime.adam import Adam
from latentbench.runtime.device import memory_format

# Times in [0, 1] are divided into this many intervals, whose losses are reported separately.
NUM_INTERVALS = 4
INTERVAL_TERMS = tuple(
    f"loss_{100 * part // NUM_INTERVALS}_{100 * (part + 1) // NUM_INTERVALS}"
    for part in range(NUM_INTERVALS)
)

# Averaged weights follow this share of the images seen so far, at most `ema_half_life` of them
# (Karras et al., 2022, appendix F.3, of 5 %).
_EMA_RAMP_UP = 0.05
_LEAST_QUANTILE = 1e-6
# EDM's limit of the noise that is added in one step (Karras et al., 2022, algorithm 2).
_MAX_CHURN = 2**0.5 - 1


class Diffusion(Objective):
    """Rectified flow (Liu et al., 2023; Lipman et al., 2023), a diffusion in another scale.

    Between an image x and noise ε of N(0, I) lies x_t = (1 - t) x + t ε, with t in [0, 1]. The
    network v minimizes E ‖v(x_t, t) - (ε - x)‖² (Lipman et al., 2023, equation 23, whose time runs
    the other way) over times whose logit is of N(0, 1) (Esser et al., 2024, equation 19). Its
    minimum is the mean of ε - x given x_t. With it, the solution of dx/dt = v(x, t) has the
    distribution of x_t at every t: from N(0, I) at t = 1 to that of images at t = 0. In the scale
    x_t / (1 - t), it is the probability-flow ODE of Karras et al. (2022), equation 1, with the
    noise level σ = t / (1 - t).

    A latent is the noise at t = 1, with as many dimensions as an image. `decode` solves the ODE
    from t = 1 to 0 and `encode` from 0 to 1, so that a latent and an image belong to each other.

    `loss` is the mean over pixels and these times. `loss_0_25` to `loss_75_100` are the means over
    uniform times from 0 to 0.25, to 0.75 to 1, in percent.

    Attributes:
        sampling: How `decode` and `encode` solve the ODE: first as the settings have it.
    """

    terms = ("loss", *INTERVAL_TERMS, "gradient")

    def __init__(self, config: DiffusionModel, shape: Shape, *, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.shape = shape
        self.latent_dim = shape.pixels
        self.sampling = Sampling(config.sampling_steps, config.guidance, config.churn)
        self.unet = UNet(config, shape)
        initialize_weights(self.unet, "xavier", generator)
        self.average_weights("unet")

    def make_optimizers(self) -> None:
        """Make Adam for the network."""
        config = self.config
        self.optimizers["unet"] = Adam(
            self.unet.parameters(),
            learning_rate=config.learning_rate,
            beta1=config.beta1,
            beta2=config.beta2,
        )

    def networks(self) -> dict[str, nn.Module]:
        """Return the averaged network."""
        return {"unet": self.averaged["unet"]}

    def step(
        self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator
    ) -> Terms:
        """Update the network; see Objective.step."""

        def uniform(shape: torch.Size) -> Tensor:
            rows = torch.Size([shape[0] * self.processes.world_size, *shape[1:]])
            drawn = torch.rand(rows, generator=generator, device=generator.device)
            return self.processes.local_shard(drawn)

        noise = self._as_images(self.draw_latents(len(images), generator))
        times = self._draw_times(len(images), generator)
        known = mark_known(labels)
        if labels.shape[1]:
            known = known * (uniform(torch.Size([len(labels), 1])) >= self.config.label_dropout)
        with self.autocast():
            velocity = self.unet(_mix(images, noise, times), times, known, uniform=uniform)
        loss = (velocity.float() - (noise - images)).square().mean()
        loss.backward()
        gradient = self.optimizers["unet"].step()
        batch = len(images) * self.processes.world_size
        self.update_averages(decay=self._ema_decay(batch, step), updates=step)
        return {"loss": loss.detach(), "gradient": gradient}

    def validate(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Terms:
        """Return the loss, and the losses of equal intervals of time, with a time per image.

        Times are uniform. Weighted by the density of the times in training, their mean is its loss.
        """
        noise = self._as_images(draw_latents(len(images), self.latent_dim, generator))
        # The times are in order, so those of an interval are neighbors.
        offsets = torch.rand(len(images), generator=generator, device=images.device)
        times = (torch.arange(len(images), device=images.device) + offsets) / len(images)
        velocity = self.averaged["unet"](_mix(images, noise, times), times, mark_known(labels))
        errors = (velocity - (noise - images)).square().mean(dim=(1, 2, 3))
        terms = {"loss": (errors * time_density(times)).mean()}
        for name, part in zip(INTERVAL_TERMS, errors.tensor_split(NUM_INTERVALS), strict=True):
            if len(part):
                terms[name] = part.mean()
        return terms

    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images (batch, channel, height, width) in [-1, 1] of latents (batch, latent_dim).

        With `churn`, the noise that is added depends on the latent alone.
        """
        *_, image = self._decoding_states(latents, labels)
        return image.clamp(-1, 1)

    @torch.no_grad()
    def denoising_path(self, latents: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states x_t of the ODE, and the denoised image that each of them implies.

        The latter is x_t - t v(x_t, t), the mean of the images that could have become x_t. Both are
        (batch, steps + 1, channel, height, width), at the times from 1 to 0 in equal steps.
        """
        known = mark_known(labels)
        states = list(self._decoding_states(latents, labels))
        denoised = []
        for state, time in zip(states, self._times(), strict=True):
            denoised.append(state - time * self._guided_velocity(state, time, known))
        return torch.stack(states, dim=1), torch.stack(denoised, dim=1)

    def encode(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the latents (batch, latent_dim) of images in [-1, 1]: the ODE backwards."""
        known = mark_known(labels)
        state = images
        for now, after in pairwise(self._times()[::-1]):
            state = heun_step(lambda x, t: self._guided_velocity(x, t, known), state, now, after)
        return state.flatten(1)

    def _decoding_states(self, latents: Tensor, labels: Tensor) -> Iterator[Tensor]:
        """Yield the state at each time from 1 to 0."""
        known = mark_known(labels)
        state = self._as_images(latents)
        yield state
        churn = Churn(self.sampling.churn, self.sampling.steps, latents)
        for now, after in pairwise(self._times()):
            state, noisier = churn(state, now) if self.sampling.churn else (state, now)
            state = heun_step(
                lambda x, t: self._guided_velocity(x, t, known), state, noisier, after
            )
            yield state

    def _times(self) -> list[float]:
        """Return the times from 1 to 0, in equal steps."""
        steps = self.sampling.steps
        return [1 - step / steps for step in range(steps + 1)]

    def _guided_velocity(self, states: Tensor, time: float, known: Tensor) -> Tensor:
        """Return the velocity with classifier-free guidance w: v(∅) + w (v(label) - v(∅)).

        Ho & Salimans (2021), equation 6, whose w is smaller by 1; 1 is no guidance.
        """
        guidance = self.sampling.guidance
        network = self.averaged["unet"]
        times = torch.full_like(states[:, 0, 0, 0], time)
        if guidance == 1 or not known.shape[1]:
            velocity: Tensor = network(states, times, known)
            return velocity
        both = torch.cat([known, torch.zeros_like(known)])
        of_label, of_none = network(states.repeat(2, 1, 1, 1), times.repeat(2), both).chunk(2)
        return torch.lerp(of_none, of_label, guidance)

    def _ema_decay(self, batch: int, step: int) -> float:
        """Return the decay of the averaged weights after a step (Karras et al., 2022, F.3)."""
        half_life = min(self.config.ema_half_life, _EMA_RAMP_UP * (step + 1) * batch)
        return 0.5 ** (batch / half_life) if half_life else 0.0

    def _draw_times(self, number: int, generator: torch.Generator) -> Tensor:
        """Return this process's times (number,), one per interval of the whole batch.

        Their quantiles are equally spaced, with one offset for all: the loss varies less from batch
        to batch than with independent times (Kingma et al., 2021, appendix I.1).
        """
        total = number * self.processes.world_size
        device = generator.device
        offset = torch.rand(1, generator=generator, device=device)
        quantiles = (torch.arange(total, device=device) + offset) / total
        # Not 0, whose logit is infinite.
        normal = 2**0.5 * torch.erfinv(2 * quantiles.clamp(min=_LEAST_QUANTILE) - 1)
        return self.processes.local_shard(normal.sigmoid())

    def _as_images(self, latents: Tensor) -> Tensor:
        """Return latents (batch, latent_dim) as (batch, channel, height, width)."""
        side = self.shape.image_size
        images = latents.view(-1, self.shape.channels, side, side)
        return images.contiguous(memory_format=memory_format(latents.device))


class Churn:
    """Stochastic sampling: noise that is added before each step (Karras et al., 2022, algorithm 2).

    Each latent has its own sequence of noise, so that its image does not depend on its batch.
    """

    def __init__(self, amount: float, steps: int, latents: Tensor) -> None:
        """Keep `amount`, S_churn of the paper, for the decoding of latents (batch, latent_dim)."""
        self.factor = min(amount / steps, _MAX_CHURN)
        self.generators = []
        if amount:
            for latent in latents.detach().float().cpu().numpy():
                digest = hashlib.sha256(latent.tobytes()).digest()
                self.generators.append(torch.Generator().manual_seed(_seed(digest)))

    def __call__(self, state: Tensor, time: float) -> tuple[Tensor, float]:
        """Return the state x_t with more noise, and its later time."""
        if time == 1:
            return state, time  # as noisy as can be
        level = time / (1 - time)
        raised = (1 + self.factor) * level
        later = raised / (1 + raised)
        draws = [torch.randn(state[0].shape, generator=each) for each in self.generators]
        noise = torch.stack(draws).to(state)
        scale = (1 - later) / (1 - time)
        added = (1 - later) * (raised**2 - level**2) ** 0.5
        return scale * state + added * noise, later


def heun_step(
    field: Callable[[Tensor, float], Tensor], state: Tensor, now: float, after: float
) -> Tensor:
    """Return the state after one step of Heun's method (Karras et al., 2022, algorithm 1).

    The slope is the mean of those at both ends, but never that at time 0, where hardly any time of
    training lies: the step to 0 has the slope at its start, as in the paper, and the step from 0,
    its inverse, the slope at its end, which two iterations find. The error of a whole path falls
    with the square of the number of its steps.
    """
    if after == 0:
        return state - now * field(state, now)
    if now == 0:
        end = state + after * field(state, after)
        return state + after * field(end, after)
    slope = field(state, now)
    proposal = state + (after - now) * slope
    return state + (after - now) / 2 * (slope + field(proposal, after))


def time_density(times: Tensor) -> Tensor:
    """Return the density of the times of training, whose logit is of N(0, 1).

    Esser et al. (2024), equation 19, with m = 0 and s = 1. The density is 0 at the times 0 and 1.
    """
    inside = times.clamp(_LEAST_QUANTILE, 1 - _LEAST_QUANTILE)
    normal = torch.exp(-0.5 * inside.logit().square()) / math.sqrt(2 * math.pi)
    return normal / (inside * (1 - inside))


def _mix(images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return (1 - t) x + t ε for times (batch,)."""
    return torch.lerp(images, noise, times[:, None, None, None])


def _seed(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big") >> 1
