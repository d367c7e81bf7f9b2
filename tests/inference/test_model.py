"""The Python API on every objective: shapes, seeds, labels, and what a model cannot do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import latentbench as lb
from latentbench.errors import ArgumentError, ArtifactError, ConfigError, UnsupportedError
from latentbench.inference.model import Model
from tests.evaluation.conftest import write_checkpoint

Load = Callable[..., Model]
Make = Callable[..., Path]
OBJECTIVES = ["autoencoder", "vae", "dcgan", "cgan", "wgan_gp"]


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
    latents = model.latents(4)
    assert (latents.shape, latents.dtype) == ((4, 6), np.float32)
    np.testing.assert_array_equal(model.decode(latents, **labels), samples)
    assert model.interpolate(squares[0], squares[1], steps=3, **labels).shape == (3, 32, 32, 1)
    paths = model.interpolate(latents[:2], latents[2:], method="linear", **labels)
    np.testing.assert_array_equal(paths[:, 0], samples[:2])
    np.testing.assert_array_equal(paths[:, -1], samples[2:])
    if model.has_encoder:
        codes = model.encode(squares, **labels)
        assert (codes.shape, codes.dtype) == ((5, 6), np.float32)
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
    assert set(model.networks) in ({"encoder", "decoder"}, {"generator", "discriminator"})
    assert model.config.model.name == objective


@pytest.mark.parametrize("objective", ["vae", "cgan"])
def test_a_seed_gives_the_same_images_however_many(objective: str, load: Load) -> None:
    model = load(objective)
    many = model.sample(9, seed=3)
    np.testing.assert_array_equal(model.sample(4, seed=3), many[:4])
    assert (model.sample(9, seed=4) != many).any()


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
