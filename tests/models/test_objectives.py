"""All objectives of the registry with all kinds of networks."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from latentbench.config.load import parse_params
from latentbench.config.models import MODELS, AnyModel
from latentbench.errors import ConfigError
from latentbench.models.gan import GAN
from latentbench.models.networks.architectures import Decoder, Encoder, Shape, count_parameters
from latentbench.models.networks.initialization import initialize_weights
from latentbench.models.networks.layers import LabelEmbedding
from latentbench.models.objective import HasDiscriminator, HasEncoder, Objective, draw_latents
from latentbench.models.registry import OBJECTIVES, build_objective
from latentbench.rng import torch_generator

# Architecture variants by the settings that make them.
CONVOLUTIONAL = {"architecture": "convolutional"}
VARIANTS: dict[str, dict[str, Any]] = {
    "convolutional": CONVOLUTIONAL,
    "deeper": CONVOLUTIONAL | {"layers_per_stage": 2},
    "residual": {"architecture": "residual"},
    "dilated": CONVOLUTIONAL | {"layers_per_stage": 2, "dilation": 2},
    "resnet": {"architecture": "resnet"},
    "resnet deeper": {
        "architecture": "resnet",
        "layers_per_stage": 2,
        "dilation": 2,
        "attention_resolution": 8,
    },
    "residual dilated": {"architecture": "residual", "layers_per_stage": 2, "dilation": 2},
    "attention": CONVOLUTIONAL | {"attention_resolution": 8},
    "spectral norm": CONVOLUTIONAL | {"spectral_norm": True},
    "fully connected": {"architecture": "fully_connected", "hidden_dims": [12, 8]},
}
UNET_VARIANTS: dict[str, dict[str, Any]] = {
    "small": {"sampling_steps": 2},
    "deeper": {"layers_per_stage": 2, "sampling_steps": 1},
    "pixels": {"patch_size": 1, "channel_multipliers": [1, 1, 2], "sampling_steps": 1},
    "attention": {"attention_resolution": 8, "sampling_steps": 1},
    "ddpmpp": {"architecture": "ddpmpp", "sampling_steps": 1},
    "dropout": {"dropout": 0.2, "sampling_steps": 1},
    "stochastic": {"churn": 2.0, "sampling_steps": 3},
}
NAMES_AND_VARIANTS = [
    (name, variant)
    for name in OBJECTIVES
    for variant in (UNET_VARIANTS if name == "diffusion" else VARIANTS)
]
NAMES_AND_ARCHITECTURES = [
    (name, architecture)
    for name in OBJECTIVES
    for architecture in get_args(MODELS[name].model_fields["architecture"].annotation)
]
CLASSES = 3
BATCH = 4
SHAPE = Shape(32, 1)


def _config(objective: str, image_size: int = 32, **settings: Any) -> AnyModel:
    """Return a model as parsed from params.yaml."""
    model = {"name": objective, "width": 4, **settings}
    if objective != "diffusion":
        model = {"latent_dim": 5, "label_dim": 3} | model
    if objective == "wgan_gp":
        model = (
            {"n_critic": 2} | ({"gp_weight": 0.0} if settings.get("spectral_norm") else {}) | model
        )
    raw = {
        "studies": {"s": {"title": "t"}},
        "datasets": {"d": {"source": "folder", "path": "x", "image_size": image_size}},
        "experiments": {"e": {"study": "s", "dataset": "d", "model": model}},
    }
    return parse_params(raw, where="params.yaml").experiment("e").model


def _build(
    config: AnyModel, *, image_size: int = 32, channels: int = 1, seed: int = 0
) -> Objective:
    shape = Shape(image_size, channels, num_labels=CLASSES if config.condition else 0)
    objective = build_objective(config, shape, seed=seed)
    objective.make_optimizers()
    return objective.train()


def _labels(config: AnyModel, number: int) -> torch.Tensor:
    return (
        torch.eye(CLASSES)[torch.arange(number) % CLASSES]
        if config.condition
        else torch.zeros(number, 0)
    )


def _train(
    objective: Objective,
    config: AnyModel,
    *,
    start: int = 0,
    stop: int = 4,
    image_size: int = 32,
    channels: int = 1,
) -> None:
    for step in range(start, stop):
        generator = torch_generator(0, "step", step)
        images = (
            torch.rand(BATCH, image_size, image_size, channels, generator=generator)
            .permute(0, 3, 1, 2)
            .mul(2)
            .sub(1)
        )
        terms = objective.step(images, _labels(config, BATCH), step=step, generator=generator)
        assert set(terms) <= set(objective.terms)
        assert all(torch.isfinite(value) and not value.requires_grad for value in terms.values())


@pytest.mark.parametrize(("image_size", "channels"), [(32, 3), (64, 1), (128, 3)])
@pytest.mark.parametrize(("name", "variant"), NAMES_AND_VARIANTS)
def test_training_resuming_sampling_and_loading(
    name: str, variant: str, image_size: int, channels: int
) -> None:
    """Three steps; the same three with a kill after the first; a checkpoint and back."""
    size = {"image_size": image_size, "channels": channels}
    settings = (UNET_VARIANTS if name == "diffusion" else VARIANTS)[variant]
    config = _config(name, image_size, **settings)
    objective = _build(config, **size)
    _train(objective, config, stop=1, **size)
    state = {key: tensor.clone() for key, tensor in objective.training_state().items()}
    _train(objective, config, start=1, stop=3, **size)

    resumed = _build(config, seed=9, **size)
    resumed.load_training_state(state)
    _train(resumed, config, start=1, stop=3, **size)
    expected, found = objective.training_state(), resumed.training_state()
    assert set(expected) == set(found)
    assert all(torch.equal(tensor, expected[key]) for key, tensor in found.items())

    loaded = _build(config, seed=1, **size)
    loaded.load_weights({key: tensor.clone() for key, tensor in objective.weights().items()})
    latents, labels = (
        draw_latents(3, objective.latent_dim, torch_generator(0, "latents")),
        _labels(config, 3),
    )
    images = objective.eval().sample(latents, labels)
    assert images.shape == (3, channels, image_size, image_size)
    assert images.abs().max() <= 1
    assert torch.equal(loaded.sample(latents, labels), images)
    if isinstance(loaded, HasEncoder):
        assert loaded.encode(images, labels).shape == (3, objective.latent_dim)
    if isinstance(loaded, HasDiscriminator):
        assert loaded.discriminate(images, labels).shape == (3,)


@pytest.mark.parametrize(("name", "network"), NAMES_AND_ARCHITECTURES)
def test_labels_change_outputs_of_every_network(name: str, network: str) -> None:
    config = _config(name, architecture=network, condition="class")
    objective = _build(config)
    _train(objective, config, stop=2)
    with torch.no_grad():  # a decoder's begin faint
        for module in objective.modules():
            if isinstance(module, LabelEmbedding):
                module.weight /= module.scale
    objective.eval()
    latents = draw_latents(1, objective.latent_dim, torch_generator(0, "latents")).expand(
        CLASSES, -1
    )
    images = objective.sample(latents, torch.eye(CLASSES))
    assert not torch.allclose(images[0], images[1])
    same = images[:1].expand(CLASSES, -1, -1, -1)
    if isinstance(objective, HasEncoder):
        codes = objective.encode(same, torch.eye(CLASSES))
        assert not torch.allclose(codes[0], codes[1])
    if isinstance(objective, HasDiscriminator):
        assert len(objective.discriminate(same, torch.eye(CLASSES)).unique()) == CLASSES


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in OBJECTIVES),
        *((name, {"spectral_norm": True}) for name in OBJECTIVES if name != "diffusion"),
        *((name, {"initialization": "default"}) for name in OBJECTIVES if name != "diffusion"),
    ],
)
def test_initial_weights_depend_on_seed_only(name: str, settings: dict[str, Any]) -> None:
    config = _config(name, **settings)
    torch.manual_seed(1)
    one = _build(config).state_dict()
    torch.manual_seed(2)
    same, other = _build(config).state_dict(), _build(config, seed=1).state_dict()
    assert all(torch.equal(tensor, one[key]) for key, tensor in same.items())
    assert any(not torch.equal(tensor, one[key]) for key, tensor in other.items())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_samples_do_not_depend_on_batch_size(name: str) -> None:
    config = _config(name)
    objective = _build(config)
    _train(objective, config)
    objective.eval().double()
    latents = draw_latents(9, objective.latent_dim, torch_generator(0, "latents")).double()
    labels = _labels(config, 9).double()
    whole = objective.sample(latents, labels)
    parts = [
        objective.sample(*part) for part in zip(latents.split(2), labels.split(2), strict=True)
    ]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_checkpoints_have_averaged_weights(name: str) -> None:
    config = _config(name)
    objective = _build(config)
    averaged = set(objective.averaged)
    _train(objective, config)
    weights, state = objective.weights(), objective.state_dict()
    for key, tensor in weights.items():
        network = key.partition(".")[0]
        assert torch.equal(tensor, state[f"averaged.{key}" if network in averaged else key])
    for network in averaged:
        own = [key for key in weights if key.startswith(f"{network}.")]
        assert any(not torch.equal(weights[key], state[key]) for key in own)


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
@pytest.mark.parametrize("variant", ["convolutional", "spectral norm"])
def test_averages_follow_the_recursion(name: str, variant: str) -> None:
    """A second implementation, over the weights after each step."""
    config = _config(name, ema_decay=0.2, **VARIANTS[variant])
    objective = _build(config)
    expected = {key: tensor.clone() for key, tensor in objective.weights().items()}
    for step in range(4):
        _train(objective, config, start=step, stop=step + 1)
        decay = min(0.2, (1 + step) / (10 + step))
        state = objective.state_dict()
        for key, tensor in expected.items():
            expected[key] = decay * tensor + (1 - decay) * state[key]
    for key, tensor in objective.weights().items():
        if not key.endswith(("num_batches_tracked", "._u", "._v")):
            torch.testing.assert_close(tensor, expected[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_averages_do_not_change_the_training(name: str) -> None:
    states = []
    for decay in (0.0, 0.9):
        config = _config(name, ema_decay=decay)
        objective = _build(config)
        _train(objective, config)
        states.append(objective.state_dict())
        if decay == 0:  # the average is the network itself
            weights = objective.weights()
            assert all(torch.equal(weights[key], states[0][key]) for key in weights)
    for key, tensor in states[0].items():
        if not key.startswith("averaged."):
            assert torch.equal(tensor, states[1][key])


def test_averaged_encoder_keeps_its_spectral_norm() -> None:
    config = _config("vae", spectral_norm=True, ema_decay=0.9)
    objective = _build(config)
    _train(objective, config, stop=20)
    norms = [
        torch.linalg.matrix_norm(module.weight.flatten(1), 2).item()
        for module in objective.averaged["encoder"].modules()
        if parametrize.is_parametrized(module, "weight")
    ]
    assert len(norms) == 4
    assert norms == pytest.approx([1] * 4, abs=0.1)


def test_discriminate_uses_batch_statistics() -> None:
    config = _config("dcgan")
    objective = _build(config)
    _train(objective, config)
    images, labels = (
        torch.randn(6, 1, 32, 32, generator=torch_generator(0, "images")),
        torch.zeros(6, 0),
    )
    before = {key: tensor.clone() for key, tensor in objective.state_dict().items()}
    scores = objective.eval().discriminate(images, labels)
    assert all(torch.equal(tensor, before[key]) for key, tensor in objective.state_dict().items())
    assert not torch.allclose(scores, objective.discriminator(images, labels).flatten())
    assert torch.equal(scores, objective.train().discriminator(images, labels).flatten())


def test_dcgan_parameter_counts_match_paper() -> None:
    """Radford et al., figure 1: 100 latents, then 1024, 512, 256, 128 and 3 channels."""
    shape = Shape(64, 3)
    generator = Decoder(_config("dcgan", 64, latent_dim=100, width=128), shape)
    by_hand = 100 * 16 * 1024 + 16 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3) + 3
    batch_norms = 2 * (1024 + 512 + 256 + 128)
    assert count_parameters(generator) == by_hand + batch_norms
    discriminator = Encoder(1, _config("dcgan", 64, width=64), shape, batch_norm=True)
    by_hand = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 64 + 1
    assert count_parameters(discriminator) == by_hand + 2 * (128 + 256 + 512)


def test_critic_is_dcgan_discriminator_without_batch_norm() -> None:
    """Gulrajani et al., section 4; biases replace the shifts of batch norm."""
    critic = build_objective(_config("wgan_gp", 64, width=64), Shape(64, 3), seed=0).networks()[
        "discriminator"
    ]
    by_hand = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 64 + 128 + 256 + 512 + 1
    assert count_parameters(critic) == by_hand


def test_cgan_concatenates_embedded_labels() -> None:
    """Mirza & Osindero, section 3.2, with an embedding in each network."""
    config = _config("cgan", latent_dim=100, label_dim=10, hidden_dims=[40, 20])
    networks = build_objective(config, Shape(32, 1, num_labels=7), seed=0).networks()
    assert count_parameters(networks["generator"]) == (
        7 * 10 + (100 + 10) * 20 + 2 * 20 + 20 * 40 + 2 * 40 + 40 * 1024 + 1024
    )
    assert (
        count_parameters(networks["discriminator"])
        == 7 * 10 + (1024 + 10) * 40 + 40 + 40 * 20 + 20 + 20 + 1
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"architecture": "residual"}, {"attention_resolution": 8, "layers_per_stage": 2}],
)
def test_critic_scores_do_not_depend_on_the_batch(settings: dict[str, Any]) -> None:
    critic = Encoder(1, _config("wgan_gp", **settings), SHAPE, batch_norm=False)
    critic = critic.train().double()
    images = torch.randn(4, 1, 32, 32, generator=torch_generator(0, "images")).double()
    alone = torch.cat([critic(image[None], torch.zeros(1, 0)) for image in images])
    torch.testing.assert_close(critic(images, torch.zeros(4, 0)), alone, rtol=1e-12, atol=1e-12)


def test_variants_have_different_layers() -> None:
    def layers(network: nn.Module) -> str:
        leaves = [module for module in network.modules() if not list(module.children())]
        return "\n".join(map(str, leaves))

    drawn = {
        name: layers(_build(_config("wgan_gp", **settings))) for name, settings in VARIANTS.items()
    }
    assert len(set(drawn.values())) == len(drawn)
    assert "dilation=(2, 2)" in drawn["dilated"]
    assert "dilation=(2, 2)" in drawn["residual dilated"]


def test_self_attention_starts_as_identity() -> None:
    config = _config("dcgan", attention_resolution=8)
    objective = _build(config)
    [attention, *_] = [
        module
        for module in objective.discriminator.modules()
        if type(module).__name__ == "SelfAttention"
    ]
    images = torch.randn(2, 8, 8, 8, generator=torch_generator(0, "maps"))
    assert torch.equal(attention(images), images)
    with torch.no_grad():
        attention.gain.fill_(1.0)
        moved = images.clone()
        moved[0, :, 0, 0] += 1
        assert (attention(moved) - attention(images))[0, :, 7, 7].abs().max() > 0


def test_spectral_norm_of_weights_is_one() -> None:
    config = _config("wgan_gp", spectral_norm=True)
    objective = _build(config)
    _train(objective, config, stop=20)
    weights = [
        module.weight.flatten(1)
        for module in objective.discriminator.modules()
        if parametrize.is_parametrized(module, "weight")
    ]
    assert len(weights) == 4
    for weight in weights:
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("scheme", "std"),
    [
        ("dcgan", 0.02),
        ("xavier", (2 / (300 + 200)) ** 0.5),
        ("kaiming", (2 / 300) ** 0.5),
        ("default", 900**-0.5),
    ],
)
def test_initial_standard_deviations(scheme: str, std: float) -> None:
    layer = nn.Linear(300, 200)
    initialize_weights(layer, scheme, torch_generator(0, "w"))
    assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
    assert (layer.bias.abs().max().item() > 0) == (scheme == "default")


def test_orthogonal_initialization() -> None:
    layer = nn.Linear(30, 20)
    initialize_weights(layer, "orthogonal", torch_generator(0, "w"))
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(20), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "architecture"), [pair for pair in NAMES_AND_ARCHITECTURES if pair[0] != "diffusion"]
)
def test_default_initialization_gives_varied_images_and_gradients(
    name: str, architecture: str
) -> None:
    """Images are neither constant nor saturated, and the first layer learns from the scores."""
    config = _config(name, architecture=architecture, latent_dim=32, width=16)
    objective = _build(config)
    network = objective.generator if isinstance(objective, GAN) else objective.decoder
    latents = draw_latents(16, objective.latent_dim, torch_generator(0, "latents"))
    labels = _labels(config, 16)
    images = network(latents, labels).tanh()
    # A DCGAN collapses if the first images of its residual generator have little contrast.
    contrast = 0.3 if name == "dcgan" and architecture == "residual" else 0.05
    assert images.std(dim=0).mean() > contrast
    assert (images.abs() > 0.99).float().mean() < 0.05
    judge = objective.discriminator if isinstance(objective, GAN) else objective.encoder
    scores = judge(images, labels)
    if architecture == "resnet" and name in ("dcgan", "cgan"):
        scores = scores / 64  # a sum over 8×8 positions
    scores.square().mean().backward()
    for part in (network, judge):
        for parameter in part.parameters():
            assert parameter.grad is not None
            assert 0 < parameter.grad.norm() < 1e4


@pytest.mark.parametrize(
    ("objective", "settings", "named"),
    [
        (
            "dcgan",
            {"architecture": "fully_connected", "attention_resolution": 8},
            ("attention_resolution: 8", "architecture"),
        ),
        ("vae", {"dilation": 2}, ("dilation: 2", "layers_per_stage")),
        (
            "dcgan",
            {"architecture": "fully_connected", "discriminator_width": 8},
            ("discriminator_width: 8", "architecture"),
        ),
        ("dcgan", {"attention_resolution": 32}, ("attention_resolution: 32", "16, 8, 4")),
        (
            "wgan_gp",
            {"spectral_norm": True, "gp_weight": 10.0},
            ("spectral_norm", "gp_weight"),
        ),
        ("dcgan", {"n_critic": 2, "n_generator": 2}, ("n_critic", "n_generator")),
        (
            "dcgan",
            {"loss": "hinge", "label_smoothing": 0.1},
            ("hinge", "label_smoothing"),
        ),
        ("vae", {"likelihood": "bernoulli", "decoder_std": 0.5}, ("bernoulli", "decoder_std")),
        ("cgan", {"condition": None}, ("experiments.e.model.condition",)),
        ("vae", {"conditional_batch_norm": True}, ("conditional_batch_norm", "condition")),
        ("wgan_gp", {"projection_discriminator": True}, ("projection_discriminator", "condition")),
    ],
)
def test_contradicting_settings_are_errors(
    objective: str, settings: dict[str, Any], named: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError, match=r"params\.yaml: experiments\.e\.model") as error:
        _config(objective, **settings)
    assert all(key in str(error.value) for key in named), error.value
    assert "\n" not in str(error.value)
