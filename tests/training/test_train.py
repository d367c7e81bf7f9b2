"""Training as a user runs it: whole, killed, resumed, diverged, or pointed at something wrong."""

from __future__ import annotations

import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from latentbench.artifacts.files import file_sha256, read_json
from latentbench.artifacts.tensors import read_tensors
from latentbench.cli import main
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.data.images import to_model, to_uint8
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.checkpoints import load_checkpoint
from latentbench.models.objective import HasEncoder
from latentbench.training.batches import Batches
from tests.conftest import MODELS

Make = Callable[..., Path]
CPU = torch.device("cpu")


def _arguments(config: Path, data: Path, place: str = "") -> list[str]:
    root = config.parents[3]
    results = config.parent.with_name(config.parent.name + place)
    arguments = ["train", "--config", config, "--data", data, "--results", results]
    arguments += ["--logs", root / f"logs{place}", "--scratch", root / f"scratch{place}"]
    return [str(argument) for argument in arguments]


def _train(config: Path, data: Path, place: str = "", *flags: str) -> Result:
    return CliRunner().invoke(main, [*_arguments(config, data, place), *flags])


def _change(config: Path, section: str, **values: Any) -> None:
    content = yaml.safe_load(config.read_text())
    content[section] |= values
    config.write_text(yaml.safe_dump(content))


def _digests(results: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(results.rglob("epoch-*"))}


@pytest.mark.parametrize("objective", MODELS)
def test_a_run_leaves_what_is_promised(
    objective: str, make_config: Make, make_prepared: Make
) -> None:
    config, data = make_config(objective), make_prepared()
    result = _train(config, data)
    assert result.exit_code == 0, result.output
    results, root = config.parent, config.parents[3]
    assert set(_digests(results)) == {
        f"epoch-000{n}.{kind}" for n in (1, 3) for kind in ("safetensors", "png")
    }
    assert not (root / "scratch").exists()

    with (results / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"], row["images"]) for row in rows] == [
        ("1", "5", "40"),
        ("2", "10", "80"),
        ("3", "15", "120"),
    ]
    assert float(rows[0]["seconds"]) < float(rows[2]["seconds"])

    weights, metadata = read_tensors(results / "checkpoints" / "epoch-0003.safetensors")
    assert metadata["settings"] == read_config(config, ExperimentConfig).training_settings()
    assert (metadata["epoch"], metadata["step"]) == (3, 15)
    assert metadata["data_digest"] == PreparedDataset.open(data).manifest.digest
    parameters = read_json(results / "provenance/train.json")["parameters"]
    assert {name.split(".")[0] for name in weights} == set(parameters)

    events = EventAccumulator(str(root / "logs"))
    events.Reload()
    first_term = list(rows[0])[6]
    points = events.Scalars(f"loss/{first_term}")
    assert [point.step for point in points] == [2, 4, 6, 8, 10, 12, 14]
    with (results / "iterations.csv").open() as file:
        iterations = list(csv.DictReader(file))
    assert [(int(row["step"]), int(row["images"])) for row in iterations] == [
        (n, 8 * n) for n in range(2, 15, 2)
    ]
    assert [float(row[first_term]) for row in iterations] == pytest.approx(
        [point.value for point in points]
    )
    terms = list(iterations[0])[2:]
    assert list(rows[0])[6 : 6 + len(terms)] == terms
    assert [event.step for event in events.Images("samples")] == [5, 10, 15]


@pytest.mark.parametrize("objective", MODELS)
def test_twice_is_the_same_and_another_seed_is_not(
    objective: str, make_config: Make, make_prepared: Make
) -> None:
    config, data = make_config(objective), make_prepared()
    for place in ("-1", "-2"):
        assert _train(config, data, place).exit_code == 0
    first, second = (config.parent.with_name(f"{objective}-{n}") for n in (1, 2))
    assert _digests(first) == _digests(second)
    content = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(content | {"seed": 1}))
    assert _train(config, data, "-3").exit_code == 0
    other = config.parent.with_name(f"{objective}-3")
    checkpoint = "epoch-0001.safetensors"
    assert _digests(first)[checkpoint] != _digests(other)[checkpoint]


def test_what_other_settings_left_goes_away(make_config: Make, make_prepared: Make) -> None:
    data = make_prepared()
    for checkpoints in ([1, 2, 3], [2, 3]):
        config = make_config("vae", training={"checkpoints": checkpoints})
        assert _train(config, data).exit_code == 0
        kept = {
            f"epoch-000{epoch}.{kind}" for epoch in checkpoints for kind in ("png", "safetensors")
        }
        assert set(_digests(config.parent)) == kept
    assert (config.parent / "samples" / "evolution.gif").exists()


# Long enough to be killed at any moment, short enough to be waited for.
SLOW: dict[str, Any] = {"training": {"epochs": 30, "checkpoints": [1, 9, 20]}}
RUN = """
from latentbench.cli import main
from latentbench.training import train
train.SECONDS_BETWEEN_STATES = 0.02
main()
"""


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("objective", ["wgan_gp", "vae"])
def test_killed_anywhere_it_ends_with_the_same_bits(
    objective: str, make_config: Make, make_prepared: Make
) -> None:
    config, data = make_config(objective, **SLOW), make_prepared()
    assert _train(config, data, "-whole").exit_code == 0
    whole = config.parent.with_name(f"{objective}-whole")

    arguments = _arguments(config, data)
    scratch = config.parents[3] / "scratch"
    moments = random.Random(0)
    kills = 0
    while True:
        process = _start(arguments)
        # Wait for the run to be under way, then strike.
        before = _state_time(scratch)
        while process.poll() is None and _state_time(scratch) == before:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.25))
        if process.poll() is not None or kills == 3:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
        kills += 1
        # An engine removes what a failed job was to make.
        for made in [
            *config.parent.rglob("*.png"),
            *config.parent.rglob("epoch-*"),
            *config.parent.glob("*.csv"),
        ]:
            made.unlink(missing_ok=True)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert kills >= 2
    assert b"Going on after step" in output
    assert _digests(config.parent) == _digests(whole)
    assert _losses(config.parent) == _losses(whole)
    assert _told(config.parent) == _told(whole)


def test_asked_to_end_it_keeps_the_step_it_was_in(make_config: Make, make_prepared: Make) -> None:
    config, data = make_config("vae", **SLOW), make_prepared()
    assert _train(config, data, "-whole").exit_code == 0

    arguments, scratch = _arguments(config, data), config.parents[3] / "scratch"
    # Of itself this one saves at the end of an epoch only.
    process = subprocess.Popen(
        [sys.executable, "-m", "latentbench", *arguments], stderr=subprocess.PIPE
    )
    while process.poll() is None and _state_time(scratch) is None:
        time.sleep(0.005)
    process.terminate()
    _, output = process.communicate(timeout=60)
    assert process.returncode == 75, output
    [stopped] = re.findall(
        rb"vae was asked to end after step (\d+) of 150 and kept its state", output
    )

    time.sleep(1)  # TensorBoard reads files in the order of the seconds in their names.
    again = _train(config, data)
    assert again.exit_code == 0
    assert f"Going on after step {int(stopped)} of 150." in again.output
    assert _digests(config.parent) == _digests(config.parent.with_name("vae-whole"))
    assert _told(config.parent) == _told(config.parent.with_name("vae-whole"))
    root = config.parents[3]
    assert _logged(root / "logs") == _logged(root / "logs-whole") == list(range(2, 151, 2))


def _logged(logs: Path) -> list[int]:
    """The steps of the points that TensorBoard shows."""
    events = EventAccumulator(str(logs))
    events.Reload()
    return [point.step for point in events.Scalars("loss/loss")]


def _told(results: Path) -> dict[str, str]:
    """The files that gather something over the whole run, but for the clock of history.csv."""
    names = ("iterations.csv", "samples/evolution.webp", "samples/reconstructions.png")
    return {name: file_sha256(results / name) for name in names if (results / name).exists()}


def _losses(results: Path) -> list[list[str]]:
    """history.csv without its clock."""
    return [line.split(",")[6:] for line in (results / "history.csv").read_text().splitlines()]


def _state_time(scratch: Path) -> float | None:
    try:
        return (scratch / "state.safetensors").stat().st_mtime
    except FileNotFoundError:
        return None


def _interrupt(
    config: Path, data: Path, monkeypatch: pytest.MonkeyPatch, *, at: int = 7, then: int = 0
) -> None:
    """Leave the state after step `at`, in the second epoch, of a run that stopped `then` steps later."""
    from latentbench.training import train

    with monkeypatch.context() as patch:
        patch.setattr(train, "SECONDS_BETWEEN_STATES", 0.0)
        save = train.save_state

        def save_and_stop(*arguments: Any) -> None:
            step = arguments[3].step
            if step <= at:
                save(*arguments)
            if step == at + then:
                raise KeyboardInterrupt

        patch.setattr(train, "save_state", save_and_stop)
        assert _train(config, data).exit_code == 1


@pytest.mark.parametrize("objective", ["wgan_gp", "vae"])
@pytest.mark.parametrize("stop", [6, 7, 9])
def test_all_is_told_once_wherever_a_run_stops(
    stop: int,
    objective: str,
    make_config: Make,
    make_prepared: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a point every 2 steps, the states at steps 7 and 9 lie between two of them, that at step 6 on one; each
    time the next point was already told when the run stopped, and after step 10 the second epoch's pictures."""
    config, data = make_config(objective), make_prepared()
    assert _train(config, data, "-whole").exit_code == 0
    _interrupt(config, data, monkeypatch, at=stop, then=2)
    assert _train(config, data).exit_code == 0
    results, whole = config.parent, config.parent.with_name(f"{objective}-whole")
    assert len(_told(results)) == (3 if objective == "vae" else 2)
    assert _told(results) == _told(whole)


@pytest.mark.parametrize("objective", MODELS)
def test_reconstructions_of_every_epoch_stand_under_their_inputs(
    objective: str, make_config: Make, make_prepared: Make
) -> None:
    config, data = make_config(objective), make_prepared()
    assert _train(config, data).exit_code == 0
    path = config.parent / "samples" / "reconstructions.png"
    settings, dataset = read_config(config, ExperimentConfig), PreparedDataset.open(data)
    assert path.exists() == settings.model.has_encoder
    trained = load_checkpoint(
        settings, config.parent, 3, device=CPU, data_digest=dataset.manifest.digest
    )
    assert settings.model.has_encoder == isinstance(trained.objective, HasEncoder)
    if not settings.model.has_encoder:
        return
    picture = np.asarray(Image.open(path))
    rows = picture.reshape(4, 32, 8, 32, 1).swapaxes(1, 2)
    tests = np.array(dataset.images("test"))
    assert all((tests == image).all(axis=(1, 2, 3)).any() for image in rows[0])
    inputs, none = to_model(torch.from_numpy(rows[0].copy())), torch.zeros(8, 0)
    with torch.no_grad():
        models = to_uint8(
            trained.objective.sample(trained.objective.encode(inputs, none), none)
        ).numpy()
    assert (models == rows[3]).all()
    assert (rows[1] != rows[3]).any()


def test_a_state_of_other_settings_is_refused_until_restart(
    make_config: Make, make_prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, data = make_config("dcgan"), make_prepared()
    _interrupt(config, data, monkeypatch)
    _change(config, "model", learning_rate=0.005)
    result = _train(config, data)
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert "settings.model.learning_rate was 0.0002, is now 0.005" in line
    assert "--restart" in line
    assert _train(config, data, "", "--restart").exit_code == 0
    assert _train(config, data, "-fresh").exit_code == 0
    assert _digests(config.parent) == _digests(config.parent.with_name("dcgan-fresh"))


def test_a_truncated_state_is_refused(
    make_config: Make, make_prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, data = make_config("dcgan"), make_prepared()
    _interrupt(config, data, monkeypatch)
    state = config.parents[3] / "scratch" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-7])
    result = _train(config, data)
    assert result.exit_code == 1
    assert "state.safetensors is damaged" in result.output
    assert len(result.output.splitlines()) == 1


def test_a_loss_that_becomes_nan_ends_the_run_with_a_sentence(
    make_config: Make, make_prepared: Make
) -> None:
    config, data = make_config("vae"), make_prepared()
    _change(config, "model", learning_rate=1e30)
    result = _train(config, data)
    assert result.exit_code == 1
    line = result.output.splitlines()[-1]
    assert line.startswith("Error: vae: loss became")
    assert "lower model.learning_rate (now 1e+30)" in line
    assert not (config.parent / "provenance/train.json").exists()


def test_fewer_images_than_a_batch_is_said(make_config: Make, make_prepared: Make) -> None:
    config, data = make_config("vae", training={"batch_size": 41}), make_prepared()
    result = _train(config, data)
    assert result.exit_code == 1
    assert "has 40 training images, fewer than training.batch_size (41)" in result.output


def test_data_that_is_missing_is_said(make_config: Make, tmp_path: Path) -> None:
    result = _train(make_config("vae"), tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "nowhere/dataset.json is missing" in result.output


def test_data_of_another_shape_is_said(make_config: Make, make_prepared: Make) -> None:
    result = _train(make_config("vae"), make_prepared(channels=3))
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert "32×32 with 3 channels" in line


def test_an_epoch_shows_each_image_once(make_prepared: Make) -> None:
    dataset = PreparedDataset.open(make_prepared())
    batches = Batches(dataset, condition="class", batch_size=8, flip=False, seed=0, device=CPU)
    generator = torch.Generator()
    for epoch in range(2):
        seen = torch.cat([batches.batch(epoch * 5 + step, generator)[0] for step in range(5)])
        expected = to_model(torch.from_numpy(np.array(dataset.images("train"))))
        key = torch.arange(1024.0).reshape(1, 1, 32, 32)
        assert torch.equal(
            (seen * key).sum(dim=(1, 2, 3)).sort()[0], (expected * key).sum(dim=(1, 2, 3)).sort()[0]
        )
    (first, labels), (second, _) = (batches.batch(step, generator) for step in (0, 5))
    assert not torch.equal(first, second)
    # The bright quarter of a square tells its class.
    quarters = first.unflatten(3, (2, 16)).unflatten(2, (2, 16)).mean(dim=(1, 3, 5)).flatten(1)
    assert torch.equal(quarters.argmax(dim=1), labels.argmax(dim=1))
    assert torch.equal(labels.sum(dim=1), torch.ones(8))


def test_mirroring_turns_about_half_of_the_images(make_prepared: Make) -> None:
    dataset = PreparedDataset.open(make_prepared(num_train=400))
    generator = torch.Generator().manual_seed(0)
    plain, mirrored = (
        Batches(dataset, condition=None, batch_size=400, flip=flip, seed=0, device=CPU).batch(
            0, generator
        )[0]
        for flip in (False, True)
    )
    same = (plain == mirrored).all(dim=(1, 2, 3))
    turned = (plain.flip(3) == mirrored).all(dim=(1, 2, 3))
    assert (same | turned).all()
    assert 150 < turned.sum() < 250


def test_levels_survive_the_way_into_a_model_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    images = to_model(levels)
    assert (images.min(), images.max()) == (-1, 1)
    assert torch.equal(to_uint8(images), levels)
