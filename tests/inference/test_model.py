"""The Python API on every objective: shapes, seeds, labels, and what a model cannot do."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import latentbench as lb
from latentbench.artifacts.files import read_manifest, write_manifest
from latentbench.artifacts.paths import DATASET_MANIFEST, checkpoint_path
from latentbench.artifacts.tensors import read_tensors, write_tensors
from latentbench.data.images import to_uint8
from latentbench.data.labels import LabelSet
from latentbench.data.preparation.decode import decode_image, resize_to_square
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.errors import ArgumentError, ArtifactError, ConfigError, UnsupportedError
from latentbench.inference import model as module
from latentbench.inference.model import Model
from latentbench.models.objective import Sampling
from latentbench.models.registry import OBJECTIVES
from tests.evaluation.conftest import give_attributes, write_checkpoint

Load = Callable[..., Model]
Make = Callable[..., Path]


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal to rounding error: a level of 255 where images are rounded."""
    is_image = expected.dtype == np.uint8
    np.testing.assert_allclose(
        found.astype(float),
        expected.astype(float),
        rtol=0 if is_image else 1e-3,
        atol=1 if is_image else 1e-3,
    )


@pytest.fixture
def load(make_config: Make, make_prepared: Make) -> Load:
    """Load a model of initial weights on the squares, conditioned on the class or on nothing."""

    def make(objective: str, *, is_conditional: bool = False, **model: Any) -> Model:
        if is_conditional or objective == "cgan":
            model["condition"] = "class"
        path = make_config(objective, model=model)
        data = make_prepared()
        for epoch in (1, 3):
            write_checkpoint(path, epoch, data=data)
        return lb.load_model(path.parent, device="cpu")

    return make


@pytest.fixture
def squares(make_prepared: Make) -> np.ndarray:
    return np.array(lb.open_dataset(make_prepared()).images("test")[:5])


@pytest.mark.parametrize("is_conditional", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_method_on_every_objective(
    objective: str, is_conditional: bool, load: Load, squares: np.ndarray
) -> None:
    model = load(objective, is_conditional=is_conditional)
    labels: dict[str, Any] = {"labels": "b"} if model.label_names else {}
    samples = model.sample(4, **labels)
    assert (samples.shape, samples.dtype) == ((4, 32, 32, 1), np.uint8)
    latents, dim = model.latents(4), 1024 if objective == "diffusion" else 6
    assert (latents.shape, latents.dtype) == ((4, dim), np.float32)
    np.testing.assert_array_equal(model.decode(latents, **labels), samples)
    assert model.interpolate(squares[0], squares[1], steps=3, **labels).shape == (3, 32, 32, 1)
    paths = model.interpolate(latents[:2], latents[2:], method="linear", **labels)
    np.testing.assert_array_equal(paths[:, 0], samples[:2])
    np.testing.assert_array_equal(paths[:, -1], samples[2:])
    if model.has_encoder:
        codes = model.encode(squares, **labels)
        assert (codes.shape, codes.dtype) == ((5, dim), np.float32)
        rebuilt = model.reconstruct(squares, **labels)
        np.testing.assert_array_equal(rebuilt, model.decode(codes, **labels))
        impossible: list[Callable[..., Any]] = [model.invert, model.discriminate]
    else:
        assert model.invert(squares, steps=2, progress=False, **labels).shape == (5, 6)
        assert model.discriminate(squares, **labels).shape == (5,)
        impossible = [model.encode, model.reconstruct, model.posterior]
    for method in impossible:
        with pytest.raises(UnsupportedError, match=objective):
            method(squares, **labels)
    names = [{"encoder", "decoder"}, {"generator", "discriminator"}, {"unet"}]
    assert set(model.networks) in names
    assert model.config.model.name == objective


def test_steps_and_guidance_of_a_diffusion_model(load: Load, squares: np.ndarray) -> None:
    model = load("diffusion", is_conditional=True)
    assert model.sampling == Sampling(2)
    finer = model.with_sampling(steps=3, guidance=2)
    assert (finer.sampling, model.sampling) == (Sampling(3, 2.0), Sampling(2))
    assert finer.networks["unet"] is model.networks["unet"]
    assert "steps=3, guidance=2, churn=0" in repr(finer)
    with torch.no_grad():  # untrained, the velocity is 0 and no sampler matters
        for parameter in model.networks["unet"].parameters():
            parameter.add_(0.05)
    samples = {}
    for settings in ({}, {"steps": 3}, {"guidance": 2}, {"guidance": 0}, {"churn": 1.0}):
        samples[str(settings)] = model.with_sampling(**settings).sample(3, labels="b")
    assert len({found.tobytes() for found in samples.values()}) == 5
    # Without labels, a class and a mixture of classes are the same.
    mixed = model.with_sampling(guidance=0).sample(3, labels={"a": 0.3, "c": 0.7})
    np.testing.assert_array_equal(mixed, samples["{'guidance': 0}"])
    assert (model.sample(3, labels={"a": 0.3, "c": 0.7}) != model.sample(3, labels="a")).any()
    codes = [each.encode(squares, labels="b") for each in (model, finer)]
    assert np.abs(codes[0] - codes[1]).max() > 1e-3
    assert finer.interpolate(squares[0], squares[1], steps=4, labels="b").shape[0] == 4


def test_noise_becomes_an_image_step_by_step(load: Load) -> None:
    model = load("diffusion", is_conditional=True)
    latents = model.latents(6).reshape(2, 3, -1)
    noisy, denoised = model.with_sampling(steps=4).denoise(latents, labels="b")
    assert noisy.shape == denoised.shape == (2, 3, 5, 32, 32, 1)
    images = model.with_sampling(steps=4).decode(latents, labels="b")
    np.testing.assert_array_equal(noisy[:, :, -1], images)
    np.testing.assert_array_equal(denoised[:, :, -1], images)
    noise = to_uint8(torch.from_numpy(latents).view(6, 1, 32, 32)).view(2, 3, 32, 32, 1)
    np.testing.assert_array_equal(noisy[:, :, 0], noise.numpy())
    # Many steps are computed in smaller batches, with the same result.
    longer = model.with_sampling(steps=100)
    assert_close(
        longer.denoise(latents, labels="b")[1][1, 2], longer.denoise(latents[1, 2], labels="b")[1]
    )


def test_samplers_that_a_model_does_not_have(load: Load) -> None:
    for arguments, named in (
        ({"steps": 0}, "steps is '0'"),
        ({"guidance": 3.0}, "condition"),
        ({"churn": -1.0}, "churn"),
    ):
        with pytest.raises(ArgumentError, match=named):
            load("diffusion").with_sampling(**arguments)
    gan = load("dcgan")
    assert gan.sampling is None
    for impossible in (
        partial(gan.with_sampling, steps=3),
        partial(gan.denoise, gan.latents(2)),
    ):
        with pytest.raises(UnsupportedError, match="dcgan"):
            impossible()


@pytest.mark.parametrize("objective", ["vae", "cgan"])
def test_a_seed_gives_the_same_images_however_many(objective: str, load: Load) -> None:
    model = load(objective)
    many = model.latents(9, seed=3)
    np.testing.assert_array_equal(model.latents(4, seed=3), many[:4])
    assert (model.latents(9, seed=4) != many).any(axis=1).all()
    batch = module.BATCH_SIZE
    np.testing.assert_array_equal(
        model.latents(batch + 1, seed=3), model.latents(2 * batch, seed=3)[: batch + 1]
    )
    assert_close(model.sample(4, seed=3), model.sample(9, seed=3)[:4])


def test_latents_follow_the_prior(load: Load) -> None:
    """Two Gaussians, of means 1 and -2 and deviations 2 and 0.5, with weights 1/4 and 3/4."""
    model = load("vae")
    assert list(model.priors) == ["mixture", "standard"]
    drawn = model.latents(5_000)
    np.testing.assert_allclose(drawn.mean(axis=0), 0.25 - 1.5, atol=0.15)
    variance = 0.25 * (4 + 1) + 0.75 * (0.25 + 4) - 1.25**2
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.1)
    centers = model.latents(100, truncation=0)
    assert set(np.unique(centers)) == {1, -2}
    np.testing.assert_allclose(
        model.latents(100, truncation=0.5) - centers, 0.5 * (drawn[:100] - centers), atol=1e-5
    )
    standard = model.latents(5_000, prior="standard")
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=0.08)
    np.testing.assert_allclose(standard.std(axis=0), 1, atol=0.08)
    gan = load("dcgan")
    assert list(gan.priors) == ["standard"]
    np.testing.assert_array_equal(gan.latents(5), standard[:5])  # the same noise for every model
    with pytest.raises(UnsupportedError, match="mixture"):
        gan.latents(5, prior="mixture")
    for wrong in ({"number": 0}, {"number": 2, "truncation": -1.0}):
        with pytest.raises(ArgumentError, match="number"):
            model.latents(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_neither_batches_nor_order_change_results(
    objective: str, load: Load, squares: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(objective)
    labels = [0, 1, 2, 3, 0] if model.label_names else None
    backwards = labels and labels[::-1]
    methods: list[Callable[..., np.ndarray]] = [model.encode, model.reconstruct]
    if not model.has_encoder:
        search = partial(model.invert, steps=2, progress=False)
        by_itself = partial(model.discriminate, reference=squares, reference_labels=labels)
        methods = [search, model.discriminate, by_itself]
    whole = [method(squares, labels=labels) for method in methods]
    for method, expected in zip(methods, whole, strict=True):
        found = method(squares[::-1], labels=backwards)[::-1]
        assert_close(found, expected)
    decoded = model.decode(model.latents(5), labels=labels)
    monkeypatch.setattr(module, "BATCH_SIZE", 2)
    for method, expected in zip(methods, whole, strict=True):
        assert_close(method(squares, labels=labels), expected)
    assert_close(model.decode(model.latents(5), labels=labels), decoded)


def test_labels_choose_and_mix_the_classes(load: Load) -> None:
    model = load("cgan")
    assert model.label_names == ["a", "b", "c", "d"]
    latents = np.repeat(model.latents(1), 4, axis=0)
    by_index = model.decode(latents, labels=[0, 1, 2, 3])
    assert len(np.unique(by_index, axis=0)) == 4
    np.testing.assert_array_equal(model.decode(latents, labels=list("abcd")), by_index)
    np.testing.assert_array_equal(model.decode(latents, labels=np.eye(4)), by_index)
    for label in ("c", 2, {"c": 1}, np.array([0, 0, 1.0, 0])):
        assert_close(model.decode(latents[0], labels=label), by_index[2])
    half = model.decode(latents[:1], labels={"a": 0.5, "c": 0.5})
    assert (half != by_index[0]).any()
    path = model.interpolate(latents[0], latents[0], steps=3, labels="a", end_labels="c")
    assert_close(path, np.concatenate([by_index[:1], half, by_index[2:3]]))
    with pytest.raises(ArgumentError, match=r"a, b, c, d"):
        model.decode(latents)
    with pytest.raises(ArgumentError, match=r"3 labels for 4"):
        model.decode(latents, labels=[0, 1, 2])
    with pytest.raises(ArgumentError, match="e"):
        model.sample(1, labels="e")
    with pytest.raises(UnsupportedError, match="dcgan"):
        load("dcgan").sample(1, labels="a")


def test_attributes_are_named_in_dicts(make_config: Make, make_prepared: Make) -> None:
    data = give_attributes(make_prepared())
    path = make_config("vae", model={"condition": ["low", "coin"]})
    write_checkpoint(path, 3, data=data)
    model = lb.load_model(path.parent)
    assert model.label_names == ["low", "coin"]
    images = np.array(lb.open_dataset(data).images("test")[:3])
    codes = model.encode(images, labels={"coin": 1})
    for labels in ("coin", [[0.0, 1.0]] * 3, np.array([[0, 1]] * 3), ["coin"] * 3):
        np.testing.assert_array_equal(model.encode(images, labels=labels), codes)
    assert (model.encode(images, labels={"coin": 0.5}) != codes).any()
    assert (model.encode(images, labels="low, coin") != codes).any()
    assert_close(
        model.reconstruct(images, labels="none"),
        model.decode(model.encode(images, labels={}), labels={"low": 0}),
    )
    with pytest.raises(ArgumentError, match="rare"):
        model.sample(2, labels={"rare": 1})
    dataset = lb.open_dataset(data)
    assert dataset.attributes("test").shape[1] == len(dataset.attribute_names) == 3
    assert "coin, low, rare" in dataset._repr_html_()


def test_random_labels_have_the_frequencies_of_the_training_images(load: Load) -> None:
    model = load("cgan")
    vectors = np.eye(4).astype(int).tolist()
    skewed = replace(model, label_set=LabelSet(list("abcd"), vectors, [9, 0, 1, 0]))
    images = skewed.sample(200)
    errors = []
    for name in "abcd":
        drawn = model.decode(model.latents(200), labels=name)
        errors.append(np.square(drawn.astype(float) - images).mean(axis=(1, 2, 3)))
    shares = np.bincount(np.argmin(errors, axis=0), minlength=4) / 200
    np.testing.assert_allclose(shares, [0.9, 0, 0.1, 0], atol=0.07)
    assert shares[1] == shares[3] == 0


def test_interpolation_takes_images_and_latents(load: Load, squares: np.ndarray) -> None:
    model = load("autoencoder")
    codes = model.encode(squares)
    ends = model.reconstruct(squares)
    for method in ("linear", "spherical"):
        path = model.interpolate(squares[0], codes[1], steps=5, method=method)
        assert path.shape == (5, 32, 32, 1)
        assert_close(path[[0, -1]], ends[:2])
    middle = model.interpolate(codes[0], codes[1], steps=3, method="linear")[1]
    assert_close(middle, model.decode((codes[0] + codes[1]) / 2))
    fan = model.interpolate(Image.fromarray(squares[0, ..., 0]), list(squares[1:]), steps=2)
    assert fan.shape == (4, 2, 32, 32, 1)
    assert_close(fan[:, 0], np.repeat(ends[:1], 4, axis=0))
    assert_close(fan[:, 1], ends[1:])
    for wrong in ({"method": "cubic"}, {"steps": 1}):
        with pytest.raises(ArgumentError, match="spherical"):
            model.interpolate(codes[0], codes[1], **wrong)  # type: ignore[arg-type]
    frozen = codes[::-1]
    frozen.flags.writeable = False
    assert_close(model.decode(frozen), ends[::-1])
    assert_close(model.decode(torch.from_numpy(codes)), ends)
    assert_close(model.decode(codes[0]), ends[0])
    with pytest.raises(ArgumentError, match=r"2 starts and 3 ends"):
        model.interpolate(codes[:2], codes[:3])
    with pytest.raises(ArgumentError, match=r"\(2, 5\)"):
        model.decode(codes[:2, :5])
    with pytest.raises(ArgumentError, match="str"):
        model.decode("codes")  # type: ignore[arg-type]


def test_inversion_comes_closer_with_more_steps(load: Load) -> None:
    model = load("dcgan", initialization="orthogonal")
    target = model.sample(2, seed=5)
    errors = []
    for steps in (0, 40):
        found = model.decode(model.invert(target, steps=steps, progress=False))
        errors.append(np.square(found.astype(float) - target).mean())
    assert errors[1] < 0.8 * errors[0]
    seen: list[int] = []

    def watch(steps: Iterable[int]) -> Iterable[int]:
        for step in steps:
            seen.append(step)
            yield step

    model.invert(target, steps=3, progress=watch)
    assert seen == [0, 1, 2]
    with pytest.raises(ArgumentError, match="-1"):
        model.invert(target, steps=-1)


def test_scores_of_a_discriminator_with_batch_norm(load: Load, squares: np.ndarray) -> None:
    model = load("dcgan")
    together = model.discriminate(squares)
    with pytest.raises(ArgumentError, match="reference"):
        model.discriminate(squares[0])
    before = {key: value.clone() for key, value in model.objective.state_dict().items()}
    by_reference = model.discriminate(squares, reference=squares)
    # The reference has unbiased variances, which at 5 × 4 × 4 values are 1 % larger.
    np.testing.assert_allclose(by_reference, together, rtol=0.1, atol=0.05 * together.std())
    alone = [model.discriminate(image, reference=squares) for image in squares]
    assert_close(np.concatenate(alone), by_reference)
    for key, value in model.objective.state_dict().items():
        assert torch.equal(value, before[key]), key
    critic = load("wgan_gp")
    assert_close(critic.discriminate(squares[0]), critic.discriminate(squares)[:1])


def test_images_are_prepared_as_the_dataset_was(make_config: Make, make_prepared: Make) -> None:
    data = make_prepared()
    manifest = read_manifest(data / DATASET_MANIFEST) | {"settings": {"crop": 20, "pad": 3}}
    write_manifest(data / DATASET_MANIFEST, manifest)
    path = make_config("autoencoder")
    write_checkpoint(path, 3, data=data)
    model = lb.load_model(path.parent)
    spec = ResizeSpec(32, 1, crop=20, pad=3)
    assert model.resize_spec == lb.open_dataset(data).resize_spec == spec
    image = Image.fromarray(np.arange(40 * 50, dtype=np.uint32).astype(np.uint8).reshape(40, 50))
    expected = resize_to_square(decode_image(image, spec), spec)[None]
    np.testing.assert_array_equal(model.prepare(image), expected)
    np.testing.assert_array_equal(model.encode(image), model.encode(expected))
    checkpoint = checkpoint_path(path.parent, 3)
    weights, metadata = read_tensors(checkpoint)
    for wrong in ({"crop": 20}, {**metadata["preparation"], "channels": 3}, "crop", None):
        write_tensors(checkpoint, weights, metadata | {"preparation": wrong})
        with pytest.raises(ArtifactError, match="epoch-0003"):
            lb.load_model(path.parent)


def test_notebooks_show_models_and_datasets(load: Load, make_prepared: Make) -> None:
    model = load("vae")
    shown = replace(model, config=model.config.model_copy(update={"name": "<b>&"}))._repr_html_()
    assert "<b>" not in shown
    assert "&lt;b&gt;&amp;" in shown
    for network in model.networks.values():
        assert f"{sum(each.numel() for each in network.parameters()):,}" in shown
    [picture] = re.findall(r'src="data:image/png;base64,([^"]+)"', shown)
    assert Image.open(io.BytesIO(base64.b64decode(picture))).mode == "L"
    assert "vae" in repr(model)
    data = lb.open_dataset(make_prepared())
    assert "data:image/png" in data._repr_html_()
    assert data.class_names == ["a", "b", "c", "d"]
    assert data.attribute_names == []
    assert str(data.folder) in repr(data)
    with pytest.raises(ArtifactError, match=data.folder.name):
        lb.open_dataset(data.folder.parent)
    with pytest.raises(ArtifactError, match="nowhere"):
        lb.open_dataset("nowhere")


def test_folders_that_are_no_experiment(make_config: Make, make_prepared: Make) -> None:
    path = make_config("vae")
    write_checkpoint(path, 1, data=make_prepared())
    assert lb.load_model(path.parent, epoch=1).epoch == 1
    assert lb.load_model(SimpleNamespace(folder=path.parent), epoch=1).name == "vae"
    with pytest.raises(ArtifactError, match=r"epoch 3.* 1\b"):
        lb.load_model(path.parent)
    with pytest.raises(ArtifactError, match="vae"):
        lb.load_model(path.parent.parent)
    with pytest.raises(ArtifactError, match="nowhere"):
        lb.load_model(path.parent / "nowhere")
    with pytest.raises(ArgumentError, match="int"):
        lb.load_model(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="tpu"):
        lb.load_model(path.parent, device="tpu")


def test_importing_the_package_imports_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, latentbench as lb; assert lb.__doc__ and 'grid' in dir(lb); "
        "assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
