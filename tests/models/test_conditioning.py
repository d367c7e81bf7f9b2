"""Conditional batch norm and the projection discriminator."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from latentbench.config.models import MODELS, Architecture, DCGANModel, DecoderModel, GANModel
from latentbench.models.networks.architectures import Decoder, Discriminator, Shape
from latentbench.models.networks.conditioning import ConditionalBatchNorm
from latentbench.rng import torch_generator
from tests.models.test_objectives import CLASSES, _build, _config, _train

DECODERS = [name for name, model in MODELS.items() if issubclass(model, DecoderModel)]
LABELED = Shape(32, 1, num_labels=CLASSES)


def _randn(*size: int) -> Tensor:
    return torch.randn(*size, generator=torch_generator(0, "test"), dtype=torch.float64)


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("side", [None, 5])
def test_it_equals_a_batch_norm_per_class(side: int | None, is_training: bool) -> None:
    """All classes are normalized together; then each has its own scale and shift."""
    kind: Any = nn.BatchNorm1d if side is None else nn.BatchNorm2d
    layer = ConditionalBatchNorm(4, kind=kind, affine=False).double().train(is_training)
    layer.start = 3
    entries, labels = _randn(CLASSES, 3 + 8 + 2), torch.arange(9) % CLASSES
    maps = _randn(9, 4) if side is None else _randn(9, 4, side, side)
    found = layer(maps, entries[labels])
    for label in range(CLASSES):
        own = kind(4).double().train(is_training)
        own.weight.data = 1 + entries[label, 3:7]
        own.bias.data = entries[label, 7:11]
        expected = own(maps)[labels == label]
        torch.testing.assert_close(found[labels == label], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("condition", ["class", ["a", "b", "c"]])
def test_scales_are_affine_in_the_label(condition: Any) -> None:
    """Two labels mixed give their outputs mixed; only attributes have a learned scale in common."""
    config = DCGANModel(name="dcgan", width=4, condition=condition, conditional_batch_norm=True)
    decoder = Decoder(config, LABELED).double().eval()
    assert decoder.embedding is not None
    nn.init.normal_(decoder.embedding.weight, generator=torch_generator(0, "embedding"))
    norms = [each for each in decoder.modules() if isinstance(each, ConditionalBatchNorm)]
    assert [norm.norm.affine for norm in norms] == [condition != "class"] * len(norms)
    starts = [0, *[norm.start + 2 * norm.channels for norm in norms]]
    assert starts == [norm.start for norm in norms] + [decoder.embedding.weight.shape[1]]
    maps, (one, other) = _randn(1, norms[0].channels, 4, 4), torch.eye(CLASSES).double()[:2]
    mixed, *ends = (
        norms[0](maps, decoder.embedding(label[None]))
        for label in (0.3 * one + 0.7 * other, one, other)
    )
    torch.testing.assert_close(mixed, 0.3 * ends[0] + 0.7 * ends[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_a_projection_is_added_to_the_unconditional_score(architecture: str) -> None:
    """Miyato & Koyama, section 3: the score is ψ(φ) + (V y)·φ."""
    config = _config(
        "dcgan", architecture=architecture, condition="class", projection_discriminator=True
    )
    assert isinstance(config, GANModel)
    network = Discriminator(config, LABELED, batch_norm=False, pooling="sum").double()
    assert network.projection is not None
    features: list[Tensor] = []
    last: Any = network.layers[-1]
    last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    images, labels = _randn(3, 1, 32, 32), torch.eye(CLASSES).double()
    alone = network(images, torch.zeros(3, CLASSES).double())
    torch.testing.assert_close(alone, last(features[0]), rtol=0, atol=0)
    products = torch.einsum("bf,fb->b", features[0], network.projection.weight)
    torch.testing.assert_close(
        network(images, labels), alone + products[:, None], rtol=1e-12, atol=1e-12
    )
    mixed = network(images, 0.25 * labels + 0.75 * labels.roll(1, 0))
    ends = 0.25 * network(images, labels) + 0.75 * network(images, labels.roll(1, 0))
    torch.testing.assert_close(mixed, ends, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("architecture", get_args(Architecture))
@pytest.mark.parametrize("name", DECODERS)
def test_training_resuming_and_labels(name: str, architecture: str) -> None:
    settings = {"architecture": architecture, "condition": "class", "conditional_batch_norm": True}
    if issubclass(MODELS[name], GANModel):
        settings["projection_discriminator"] = True
    config = _config(name, **settings)
    objective = _build(config)
    _train(objective, config, stop=1)
    state = {key: tensor.clone() for key, tensor in objective.training_state().items()}
    _train(objective, config, start=1, stop=3)
    resumed = _build(config, seed=9)
    resumed.load_training_state(state)
    _train(resumed, config, start=1, stop=3)
    expected = objective.training_state()
    assert all(
        torch.equal(tensor, expected[key]) for key, tensor in resumed.training_state().items()
    )

    objective.eval().double()
    images = objective.sample(
        _randn(1, objective.latent_dim).expand(2, -1), torch.eye(3)[:2].double()
    )
    assert not torch.allclose(images[0], images[1])
