"""What every entry of the registry keeps to."""

from __future__ import annotations

import pytest
import torch

from latentbench.config.experiments import DCGANModel, GANModel, VAEModel, WGANGPModel
from latentbench.models.networks import count_parameters, downsampling_network, upsampling_network
from latentbench.models.objective import Discriminates, Encodes, Objective, draw_latents
from latentbench.models.registry import OBJECTIVES, build_objective
from latentbench.rng import torch_generator

CONFIGS = {
    "vae": VAEModel(objective="vae", latent_dim=5, width=4),
    "dcgan": DCGANModel(objective="dcgan", latent_dim=5, width=4),
    "wgan_gp": WGANGPModel(objective="wgan_gp", latent_dim=5, width=4, n_critic=2),
}


def _build(name: str, *, image_size: int = 32, channels: int = 1, seed: int = 0) -> Objective:
    objective = build_objective(CONFIGS[name], image_size=image_size, channels=channels, seed=seed)
    objective.make_optimizers()
    return objective.train()


def _train(objective: Objective, *, start: int = 0, stop: int = 4, image_size: int = 32, channels: int = 1) -> None:
    for step in range(start, stop):
        generator = torch_generator(0, "step", step)
        images = torch.rand(6, image_size, image_size, channels, generator=generator).permute(0, 3, 1, 2) * 2 - 1
        terms = objective.step(images, step=step, generator=generator)
        assert set(terms) <= set(objective.terms)
        assert all(torch.isfinite(value) and not value.requires_grad for value in terms.values())


def test_the_whole_registry_is_walked() -> None:
    assert set(CONFIGS) == set(OBJECTIVES)


@pytest.mark.parametrize("image_size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_it_learns_samples_and_loads(name: str, channels: int, image_size: int) -> None:
    objective = _build(name, image_size=image_size, channels=channels)
    _train(objective, stop=2, image_size=image_size, channels=channels)
    loaded = _build(name, image_size=image_size, channels=channels, seed=1)
    loaded.load_weights({key: tensor.clone() for key, tensor in objective.weights().items()})
    latents = draw_latents(3, objective.latent_dim, torch_generator(0, "latents"))
    images = objective.eval().sample(latents)
    assert images.shape == (3, channels, image_size, image_size)
    assert images.abs().max() <= 1
    assert torch.equal(loaded.sample(latents), images)
    if isinstance(loaded, Encodes):
        assert loaded.encode(images).shape == (3, objective.latent_dim)
    if isinstance(loaded, Discriminates):
        assert loaded.discriminate(images).shape == (3,)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_resumed_state_gives_the_same_bits(name: str) -> None:
    undisturbed = _build(name)
    _train(undisturbed, stop=7)
    first = _build(name)
    _train(first, stop=3)
    second = _build(name, seed=9)
    second.load_training_state({key: tensor.clone() for key, tensor in first.training_state().items()})
    _train(second, start=3, stop=7)
    expected = undisturbed.training_state()
    assert set(expected) == set(second.training_state())
    assert all(torch.equal(tensor, expected[key]) for key, tensor in second.training_state().items())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_first_weights_depend_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    one = _build(name).state_dict()
    torch.manual_seed(2)
    same, other = _build(name).state_dict(), _build(name, seed=1).state_dict()
    assert all(torch.equal(tensor, one[key]) for key, tensor in same.items())
    assert any(not torch.equal(tensor, one[key]) for key, tensor in other.items())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    objective = _build(name)
    _train(objective)
    objective.eval()
    latents = draw_latents(9, objective.latent_dim, torch_generator(0, "latents"))
    whole = objective.sample(latents)
    parts = torch.cat([objective.sample(part) for part in latents.split(2)])
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if isinstance(CONFIGS[name], GANModel)])
def test_a_gan_is_sampled_from_its_averaged_weights(name: str) -> None:
    objective = _build(name)
    _train(objective)
    weights = objective.weights()
    state = objective.state_dict()
    keys = [key for key in weights if key.startswith("generator.")]
    assert keys
    assert all(torch.equal(weights[key], state[key.replace("generator", "averaged", 1)]) for key in keys)
    assert any(not torch.equal(weights[key], state[key]) for key in keys)


def test_the_networks_are_dcgans_of_the_paper() -> None:
    """Figure 1 of Radford et al.: 100 latents, 4×4×1024, then 512, 256, 128 and 3 channels at 64×64."""
    generator = upsampling_network(100, image_size=64, channels=3, width=128)
    by_hand = 100 * 16 * 1024 + 16 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3) + 3
    batch_norms = 2 * (1024 + 512 + 256 + 128)
    assert count_parameters(generator) == by_hand + batch_norms
    discriminator = downsampling_network(1, image_size=64, channels=3, width=64, batch_norm=True)
    by_hand = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 64 + 1
    assert count_parameters(discriminator) == by_hand + 2 * (128 + 256 + 512)


def test_a_critic_scores_each_image_by_itself() -> None:
    critic = downsampling_network(1, image_size=32, channels=1, width=4, batch_norm=False).train()
    images = torch.randn(4, 1, 32, 32, generator=torch_generator(0, "images"))
    alone = torch.cat([critic(image[None]) for image in images])
    torch.testing.assert_close(critic(images), alone, rtol=1e-5, atol=1e-5)
