"""Forecasts: sizes as they will be, and work that adds up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from latentbench.artifacts.files import write_yaml
from latentbench.cli import main
from latentbench.config.load import parse_params
from latentbench.config.params import Params
from latentbench.data.fetch import fetch_dataset
from latentbench.data.prepare import prepare_dataset
from latentbench.forecast.forecast import (
    EVALUATION_ARRAYS,
    LATENT_FACTS,
    PER_EPOCH,
    PER_FRAME,
    forecast,
)
from latentbench.forecast.rates import MeasureRates, ModelRates, measure_rates, model_rates
from latentbench.forecast.sizes import PUBLISHED, Sizes, sizes_of

GLYPHS = {"source": "glyphs", "num_train": 2_000, "num_test": 500}


def params(dataset: dict[str, Any] = GLYPHS, **experiments: dict[str, Any]) -> Params:
    raw: dict[str, Any] = {"studies": {"s": {"title": "S"}}, "datasets": {"d": dataset}}
    raw["experiments"] = {
        name: {"study": "s", "dataset": "d", "compute": {"device": "cpu"}} | settings
        for name, settings in experiments.items()
    }
    return parse_params(raw, where="params.yaml")


MODEL = ModelRates(
    step=0.1, look=0.001, sample=0.002, reconstruct=0.05, weights=1_000_000, state=3_000_000
)
MEASURE = MeasureRates(learn=0.01, describe=0.003, compare=2.0, search=1e-8, map=0.004)


@pytest.fixture
def known_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentbench.forecast.forecast.model_rates", lambda *_: MODEL)
    monkeypatch.setattr("latentbench.forecast.forecast.measure_rates", lambda *_: MEASURE)
    sizes = Sizes(num_train=6_400, num_test=500, num_classes=10, per_picture=0.0)
    monkeypatch.setattr("latentbench.forecast.forecast.sizes_of", lambda *_: sizes)


def test_sizes_are_those_that_preparing_finds(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    for name in ("a", "b"):
        (pictures / name).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(np.full((40, 40, 3), number, np.uint8)).save(
                pictures / name / f"{number}.png"
            )
    folder = {"source": "folder", "path": str(pictures), "test_fraction": 0.25}
    for dataset in (GLYPHS, folder, folder | {"max_train_images": 10}):
        config = params(dataset).dataset("d")
        before = sizes_of(config, tmp_path)
        fetch_dataset(config, tmp_path / "raw" / "d")
        prepare_dataset(config, tmp_path / "raw" / "d", tmp_path / "prepared" / "d", workers=1)
        after = sizes_of(config, tmp_path)
        assert (before.num_train, before.num_test, before.num_classes) == (
            after.num_train,
            after.num_test,
            after.num_classes,
        )
        assert before.per_picture > 0 == after.per_picture


def test_official_sizes_are_those_that_are_published(tmp_path: Path) -> None:
    for key, (num_train, num_test, num_classes) in PUBLISHED.items():
        source, _, split = key.partition("/")
        config = params({"source": source} | ({"split": split} if split else {})).dataset("d")
        sizes = sizes_of(config, tmp_path)
        assert (sizes.num_train, sizes.num_test, sizes.num_classes) == (
            num_train,
            num_test,
            num_classes,
        )


def test_work_is_what_the_settings_ask_for(known_rates: None) -> None:
    training = {"epochs": 20, "checkpoints": [5, 20], "batch_size": 64}
    evaluation = {"num_samples": 1_000, "num_seeds": 3}
    models = {"vae": {"name": "vae"}, "gan": {"name": "dcgan"}}
    experiments = {
        name: {"model": model, "training": training, "evaluation": evaluation}
        for name, model in models.items()
    }
    found = forecast(params(**experiments), "s", Path(), seconds_to_start=4.0, tell=lambda _: None)
    seconds = {(job.stage, job.subject): job.seconds for job in found.jobs}
    assert len(found.jobs) == 2 + 2 * 3 + 1
    # 100 steps of 0.1 s in each epoch, 1,500 images looked at, 64 drawn.
    epoch = 10 + 1.5 + 0.128 + PER_EPOCH + PER_FRAME
    assert seconds["train", "vae"] == seconds["train", "gan"] == pytest.approx(4 + 20 * epoch)
    # Six sets of 1,000 samples: 5 s to make and describe each, 2 s to compare, 0.064 s to search.
    assert seconds["evaluate", "vae"] == pytest.approx(4 + EVALUATION_ARRAYS + 6 * (5 + 2 + 0.064))
    # 1,000 images of each split are encoded, and 500 codes drawn; 64 of each and 12 ends of paths are inverted.
    assert seconds["explore", "vae"] == pytest.approx(4 + LATENT_FACTS + 2_000 * 0.05 + 500 * 0.004)
    assert seconds["explore", "gan"] == pytest.approx(4 + LATENT_FACTS + (128 + 12) * 0.05)
    assert seconds["reference", "d"] == pytest.approx(
        4 + 4 * 50 * 0.01 + 6_900 * 0.003 + 6_400 * 500 * 1e-8
    )
    assert found.seconds == pytest.approx(sum(seconds.values()))
    longest = max(seconds["evaluate", "vae"], seconds["explore", "vae"])
    critical = seconds["prepare", "d"] + seconds["train", "vae"] + longest + seconds["report", "s"]
    assert found.critical_seconds == pytest.approx(critical)
    disk = {(job.stage, job.subject): job.disk_bytes for job in found.jobs}
    assert disk["train", "vae"] == 2 * 1_000_000 + 3_000_000
    assert disk["prepare", "d"] == 6_900 * 32 * 32


def test_rates_are_measured_of_every_kind_of_model() -> None:
    sizes = Sizes(num_train=500, num_test=100, num_classes=3, per_picture=0.0)
    for model in ({"name": "vae"}, {"name": "wgan_gp", "condition": "class", "n_critic": 2}):
        asked = params(one={"model": model | {"width": 4}, "evaluation": {"num_samples": 50}})
        experiment = asked.experiment("one")
        rates = model_rates(experiment, sizes)
        assert min(rates.step, rates.look, rates.sample, rates.reconstruct) > 0
        assert rates.state > rates.weights > 0
    measured = measure_rates(asked.dataset("d"), experiment, sizes)
    assert (
        min(measured.learn, measured.describe, measured.compare, measured.search, measured.map) > 0
    )


def test_the_command_tells_every_job(known_rates: None, tmp_path: Path) -> None:
    asked = params(vae={"model": {"name": "vae"}})
    write_yaml(tmp_path / "params.yaml", asked.model_dump(mode="json"))
    result = CliRunner().invoke(
        main, ["plan", "s", "--params", str(tmp_path / "params.yaml"), "--budget", "small"]
    )
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == [
        "minutes",
        "prepare",
        "reference",
        "train",
        "evaluate",
        "explore",
        "report",
        "MB",
    ]
    assert [row[0] for row in rows[1:4]] == ["d", "vae", "s"]
    assert [len(row) for row in rows[1:4]] == [4, 5, 3]
    assert rows[4][:3] == ["s:", "6", "jobs;"]


def test_a_study_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    raw = {"studies": {"s": {"title": "S"}}, "datasets": {"d": GLYPHS}, "experiments": {}}
    write_yaml(tmp_path / "params.yaml", raw)
    result = CliRunner().invoke(main, ["plan", "other", "--params", str(tmp_path / "params.yaml")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "'other'" in result.output
