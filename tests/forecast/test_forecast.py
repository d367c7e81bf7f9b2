"""Forecasts: sizes agree with prepared datasets, and costs add up."""

from __future__ import annotations

from collections.abc import Callable
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
from latentbench.data.preparation.prepare import prepare_dataset
from latentbench.evaluation.real_scores import NUM_SETS
from latentbench.evaluation.reference import NUM_SPLITS
from latentbench.forecast.forecast import (
    EPOCH_FILES,
    EVALUATION_ARRAYS,
    EVOLUTION_FRAME,
    LATENT_ARRAYS,
    ODE_RECONSTRUCTIONS,
    forecast,
)
from latentbench.forecast.formatting import format_forecast
from latentbench.forecast.rates import (
    BATCH_SIZE,
    DatasetRates,
    ModelRates,
    measure_dataset_rates,
    measure_model_rates,
    quick_measurement,
)
from latentbench.forecast.sizes import PUBLISHED, DatasetSizes, dataset_sizes

GLYPHS = {"source": "glyphs", "num_train": 2_000, "num_test": 500}


def params(dataset: dict[str, Any] = GLYPHS, **experiments: dict[str, Any]) -> Params:
    raw: dict[str, Any] = {"studies": {"s": {"title": "S"}}, "datasets": {"d": dataset}}
    raw["experiments"] = {
        name: {"study": "s", "dataset": "d", "compute": {"device": "cpu"}} | settings
        for name, settings in experiments.items()
    }
    return parse_params(raw, where="params.yaml")


MODEL = ModelRates(
    step=0.1,
    validation=0.001,
    sample=0.002,
    reconstruction=0.05,
    weight_bytes=1_000_000,
    state_bytes=3_000_000,
    has_likelihood=True,
)
DATASET = DatasetRates(
    classifier_step=0.01, feature=0.003, feature_dim=64, distances=2.0, pair=1e-8, projection=0.004
)


@pytest.fixture
def known_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentbench.forecast.forecast.measure_model_rates", lambda *_: MODEL)
    monkeypatch.setattr("latentbench.forecast.forecast.measure_dataset_rates", lambda *_: DATASET)
    sizes = DatasetSizes(num_train=6_400, num_test=500, num_classes=10, decode_seconds=0.0)
    monkeypatch.setattr("latentbench.forecast.forecast.dataset_sizes", lambda *_: sizes)


def test_sizes_agree_with_the_prepared_dataset(tmp_path: Path) -> None:
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
        before = dataset_sizes(config, tmp_path)
        fetch_dataset(config, tmp_path / "raw" / "d")
        prepare_dataset(config, tmp_path / "raw" / "d", tmp_path / "prepared" / "d", workers=1)
        after = dataset_sizes(config, tmp_path)
        assert (before.num_train, before.num_test, before.num_classes) == (
            after.num_train,
            after.num_test,
            after.num_classes,
        )
        assert before.decode_seconds > 0 == after.decode_seconds


def test_sizes_of_published_datasets(tmp_path: Path) -> None:
    for key, (num_train, num_test, num_classes) in PUBLISHED.items():
        source, _, split = key.partition("/")
        config = params({"source": source} | ({"split": split} if split else {})).dataset("d")
        sizes = dataset_sizes(config, tmp_path)
        assert (sizes.num_train, sizes.num_test, sizes.num_classes) == (
            num_train,
            num_test,
            num_classes,
        )


def test_seconds_and_bytes_follow_from_settings_and_rates(known_rates: None) -> None:
    training = {"epochs": 20, "checkpoints": [5, 20], "batch_size": 64}
    evaluation = {"num_samples": 1_000, "num_seeds": 3}
    models: dict[str, dict[str, Any]] = {
        "vae": {"name": "vae", "prior": "standard"},
        "gan": {"name": "dcgan"},
        "noise": {"name": "diffusion"},
    }
    experiments = {
        name: {"model": model, "training": training, "evaluation": evaluation}
        for name, model in models.items()
    }
    found = forecast(params(**experiments), "s", Path(), start_seconds=4.0, log=lambda _: None)
    seconds = {(job.stage, job.subject): job.seconds for job in found.jobs}
    assert len(found.jobs) == 2 + 3 * 3 + 1
    # Per epoch: 100 steps of 0.1 s, loss terms of 1,500 images, 64 samples.
    epoch = 10 + 1.5 + 0.128 + EPOCH_FILES + EVOLUTION_FRAME
    assert seconds["train", "vae"] == seconds["train", "gan"] == pytest.approx(4 + 20 * epoch)
    # Six sets of 1,000 samples: 5 s to sample and extract features, 2 s for the distances,
    # 0.064 s for the nearest neighbors. Then the distances of sets of test images, and the
    # likelihood of 64 of them with 500 draws.
    assert seconds["evaluate", "vae"] == pytest.approx(
        4 + EVALUATION_ARRAYS + 6 * (5 + 2 + 0.064) + NUM_SETS * 2 + 64 * 500 * 0.002
    )
    # The VAE encodes 1,000 images of each split and projects 500 codes; the GAN inverts 64 images
    # of each split and the 12 ends of paths.
    assert seconds["explore", "vae"] == pytest.approx(
        4 + LATENT_ARRAYS + 2_000 * 0.05 + 500 * 0.004
    )
    assert seconds["explore", "gan"] == pytest.approx(4 + LATENT_ARRAYS + (128 + 12) * 0.05)
    # The ODE reconstructs 100 images of each split, and encodes and projects 150.
    assert seconds["explore", "noise"] == pytest.approx(
        4 + LATENT_ARRAYS + (200 + ODE_RECONSTRUCTIONS + 75) * 0.05 + 150 * 0.004
    )
    assert seconds["reference", "d"] == pytest.approx(
        4 + 4 * 50 * 0.01 + 6_900 * 0.003 + 6_400 * 500 * 1e-8 + NUM_SPLITS * 2
    )
    assert found.seconds == pytest.approx(sum(seconds.values()))
    # What follows the trainings, which take equally long.
    longest = max(seconds[stage, name] for stage in ("evaluate", "explore") for name in models)
    critical = seconds["prepare", "d"] + seconds["train", "vae"] + longest + seconds["report", "s"]
    assert found.critical_seconds == pytest.approx(critical)
    disk = {(job.stage, job.subject): job.disk_bytes for job in found.jobs}
    assert disk["train", "vae"] == 2 * 1_000_000 + 3_000_000
    assert disk["prepare", "d"] == 6_900 * 32 * 32


def test_few_training_images_come_with_advice(
    known_rates: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = params(
        plain={"model": {"name": "dcgan"}},
        wgan={"model": {"name": "wgan_gp", "augment": ["color"]}},
        vae={"model": {"name": "vae"}},
    )

    def advice(num_train: int, budget: str = "full") -> list[str]:
        sizes = DatasetSizes(num_train, num_test=100, num_classes=0, decode_seconds=0.0)
        monkeypatch.setattr("latentbench.forecast.forecast.dataset_sizes", lambda *_: sizes)
        cut = parsed.model_copy(update={"budget": budget})
        result = forecast(cut, "s", Path("none"), start_seconds=0.0, log=lambda _: None)
        assert format_forecast("s", result).splitlines()[-len(result.advice) :][0]
        return list(result.advice)

    assert not advice(5_000)
    [on_gans] = advice(4_999)
    assert "plain" in on_gans
    assert "wgan" not in on_gans
    assert "vae" not in on_gans
    assert len(advice(300)) == 3
    assert all(sentence.startswith("d: ") for sentence in advice(300))
    # The small budget cuts datasets to 2,000 images.
    assert not advice(2_000, "small")
    assert len(advice(300, "small")) == 3


def test_a_fitted_prior_is_measured_next_to_the_standard_one(known_rates: None) -> None:
    jobs = {}
    for prior in ("standard", "mixture"):
        model = {"name": "autoencoder", "prior": prior}
        found = forecast(
            params(one={"model": model}), "s", Path(), start_seconds=4.0, log=lambda _: None
        )
        jobs |= {(job.stage, prior): job for job in found.jobs}
    checkpoints = 4
    fitting = jobs["train", "mixture"].seconds - jobs["train", "standard"].seconds
    assert fitting == pytest.approx(checkpoints * 6_400 * MODEL.validation)
    standard, mixture = jobs["evaluate", "standard"], jobs["evaluate", "mixture"]
    assert mixture.disk_bytes == 2 * standard.disk_bytes
    assert standard.seconds < mixture.seconds < 2 * standard.seconds


def test_other_numbers_of_sampling_steps_take_time(known_rates: None) -> None:
    jobs = []
    for steps in ([], [5], [5, 10, 20]):
        model = {"name": "diffusion", "sampling_steps": 10}
        evaluation = {"num_samples": 1_000, "sampling_steps": steps}
        experiment = params(one={"model": model, "evaluation": evaluation})
        found = forecast(experiment, "s", Path(), start_seconds=4.0, log=lambda _: None)
        jobs += [job for job in found.jobs if job.stage == "evaluate"]
    none, fewer, more = jobs
    features = 1_000 * DATASET.feature + DATASET.distances
    added = 1_000 * MODEL.sample * 9 / 19 + features
    assert fewer.seconds - none.seconds == pytest.approx(added)
    added = 1_000 * MODEL.sample * 39 / 19 + features
    assert more.seconds - fewer.seconds == pytest.approx(added)
    sets = 4 * 3  # checkpoints and seeds
    assert fewer.disk_bytes / none.disk_bytes == pytest.approx((sets + 1) / sets)


def test_repeats_are_trained_and_evaluated_as_the_first(known_rates: None) -> None:
    first, repeated = (
        forecast(
            params(vae={"model": {"name": "vae"}, "repeats": number}),
            "s",
            Path(),
            start_seconds=4.0,
            log=lambda _: None,
        )
        for number in (1, 3)
    )
    seconds = {(job.stage, job.subject): job.seconds for job in repeated.jobs}
    added = [("train", "vae/repeats/1"), ("evaluate", "vae/repeats/1")]
    added += [("train", "vae/repeats/2"), ("evaluate", "vae/repeats/2")]
    assert set(seconds) - {(job.stage, job.subject) for job in first.jobs} == set(added)
    assert all(seconds[job] == seconds[job[0], "vae"] for job in added)
    assert repeated.critical_seconds == first.critical_seconds


def test_a_search_trains_every_combination_and_the_trainings_wait(known_rates: None) -> None:
    search = {"learning_rate": [1e-4, 1e-3], "beta1": [0.5, 0.9]}
    dataset = GLYPHS | {"validation_fraction": 0.1}
    without, found = (
        forecast(
            params(dataset, vae={"model": {"name": "vae"}, "search": values}),
            "s",
            Path(),
            start_seconds=4.0,
            log=lambda _: None,
        )
        for values in ({}, search)
    )
    seconds = {(job.stage, job.subject): job.seconds for job in found.jobs}
    trials = [("train", f"vae/search/{number}") for number in (1, 2, 3, 4)]
    added = set(seconds) - {(job.stage, job.subject) for job in without.jobs}
    assert added == {*trials, ("select", "vae")}
    assert {seconds[trial] for trial in trials} == {seconds["train", "vae"]}
    # Four trials, three sets of 5,000 samples: 5 s per 1,000 to sample and extract features.
    assert seconds["select", "vae"] == pytest.approx(4 + 4 * 3 * 25)
    wait = seconds["train", "vae"] + seconds["select", "vae"]
    assert found.critical_seconds == pytest.approx(without.critical_seconds + wait)


def test_a_walkthrough_takes_at_most_a_minute_more_than_its_models(known_rates: None) -> None:
    parsed = params(vae={"model": {"name": "vae"}})
    chapters = {"notebooks": ["walkthrough", "comparison"]}
    study = parsed.studies["s"].model_copy(update=chapters)
    without, found = (
        forecast(each, "s", Path(), start_seconds=4.0, log=lambda _: None)
        for each in (parsed, parsed.model_copy(update={"studies": {"s": study}}))
    )
    assert "walkthrough" not in {job.stage for job in without.jobs}
    [job] = [job for job in found.jobs if job.stage == "walkthrough"]
    assert 4 < job.seconds <= 4 + 60 + 3


def test_rates_are_positive_for_models_with_and_without_encoder() -> None:
    sizes = DatasetSizes(num_train=500, num_test=100, num_classes=3, decode_seconds=0.0)
    for model in ({"name": "vae"}, {"name": "wgan_gp", "condition": "class", "n_critic": 2}):
        parsed = params(one={"model": model | {"width": 4}, "evaluation": {"num_samples": 50}})
        experiment = parsed.experiment("one")
        rates = measure_model_rates(experiment, sizes)
        assert min(rates.step, rates.validation, rates.sample, rates.reconstruction) > 0
        assert rates.state_bytes > rates.weight_bytes > 0
    measured = measure_dataset_rates(parsed.dataset("d"), experiment, sizes)
    assert min(measured.classifier_step, measured.feature, measured.distances) > 0
    assert min(measured.pair, measured.projection) > 0


def test_an_image_takes_as_long_as_the_steps_of_its_ode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentbench.forecast.rates._median_seconds", _run_once)
    sizes = DatasetSizes(num_train=500, num_test=100, num_classes=3, decode_seconds=0.0)
    rates = []
    for steps in (3, 1000):
        model = {"name": "diffusion", "width": 4, "sampling_steps": steps}
        experiment = params(one={"model": model}).experiment("one")
        rates.append(measure_model_rates(experiment, sizes))
    # One step is measured: decoding evaluates the network once in it, and encoding twice.
    found = [(each.sample * BATCH_SIZE, each.reconstruction * BATCH_SIZE) for each in rates]
    assert found[0] == pytest.approx((5, (5 + 6) / 3))
    assert found[1] == pytest.approx((1999, (1999 + 2000) / 3))


def _run_once(function: Callable[[], object]) -> float:
    """Run a function, and return that it took a second."""
    function()
    return 1.0


def test_rates_of_pretrained_networks() -> None:
    """Features of a vision transformer take long on a CPU, where the classifier takes none."""
    sizes = DatasetSizes(num_train=500, num_test=100, num_classes=3, decode_seconds=0.0)
    measured = {}
    for extractors in (["classifier"], ["classifier", "dinov2", "clip"]):
        dataset = GLYPHS | {"reference": {"extractors": extractors, "repeats": 2}}
        parsed = params(dataset, one={"model": {"name": "vae"}, "evaluation": {"num_samples": 50}})
        with quick_measurement():
            measured[len(extractors)] = measure_dataset_rates(
                parsed.dataset("d"), parsed.experiment("one"), sizes
            )
    assert measured[1].feature_dim == 2 * 64
    assert measured[3].feature_dim == 2 * 64 + 1024 + 768
    assert measured[3].feature > 10 * measured[1].feature


def test_the_command_prints_every_job(known_rates: None, tmp_path: Path) -> None:
    parsed = params(vae={"model": {"name": "vae"}})
    write_yaml(tmp_path / "params.yaml", parsed.model_dump(mode="json"))
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
        "select",
        "walkthrough",
        "report",
        "MB",
    ]
    assert [row[0] for row in rows[1:4]] == ["d", "vae", "s"]
    assert [len(row) for row in rows[1:4]] == [4, 5, 3]
    assert rows[4][:3] == ["s:", "6", "jobs;"]


def test_an_unknown_study_is_an_error(tmp_path: Path) -> None:
    raw = {"studies": {"s": {"title": "S"}}, "datasets": {"d": GLYPHS}, "experiments": {}}
    write_yaml(tmp_path / "params.yaml", raw)
    result = CliRunner().invoke(main, ["plan", "other", "--params", str(tmp_path / "params.yaml")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "'other'" in result.output
