"""`compute.device: mps`, on a stand-in for the device; see mps_like.py."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import latentbench as lb
from latentbench.artifacts.files import read_csv, read_json
from latentbench.artifacts.paths import HISTORY, METRICS
from latentbench.cli import main
from latentbench.errors import ConfigError
from latentbench.runtime.device import (
    float64_device,
    memory_format,
    resolve_precision,
    select_device,
    to_float64,
)
from latentbench.training.history import CLOCK_COLUMNS
from tests.evaluation.conftest import build_reference, make_dataset_config
from tests.runtime.mps_like import MPS, MpsTensor, is_implemented, mps_like

__all__ = ["build_reference", "make_dataset_config"]

Make = Callable[..., Path]
CPU = torch.device("cpu")

MODELS: dict[str, dict[str, Any]] = {
    "vae": {"prior": "mixture", "attention_resolution": 8, "likelihood": "bernoulli"},
    "cgan": {
        "architecture": "convolutional",
        "spectral_norm": True,
        "dilation": 2,
        "layers_per_stage": 2,
    },
    "wgan_gp": {"architecture": "residual", "n_critic": 2},
    "autoencoder": {"architecture": "fully_connected", "hidden_dims": [16]},
}


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [
        (True, True, {"auto": "cuda", "cuda": "cuda", "mps": "mps", "cpu": "cpu"}),
        (False, True, {"auto": "mps", "mps": "mps", "cpu": "cpu"}),
        (False, False, {"auto": "cpu", "cpu": "cpu"}),
    ],
)
def test_auto_takes_cuda_then_mps_then_cpu(
    cuda: bool, mps: bool, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    for name in ("auto", "cuda", "mps", "cpu"):
        if name in expected:
            assert select_device(name).type == expected[name]
        else:
            with pytest.raises(ConfigError, match=name):
                select_device(name)
    # MPS has no distributed backend.
    several = "cuda" if cuda else "cpu"
    assert select_device("auto", num_processes=2).type == several
    if mps:
        with pytest.raises(ConfigError, match=r"training\.processes is 2"):
            select_device("mps", num_processes=2)


def test_what_mps_lacks_is_avoided() -> None:
    assert float64_device(MPS) == CPU
    assert float64_device(torch.device("cuda")) == torch.device("cuda")
    assert memory_format(MPS) == torch.contiguous_format
    assert memory_format(CPU) == torch.channels_last
    assert resolve_precision("auto", MPS) == torch.float32
    with mps_like():
        moved = to_float64(torch.ones(2, device="mps"))
    assert (moved.dtype, moved.device) == (torch.float64, CPU)
    assert not isinstance(moved, MpsTensor)


def test_the_stand_in_refuses_what_mps_refuses() -> None:
    with mps_like():
        numbers = torch.ones(2, device="mps")
        for compute in (
            numbers.double,
            numbers.numpy,
            lambda: numbers + torch.ones(2),
            lambda: torch.zeros(2, dtype=torch.float64, device="mps"),
        ):
            with pytest.raises((TypeError, RuntimeError)):
                compute()
    assert not is_implemented("aten::special_ndtri")


@pytest.mark.parametrize("name", ["wgan_gp", "autoencoder"])
def test_training_on_mps_computes_what_it_computes_on_the_cpu(
    name: str, make_prepared: Make, make_config: Make, tmp_path: Path
) -> None:
    data = make_prepared()
    losses = {}
    for device in ("mps", "cpu"):
        with mps_like() as operations:
            results = train(name, device, data, make_config, tmp_path)
            missing = {each for each in operations if not is_implemented(each)}
        assert bool(operations) == (device == "mps")
        assert not missing, missing
        assert read_json(results / "provenance" / "train.json")["device"] == device
        losses[device] = numbers(results / HISTORY)
    assert losses["mps"] == pytest.approx(losses["cpu"], rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("name", ["vae", "cgan"])
def test_stages_on_mps_measure_what_they_measure_on_the_cpu(
    name: str, make_prepared: Make, make_config: Make, build_reference: Make, tmp_path: Path
) -> None:
    data = make_prepared()
    losses, metrics, found = {}, {}, {}
    for device in ("mps", "cpu"):
        with mps_like() as operations:
            results = train(name, device, data, make_config, tmp_path)
            reference = build_reference(data, epochs=1, compute={"device": device})
            given = {"config": results / "config.yaml", "data": data, "reference": reference}
            invoke("evaluate", **given, results=results, scratch=tmp_path / "scratch" / device)
            if device == "mps":
                invoke("explore", **given, results=results)
            codes, images = use_model(results, device, data)
            missing = {each for each in operations if not is_implemented(each)}
        assert not missing, missing
        losses[device] = numbers(results / HISTORY)
        metrics[device] = numbers(results / METRICS)
        found[device] = codes, images
    assert losses["mps"] == pytest.approx(losses["cpu"], rel=1e-2, abs=1e-3)
    # A pixel that is rounded to another level changes a feature, so the distances differ a little.
    assert metrics["mps"] == pytest.approx(metrics["cpu"], rel=0.05, abs=0.02)
    np.testing.assert_allclose(found["mps"][0], found["cpu"][0], rtol=0, atol=1e-2)
    levels = [images.astype(int) for _, images in found.values()]
    assert np.abs(levels[0] - levels[1]).max() <= 2


def use_model(results: Path, device: str, data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of two test images, and the images on the path between them."""
    model = lb.load_model(results, device=device)
    assert model.device.type == device
    images = np.array(lb.open_dataset(data).images("test")[:2])
    labels: dict[str, Any] = {"labels": "a"} if model.label_names else {}
    if model.has_encoder:
        codes = model.encode(images, **labels)
    else:
        codes = model.invert(images, steps=2, progress=False, **labels)
        assert model.discriminate(images, **labels).shape == (2,)
    assert model.sample(3, **labels).shape == (3, 32, 32, 1)
    return codes, model.interpolate(codes[0], codes[1], steps=4, **labels)


def train(name: str, device: str, data: Path, make_config: Make, folder: Path) -> Path:
    results = folder / "results" / device
    config = make_config(
        name,
        model=MODELS[name],
        training={"epochs": 1, "checkpoints": [1]},
        compute={"device": device},
    )
    results.mkdir(parents=True)
    shutil.copyfile(config, results / "config.yaml")
    logs, scratch = folder / "logs" / device, folder / "scratch" / device
    invoke("train", config=config, data=data, results=results, logs=logs, scratch=scratch)
    return results


def invoke(stage: str, **paths: Path) -> None:
    arguments = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    result = CliRunner().invoke(main, ["--debug", stage, *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def numbers(path: Path) -> dict[str, float]:
    """Return the numbers in the last row of a CSV file, without those of the clock."""
    measured = {}
    for name, text in read_csv(path)[-1].items():
        if text and name not in ("prior", "warnings", *CLOCK_COLUMNS):
            measured[name] = float(text)
    return measured
