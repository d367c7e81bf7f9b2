"""The train command: complete, killed, resumed and diverged runs, and wrong inputs."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
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

from latentbench.artifacts.files import file_sha256, read_json, read_manifest
from latentbench.artifacts.paths import DIVERGED, PROVENANCE
from latentbench.artifacts.tensors import read_tensors
from latentbench.artifacts.verification import is_up_to_date
from latentbench.cli import main
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.config.models import MODELS
from latentbench.data.images import to_model, to_uint8
from latentbench.data.prepared import PreparedDataset
from latentbench.inference.checkpoints import load_checkpoint
from latentbench.models.objective import HasEncoder
from latentbench.training.batches import Batches

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
def test_outputs_of_a_run_are_complete_and_reproducible(
    objective: str, make_config: Make, make_prepared: Make
) -> None:
    """A second run has the same bits, and a run with another seed has other weights."""
    config, data = make_config(objective), make_prepared()
    result = _train(config, data)
    assert result.exit_code == 0, result.output
    _assert_complete(config, data)
    _assert_reconstructions(config, data)

    assert _train(config, data, "-2").exit_code == 0
    assert _digests(config.parent.with_name(f"{objective}-2")) == _digests(config.parent)
    content = yaml.safe_load(config.read_text())
    content["training"] |= {"epochs": 1, "checkpoints": [1]}
    config.write_text(yaml.safe_dump(content | {"seed": 1}))
    assert _train(config, data, "-3").exit_code == 0
    checkpoint = "checkpoints/epoch-0001.safetensors"
    weights, _ = read_tensors(config.parent / checkpoint)
    others, _ = read_tensors(config.parent.with_name(f"{objective}-3") / checkpoint)
    assert weights.keys() == others.keys()
    assert any(not torch.equal(weights[name], others[name]) for name in weights)


def _assert_complete(config: Path, data: Path) -> None:
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
    parameters = set(read_json(results / "provenance/train.json")["parameters"])
    networks = {name.split(".")[0] for name in weights}
    has_prior = read_config(config, ExperimentConfig).model.prior_kind != "standard"
    assert networks == (parameters | {"prior"} if has_prior else parameters)

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


@pytest.mark.parametrize(("prior", "most"), [("standard", 1), ("gaussian", 1), ("mixture", 3)])
def test_the_prior_is_fitted_to_the_codes_of_training_images(
    prior: str, most: int, make_config: Make, make_prepared: Make
) -> None:
    """One Gaussian has exactly the mean of the codes, which a mixture has too."""
    config, data = make_config("autoencoder"), make_prepared(num_train=120)
    _change(config, "model", prior=prior, prior_components=3)
    _change(config, "training", epochs=1, checkpoints=[1])
    assert _train(config, data).exit_code == 0
    trained = load_checkpoint(read_config(config, ExperimentConfig), config.parent, 1, device=CPU)
    assert 1 <= trained.prior.num_components <= most
    assert list(trained.priors) == list(dict.fromkeys((prior, "standard")))
    if prior == "standard":
        assert float(trained.prior.mean.abs().max()) == 0
        return
    images = torch.from_numpy(np.array(PreparedDataset.open(data).images("train")))
    with torch.no_grad():
        codes = trained.objective.encode(to_model(images), torch.zeros(len(images), 0))
    spread = codes.std(dim=0)
    torch.testing.assert_close(
        trained.prior.mean / spread, codes.mean(dim=0) / spread, atol=1e-3, rtol=1e-3
    )


def _assert_reconstructions(config: Path, data: Path) -> None:
    """The reconstructions of each epoch are below their inputs, for models that learn codes."""
    path = config.parent / "samples" / "reconstructions.png"
    settings, dataset = read_config(config, ExperimentConfig), PreparedDataset.open(data)
    assert path.exists() == settings.model.learns_codes
    trained = load_checkpoint(
        settings, config.parent, 3, device=CPU, data_digest=dataset.manifest.digest
    )
    assert settings.model.has_encoder == isinstance(trained.objective, HasEncoder)
    if not settings.model.learns_codes:
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
    # Equal to rounding error, of which a gray level is the smallest.
    assert np.abs(models.astype(int) - rows[3]).max() <= 1
    assert (rows[1] != rows[3]).any()


def test_stale_checkpoints_are_deleted(make_config: Make, make_prepared: Make) -> None:
    data = make_prepared()
    for checkpoints in ([1, 2, 3], [2, 3]):
        config = make_config("vae", training={"checkpoints": checkpoints})
        assert _train(config, data).exit_code == 0
        kept = {
            f"epoch-000{epoch}.{kind}" for epoch in checkpoints for kind in ("png", "safetensors")
        }
        assert set(_digests(config.parent)) == kept
    assert (config.parent / "samples" / "evolution.gif").exists()


# Trains in forks of a process that has imported torch, saving the state after every step. Each fork
# is killed right before its nth operation that writes, renames or removes a file. The results are
# then deleted, as a workflow engine deletes the outputs of a failed job.
KILLED = """
import json
import os
import signal
import sys
from pathlib import Path

from latentbench.cli import main
from latentbench.training import loop

loop.SECONDS_BETWEEN_STATES = 0.0


def changes_files(event, details):
    if event == "open":
        return bool(details[2] & (os.O_WRONLY | os.O_RDWR)) or ".partial" in str(details[0])
    return event in ("os.rename", "os.remove")


def run_until(left, arguments):
    def strike(event, details):
        nonlocal left
        if changes_files(event, details):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(strike)
    main(arguments)


tries, results, *arguments = sys.argv[1:]
codes = []
for left in json.loads(tries):
    child = os.fork()
    if child == 0:
        run_until(left, arguments)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    if codes[-1]:
        for pattern in ("*.png", "epoch-*", "*.csv"):
            for output in Path(results).rglob(pattern):
                output.unlink()
print(json.dumps(codes))
"""


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["wgan_gp", "vae"])
def test_killed_run_resumes_with_the_same_bits(
    objective: str, make_config: Make, make_prepared: Make
) -> None:
    config = make_config(objective, training={"epochs": 4, "checkpoints": [1, 3]})
    data = make_prepared()
    assert _train(config, data, "-whole").exit_code == 0
    whole = config.parent.with_name(f"{objective}-whole")

    # An uninterrupted run has more than 300 such operations.
    kills = random.Random(0).sample(range(1, 40), 6)
    command = [sys.executable, "-c", KILLED, json.dumps([*kills, -1]), str(config.parent)]
    command += _arguments(config, data)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    codes = json.loads(done.stdout.splitlines()[-1])
    assert codes == [-signal.SIGKILL] * len(kills) + [0], done.stderr
    assert "Resuming after step" in done.stderr
    assert _digests(config.parent) == _digests(whole)
    assert _losses(config.parent) == _losses(whole)
    assert _accumulated_files(config.parent) == _accumulated_files(whole)


def test_sigterm_saves_the_current_step(
    make_config: Make, make_prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second epoch, whose state would otherwise be saved after step 10."""
    config, data = make_config("vae"), make_prepared()
    assert _train(config, data, "-whole").exit_code == 0

    batch = Batches.batch

    def terminate(self: Batches, step: int, generator: torch.Generator) -> Any:
        if step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch(self, step, generator)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "batch", terminate)
        result = _train(config, data)
    assert result.exit_code == 75
    assert "step 8 of 15" in result.output

    root = config.parents[3]
    # TensorBoard reads files in the order of the seconds in their names, which may be equal here.
    [events] = (root / "logs").glob("events.out.tfevents.*")
    events.rename(re.sub(r"tfevents\.\d+", f"tfevents.{0:010d}", str(events)))
    again = _train(config, data)
    assert again.exit_code == 0
    assert "step 8 of 15" in again.output
    assert _digests(config.parent) == _digests(config.parent.with_name("vae-whole"))
    assert _accumulated_files(config.parent) == _accumulated_files(
        config.parent.with_name("vae-whole")
    )
    assert _logged(root / "logs") == _logged(root / "logs-whole") == list(range(2, 16, 2))


def _logged(logs: Path) -> list[int]:
    """Return the steps of the points in TensorBoard."""
    events = EventAccumulator(str(logs))
    events.Reload()
    return [point.step for point in events.Scalars("loss/loss")]


def _accumulated_files(results: Path) -> dict[str, str]:
    """Return the digests of the files over all epochs, without history.csv and its clock."""
    names = ("iterations.csv", "samples/evolution.webp", "samples/reconstructions.png")
    return {name: file_sha256(results / name) for name in names if (results / name).exists()}


def _losses(results: Path) -> list[list[str]]:
    """Return the rows of history.csv without the clock."""
    return [line.split(",")[6:] for line in (results / "history.csv").read_text().splitlines()]


def _interrupt(
    config: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    place: str = "",
    at: int = 7,
    then: int = 0,
) -> None:
    """Stop a run `then` steps after step `at`, with the state of step `at`."""
    from latentbench.training import loop

    with monkeypatch.context() as patch:
        patch.setattr(loop, "SECONDS_BETWEEN_STATES", 0.0)
        save = loop.save_state

        def save_and_stop(*arguments: Any) -> None:
            step = arguments[3].step
            if step <= at:
                save(*arguments)
            if step == at + then:
                raise KeyboardInterrupt

        patch.setattr(loop, "save_state", save_and_stop)
        assert _train(config, data, place).exit_code == 1


@pytest.mark.parametrize("objective", ["wgan_gp", "vae"])
def test_resumed_outputs_have_no_gaps_or_repeats(
    objective: str, make_config: Make, make_prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Points are logged every 2 steps; states 7 and 9 are between points, state 6 is at one.

    The run logs at least one more point before it stops, and the images of step 10. The learning
    rates decay.
    """
    config, data = make_config(objective), make_prepared()
    _change(config, "model", learning_rate_decay="cosine")
    assert _train(config, data, "-whole").exit_code == 0
    whole = config.parent.with_name(f"{objective}-whole")
    for stop in (6, 7, 9):
        _interrupt(config, data, monkeypatch, place=f"-{stop}", at=stop, then=2)
        assert _train(config, data, f"-{stop}").exit_code == 0
        results = config.parent.with_name(f"{objective}-{stop}")
        assert _digests(results) == _digests(whole)
        assert len(_accumulated_files(results)) == (3 if objective == "vae" else 2)
        assert _accumulated_files(results) == _accumulated_files(whole)


def test_history_has_the_learning_rates_of_the_last_steps(
    make_config: Make, make_prepared: Make
) -> None:
    """3 epochs of 5 steps: the rates are those of steps 5, 10 and 15."""
    config, data = make_config("dcgan"), make_prepared()
    _change(config, "model", learning_rate_decay="linear", discriminator_learning_rate=4e-4)
    assert _train(config, data).exit_code == 0
    with (config.parent / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    for network, initial in (("generator", 2e-4), ("discriminator", 4e-4)):
        rates = [float(row[f"learning_rate/{network}"]) for row in rows]
        assert rates == pytest.approx([initial * left / 15 for left in (11, 6, 1)])


def test_state_of_other_settings_needs_restart(
    make_config: Make, make_prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, data = make_config("dcgan"), make_prepared()
    _interrupt(config, data, monkeypatch)
    _change(config, "model", learning_rate=0.005)
    result = _train(config, data)
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert "settings.model.learning_rate was 0.0002" in line
    assert "--restart" in line
    assert _train(config, data, "", "--restart").exit_code == 0
    assert _train(config, data, "-fresh").exit_code == 0
    assert _digests(config.parent) == _digests(config.parent.with_name("dcgan-fresh"))


def test_truncated_state_is_an_error(
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


def test_nan_loss_is_a_divergence_error(make_config: Make, make_prepared: Make) -> None:
    config, data = make_config("vae"), make_prepared()
    _change(config, "model", learning_rate=1e30)
    result = _train(config, data)
    assert result.exit_code == 1
    line = result.output.splitlines()[-1]
    assert line.startswith("Error: vae: loss became")
    assert "model.learning_rate (now 1e+30)" in line
    assert not (config.parent / "provenance/train.json").exists()


def test_a_trial_that_diverges_is_a_result(make_config: Make, make_prepared: Make) -> None:
    config, data = make_config("vae"), make_prepared()
    results = config.parent
    content = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(content | {"name": "vae/search/1"}))
    rate = content["model"].get("learning_rate", 1e-3)
    for _ in range(2):  # each time over the files of the other outcome
        assert _train(config, data).exit_code == 0
        assert _digests(results)
        assert not (results / DIVERGED).exists()
        _change(config, "model", learning_rate=1e30)
        assert _train(config, data).exit_code == 0
        assert not _digests(results)
        assert "loss became" in read_manifest(results / DIVERGED)["reason"]
        assert is_up_to_date(results / PROVENANCE, "train", config)
        _change(config, "model", learning_rate=rate)
        assert not is_up_to_date(results / PROVENANCE, "train", config)


def test_dataset_smaller_than_a_batch_is_an_error(make_config: Make, make_prepared: Make) -> None:
    config, data = make_config("vae", training={"batch_size": 41}), make_prepared()
    result = _train(config, data)
    assert result.exit_code == 1
    assert "training.batch_size (41)" in result.output


def test_missing_dataset_is_an_error(make_config: Make, tmp_path: Path) -> None:
    result = _train(make_config("vae"), tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "nowhere/dataset.json is missing" in result.output


def test_dataset_of_other_shape_is_an_error(make_config: Make, make_prepared: Make) -> None:
    result = _train(make_config("vae"), make_prepared(channels=3))
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert "3 channels" in line
