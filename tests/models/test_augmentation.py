"""Augmentation against closed forms and second implementations, and its place in a GAN's step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.config.load import parse_params
from latentbench.config.models import AnyModel
from latentbench.errors import ConfigError
from latentbench.models.augmentation import Augmentation, change_color, cut_out, translate
from latentbench.models.gan import GAN
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import draw_latents
from latentbench.models.registry import OBJECTIVES, build_objective
from latentbench.rng import torch_generator
from latentbench.runtime.distributed import ProcessGroup

ALL = ["color", "translation", "cutout"]
GANS = [name for name, kind in OBJECTIVES.items() if issubclass(kind, GAN)]
BATCH = 6


def _images(channels: int = 3, side: int = 16, number: int = BATCH) -> Tensor:
    images = torch.rand(number, channels, side, side, generator=torch_generator(0, "images"))
    return (2 * images - 1).double().contiguous(memory_format=torch.channels_last)


def _uniforms(columns: int, number: int = BATCH) -> Tensor:
    return torch.rand(number, columns, generator=torch_generator(0, "uniforms")).double()


@pytest.mark.parametrize(("operation", "columns"), [(change_color, 3), (translate, 2)])
def test_middle_of_the_ranges_is_the_identity(
    operation: Callable[[Tensor, Tensor], Tensor], columns: int
) -> None:
    images = _images()
    changed = operation(images, torch.full((BATCH, columns), 0.5).double())
    torch.testing.assert_close(changed, images, rtol=0, atol=1e-15)


@pytest.mark.parametrize("channels", [1, 3])
def test_expectation_of_colors_is_the_identity(channels: int) -> None:
    """The result is linear in each number, so the mean over all mirrored triples is exact."""
    images, uniforms = _images(channels), _uniforms(3)
    total = torch.zeros_like(images)
    for mirrored in itertools.product([False, True], repeat=3):
        total += change_color(images, torch.where(torch.tensor(mirrored), 1 - uniforms, uniforms))
    torch.testing.assert_close(total / 8, images, rtol=0, atol=1e-14)


def test_shifts_are_symmetric() -> None:
    images, uniforms = _images(), _uniforms(2)
    there = translate(images, uniforms)
    back = translate(images.flip(2, 3), 1 - uniforms).flip(2, 3)
    assert torch.equal(there, back)
    assert not torch.equal(there, images)


def test_every_shift_and_place_is_equally_likely() -> None:
    """Of an even grid of numbers, up to the largest below 1."""
    spot = torch.zeros(1, 1, 32, 32)
    spot[..., 16, 16] = 1
    number = 9 * 20
    grid = (torch.arange(number) + 0.5) / number
    shifted = translate(spot.expand(number, -1, -1, -1), grid[:, None].expand(-1, 2))
    assert shifted.amax(dim=(1, 2)).sum(dim=0)[12:21].tolist() == [20] * 9
    last = torch.full((1, 2), torch.nextafter(torch.ones(()), torch.zeros(())))
    assert translate(spot, last)[0, 0, 20, 20] == 1
    ones = torch.ones(1, 1, 32, 32)
    assert (cut_out(ones, torch.zeros(1, 2)) == 0).sum() == 8 * 8  # a corner's quarter
    assert (cut_out(ones, last) == 0).sum() == 8 * 8
    assert (cut_out(ones, torch.full((1, 2), 0.5)) == 0).sum() == 16 * 16


@pytest.mark.parametrize("channels", [1, 3])
def test_colors_match_zhao_et_al(channels: int) -> None:
    """One change after the other, as their code has them."""
    images, uniforms = _images(channels), _uniforms(3)
    brightness, saturation, contrast = uniforms.view(BATCH, 3, 1, 1, 1).unbind(1)
    expected = images + brightness - 0.5
    mean = expected.mean(dim=1, keepdim=True)
    expected = (expected - mean) * (2 * saturation) + mean
    mean = expected.mean(dim=(1, 2, 3), keepdim=True)
    expected = (expected - mean) * (contrast + 0.5) + mean
    torch.testing.assert_close(change_color(images, uniforms), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("channels", "side"), [(1, 32), (3, 16), (3, 64)])
def test_shifts_and_squares_match_loops(channels: int, side: int) -> None:
    images, uniforms = _images(channels, side), _uniforms(2)
    most, square = side // 8, side // 2
    shifted, cut = translate(images, uniforms), cut_out(images, uniforms)
    for image, numbers, moved, holed in zip(images, uniforms, shifted, cut, strict=True):
        row, column = (int(number * (2 * most + 1)) - most for number in numbers)
        padded = F.pad(image, (most, most, most, most))
        window = padded[:, most - row : most - row + side, most - column : most - column + side]
        assert torch.equal(moved, window)
        expected = image.clone()
        top, left = (int(number * (side + 1)) - square // 2 for number in numbers)
        expected[:, max(0, top) : top + square, max(0, left) : left + square] = 0
        assert torch.equal(holed, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_of_both_orders(channels: int) -> None:
    images = _images(channels, 8, 2).requires_grad_()
    augmentation = Augmentation(ALL)

    def augment(images: Tensor) -> Tensor:
        changed: Tensor = augmentation(images, generator=torch_generator(0, "augment"))
        return changed

    assert torch.autograd.gradcheck(augment, images)
    assert torch.autograd.gradgradcheck(lambda each: augment(each).square(), images)


@pytest.mark.parametrize("side", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes_and_memory_format(channels: int, side: int) -> None:
    images = _images(channels, side, 3).float()
    changed = Augmentation(ALL)(images, generator=torch_generator(0, "augment"))
    assert changed.shape == images.shape
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert all(not torch.equal(one, other) for one, other in zip(changed, images, strict=True))
    # A square of half the side is gray, as far as it is inside the image.
    assert all((image == 0).all(dim=0).sum() >= (side // 4) ** 2 for image in changed)


def test_two_processes_have_the_numbers_of_one() -> None:
    images, augmentation = _images(), Augmentation(ALL)
    whole = augmentation(images, generator=torch_generator(0, "augment"))
    parts = []
    for rank in range(2):
        processes, generator = ProcessGroup(rank, 2), torch_generator(0, "augment")
        shard = processes.local_shard(images)
        parts.append(augmentation(shard, generator=generator, processes=processes))
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=0)


def test_no_augmentation_draws_no_numbers() -> None:
    images, generator = _images(), torch_generator(0, "augment")
    assert Augmentation([])(images, generator=generator) is images
    assert torch.equal(generator.get_state(), torch_generator(0, "augment").get_state())


def test_probability_follows_karras_et_al() -> None:
    """The rule of their code, over scores of batches that are real to a changing degree."""
    augmentation = Augmentation(ALL, target=0.6, ramp_images=200)
    generator = torch_generator(0, "scores")
    expected, signs, found = 0.0, [], []
    for step in range(80):
        scores = torch.randn(10, generator=generator) + (2.0 if step < 50 else -0.5)
        augmentation.adapt(scores, step=step, processes=ProcessGroup())
        signs += scores.sign().tolist()
        if step % 4 == 3:
            change = 10 * 4 / 200
            above = sum(signs) / len(signs) > 0.6
            expected = min(1.0, max(0.0, expected + (change if above else -change)))
            signs.clear()
        assert augmentation.probability is not None
        assert augmentation.probability.item() == pytest.approx(expected, abs=1e-6)
        found.append(expected)
    assert max(found) == 1
    assert found[-1] == 0


def test_probability_of_each_operation_and_image() -> None:
    """At 0 no image changes; at 1/4 a quarter of them, by each operation independently."""
    images = torch.ones(4_000, 1, 8, 8)
    augmentation = Augmentation(["color", "cutout"], target=0.6)
    unchanged = augmentation(images, generator=torch_generator(0, "augment"))
    assert torch.equal(unchanged, images)
    assert augmentation.probability is not None
    augmentation.probability.fill_(0.25)
    changed = augmentation(images, generator=torch_generator(0, "augment"))
    is_cut = (changed == 0).flatten(1).any(dim=1)
    is_colored = (changed.flatten(1).amax(dim=1) - 1).abs() > 1e-3
    # Six standard deviations of a binomial share.
    tolerance = 6 * (0.25 * 0.75 / len(images)) ** 0.5
    assert is_cut.float().mean().item() == pytest.approx(0.25, abs=tolerance)
    assert is_colored.float().mean().item() == pytest.approx(0.25, abs=tolerance)
    both = (is_cut & is_colored).float().mean().item()
    assert both == pytest.approx(1 / 16, abs=tolerance)


@pytest.mark.parametrize(("loss", "zero"), [("hinge", 0.0), ("least_squares", 0.5)])
def test_strength_rises_for_a_discriminator_that_is_right(loss: str, zero: float) -> None:
    """Scores are compared with the middle between the targets of real and generated images."""
    settings = {"loss": loss, "augment_target": 0.6, "augment_ramp_images": 4 * BATCH}
    config = _config("dcgan", augment=ALL, **settings)
    images, labels = _batch(config)
    for offset, expected in ((1e-3, 1.0), (-1e-3, 0.0)):
        objective = _build(config)
        score = objective.score
        objective.score = lambda *inputs, score=score, to=zero + offset: 0 * score(*inputs) + to
        for step in range(4):
            generator = torch_generator(0, "step", step)
            terms = objective.step(images, labels, step=step, generator=generator)
        assert terms["augment_probability"] == expected
        assert set(terms) == set(objective.terms)


class Far(nn.Module):
    """Moves images where no others are."""

    probability = None

    def forward(self, images: Tensor, **_: Any) -> Tensor:
        return images + 100

    def adapt(self, *_: Any, **__: Any) -> None:
        pass


def _config(name: str, **settings: Any) -> AnyModel:
    """Return a model as parsed from params.yaml."""
    model = {"name": name, "latent_dim": 5, "width": 4, "condition": None, **settings}
    if name == "cgan":
        model["condition"] = "class"
    raw = {
        "studies": {"s": {"title": "t"}},
        "datasets": {"d": {"source": "folder", "path": "x"}},
        "experiments": {"e": {"study": "s", "dataset": "d", "model": model}},
    }
    return parse_params(raw, where="params.yaml").experiment("e").model


def _build(config: AnyModel, seed: int = 0) -> GAN:
    shape = Shape(32, 3, num_labels=2 if config.condition else 0)
    objective = build_objective(config, shape, seed=seed)
    assert isinstance(objective, GAN)
    objective.make_optimizers()
    return objective.train()


def _batch(config: AnyModel) -> tuple[Tensor, Tensor]:
    labels = torch.eye(2).repeat(BATCH // 2, 1) if config.condition else torch.zeros(BATCH, 0)
    return _images(side=32).float(), labels


@pytest.mark.parametrize("name", GANS)
def test_both_networks_learn_from_augmented_images_only(name: str) -> None:
    config = _config(name, augment=ALL)
    objective = _build(config)
    objective.augmentation = Far()
    seen = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach().abs().amin().item())

    objective.discriminator.register_forward_pre_hook(record)
    images, labels = _batch(config)
    for step in range(6):
        generator = torch_generator(0, "step", step)
        objective.step(images, labels, step=step, generator=generator)
    assert len(seen) >= 13  # real and generated images in every step, and the generator's update
    assert min(seen) > 90
    seen.clear()
    objective.eval()
    with torch.no_grad():
        objective.validate(images, labels, generator=torch_generator(0, "validate"))
        objective.discriminate(images, labels)
    assert len(seen) == 3
    assert max(seen) < 1


@pytest.mark.parametrize("name", GANS)
def test_generators_learn_through_the_augmentation(name: str) -> None:
    """The gradient of the generator's loss, by a second implementation of its update."""
    config = _config(name, augment=ALL)
    objective = _build(config)
    labels = _batch(config)[1]
    latents = draw_latents(BATCH, 5, torch_generator(0, "step"))
    fakes = objective.generator(latents, labels).tanh()
    generator = torch_generator(0, "step")
    draw_latents(BATCH, 5, generator)
    scores = objective.score(objective.augment(fakes, generator), labels)
    parameters = [*objective.generator.parameters()]
    gradients = torch.autograd.grad(objective.generator_loss(scores), parameters)
    expected = torch.cat([gradient.flatten() for gradient in gradients]).norm()

    # The running statistics of batch norm do not change the result.
    terms = objective.update_generator(labels, step=4, generator=torch_generator(0, "step"))
    assert terms["generator_gradient"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert expected > 0


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("wgan_gp", {}),
        ("cgan", {"r1_weight": 1.0, "r1_interval": 3}),
        ("dcgan", {"augment_target": 0.6, "augment_ramp_images": 100}),
    ],
)
def test_resumed_training_has_the_same_bits(name: str, settings: dict[str, Any]) -> None:
    config = _config(name, augment=ALL, **settings)

    def train(objective: GAN, start: int, stop: int) -> None:
        images, labels = _batch(config)
        for step in range(start, stop):
            generator = torch_generator(0, "step", step)
            terms = objective.step(images, labels, step=step, generator=generator)
            assert set(terms) <= set(objective.terms)

    objective, resumed = _build(config), _build(config, seed=1)
    train(objective, 0, 5)
    resumed.load_training_state(
        {key: tensor.clone() for key, tensor in objective.training_state().items()}
    )
    train(objective, 5, 10)
    train(resumed, 5, 10)
    state = objective.training_state()
    assert ("augmentation.probability" in state) == ("augment_target" in settings)
    for key, tensor in resumed.training_state().items():
        assert torch.equal(tensor, state[key]), key


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dcgan", {"augment": ["color", "color"]}),
        ("wgan_gp", {"augment": ["rotation"]}),
        ("vae", {"augment": ["color"]}),
        ("dcgan", {"augment_target": 0.6}),
        ("wgan_gp", {"augment": ["color"], "augment_target": 0.6}),
    ],
)
def test_wrong_augmentations_are_errors(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"params\.yaml: experiments\.e\.model.*augment") as error:
        _config(name, **settings)
    assert "\n" not in str(error.value)
