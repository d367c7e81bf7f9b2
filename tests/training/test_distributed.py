"""Several processes that train and measure one model together, against one that does so alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import Result

from latentbench.artifacts.files import file_sha256, read_csv
from latentbench.artifacts.paths import WARNINGS
from latentbench.config.base import Compute
from latentbench.config.load import parse_params
from latentbench.errors import ConfigError
from latentbench.models.registry import OBJECTIVES
from latentbench.runtime import launch
from latentbench.training.train import Folders

Make = Callable[..., Path]
Launch = Callable[[list[str]], Result]
# Without a number of threads, torchrun warns that it sets one.
pytestmark = pytest.mark.usefixtures("one_thread")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
# 20 steps, each logged.
TRAINING: dict[str, Any] = {"epochs": 4, "checkpoints": [2, 4], "log_every": 1, "flip": True}
SETTINGS: dict[str, dict[str, Any]] = {
    "vae": {"likelihood": "optimal_gaussian"},
    "dcgan": {
        "augment": ["color", "translation", "cutout"],
        "augment_target": 0.6,
        "augment_ramp_images": 1_000,
        "r1_weight": 1.0,
    },
    "wgan_gp": {"n_critic": 2, "augment": ["color", "translation", "cutout"]},
    "cgan": {"conditional_batch_norm": True, "projection_discriminator": True},
}
# Clocks and words.
IGNORED = {"seconds", "images_per_second", "peak_memory_mb", WARNINGS}


def _folders(config: Path, data: Path, place: str) -> Folders:
    root = config.parents[3]
    results = config.parent.with_name(config.parent.name + place)
    return Folders(
        data, results, root / f"logs{place}" / results.name, root / f"scratch{place}" / results.name
    )


def _arguments(config: Path, folders: Folders) -> list[str]:
    options = {"config": config, "data": folders.data, "results": folders.results}
    options |= {"logs": folders.logs, "scratch": folders.scratch}
    return ["train", *(word for name, path in options.items() for word in (f"--{name}", str(path)))]


def _checkpoints(results: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(results.rglob("epoch-*.safetensors"))}


# What is float32 elsewhere is float64 here. Sums over half a batch then differ from sums over a
# whole one by 1e-16 of their size, which does not change the sign of what a ReLU receives.
TRAIN_IN_FLOAT64 = """
import os
import sys
from pathlib import Path

import torch

torch.set_default_dtype(torch.float64)
torch.float32, torch.Tensor.float = torch.float64, torch.Tensor.double

from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.runtime.launch import join_process_group
from latentbench.training.train import Folders, train_experiment

data, *pairs = map(Path, sys.argv[1:])
settings = read_config(pairs[1] / "config.yaml", ExperimentConfig)
with join_process_group(2, settings.compute) as processes:
    for alone, together in zip(pairs[::2], pairs[1::2], strict=True):
        places = {False: alone, True: together}
        for shared, place in places.items():
            config = read_config(place / "config.yaml", ExperimentConfig)
            folders = Folders(data, place, place / "logs", place / "scratch")
            if shared:
                train_experiment(config, folders, processes=processes)
            elif os.environ["RANK"] == "0":
                train_experiment(config, folders)
"""


@pytest.mark.slow
def test_two_processes_have_the_same_losses_as_one(
    make_config: Make, make_prepared: Make, tmp_path: Path
) -> None:
    script = tmp_path / "train_in_float64.py"
    script.write_text(TRAIN_IN_FLOAT64)
    pairs: list[Path] = []
    for objective in OBJECTIVES:
        model = SETTINGS.get(objective, {})
        for number in (1, 2):
            training = TRAINING | {"processes": number}
            folder = make_config(objective, model=model, training=training).parent
            pairs.append(folder.rename(folder.with_name(f"{objective}-{number}")))
    paths = map(str, (make_prepared(), *pairs))
    command = [sys.executable, *TORCHRUN, "--", str(script), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for alone, together in zip(pairs[::2], pairs[1::2], strict=True):
        for name, number in (("iterations.csv", 20), ("history.csv", 4)):
            ones, others = (read_csv(place / name) for place in (alone, together))
            assert len(ones) == len(others) == number
            for one, other in zip(ones, others, strict=True):
                _assert_alike(one, other, f"{together.name}, {name}, step {one['step']}")


def _assert_alike(one: dict[str, str], other: dict[str, str], where: str) -> None:
    assert one.keys() == other.keys()
    for term in one.keys() - IGNORED:
        if one[term] == "":
            assert other[term] == ""
        else:
            expected = pytest.approx(float(one[term]), rel=1e-9, abs=1e-9)
            assert float(other[term]) == expected, f"{where}: {term}"


# Read by every Python that starts with its folder on PYTHONPATH. The first process, when it has
# written its first state, kills the second one, or sends SIGTERM to the launcher and waits until
# the launcher has sent SIGTERM.
STRIKE = """
import os
import signal
import sys
import time


def strike(event, arguments):
    if event != "os.rename" or not str(arguments[1]).endswith("state.safetensors"):
        return
    how = os.environ.pop("STRIKE", None)
    if how == "SIGKILL":
        import psutil

        for worker in psutil.Process(os.getppid()).children():
            # Of a process that has ended it is None.
            environment = worker.as_dict(["environ"])["environ"] or {}
            if environment.get("RANK") == "1":
                worker.kill()
    elif how == "SIGTERM":
        received = []
        handler = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *caught: received.append(handler(*caught)))
        os.kill(os.getppid(), signal.SIGTERM)
        while not received:
            time.sleep(0.001)


if os.environ.get("RANK") == "0":
    sys.addaudithook(strike)
"""


@pytest.mark.slow
def test_killed_processes_resume_with_the_same_bits(
    make_config: Make,
    make_prepared: Make,
    launched: Launch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The run that nothing interrupts is started by torchrun, which makes no difference either."""
    training = {"epochs": 4, "checkpoints": [1, 4], "processes": 2}
    config, data = make_config("dcgan", training=training), make_prepared()
    whole, interrupted = (_folders(config, data, place) for place in ("-whole", "-interrupted"))
    command = [sys.executable, *TORCHRUN, "-m", "--", "latentbench", *_arguments(config, whole)]
    subprocess.run(command, check=True, capture_output=True)
    assert set(_checkpoints(whole.results)) == {"epoch-0001.safetensors", "epoch-0004.safetensors"}

    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(STRIKE)
    for name in ("SIGKILL", "SIGTERM"):
        with monkeypatch.context() as patch:
            patch.setenv("PYTHONPATH", str(hooks), prepend=os.pathsep)
            patch.setenv("STRIKE", name)
            result = launched(_arguments(config, interrupted))
        assert result.exit_code == 75, result.output
        [line] = result.output.splitlines()
        assert line.startswith("Error: ")
        assert name in line
        assert "Traceback" not in "".join(capfd.readouterr())
        children = psutil.Process().children(recursive=True)
        running = [child.as_dict(["cmdline"])["cmdline"] or [] for child in children]
        assert not any(str(interrupted.results) in words for words in running)
    result = launched(_arguments(config, interrupted))
    assert result.exit_code == 0, result.output
    assert "Resuming after step" in capfd.readouterr().err
    assert _checkpoints(interrupted.results) == _checkpoints(whole.results)


def test_other_number_of_torchrun_processes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the only process of a torchrun."""
    report = tmp_path / "error.json"
    world = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    world |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    world |= {"TORCHELASTIC_RUN_ID": "one", "TORCHELASTIC_ERROR_FILE": str(report)}
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launch, "_terminate_with_parent", lambda: None)
    with pytest.raises(SystemExit) as ended, launch.join_process_group(4, Compute(device="cpu")):
        pass
    assert ended.value.code == 1
    assert "training.processes is 4" in json.loads(report.read_text())["message"]["message"]


def test_error_of_all_processes_is_reported_once(
    make_config: Make, make_prepared: Make, launched: Launch, capfd: pytest.CaptureFixture[str]
) -> None:
    config, data = make_config("vae", training={"processes": 2, "batch_size": 64}), make_prepared()
    result = launched(_arguments(config, _folders(config, data, "")))
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert line.startswith("Error: ")
    assert "training.batch_size (64)" in line
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize(
    ("training", "named"),
    [
        ({"batch_size": 10, "processes": 4}, "batch_size: 10 for 4"),
        ({"batch_size": 4, "processes": 4}, "batch_size: 4 for 4"),
        ({"compile": True, "processes": 2}, "compile"),
    ],
)
def test_unsupported_settings_for_processes_are_errors(
    training: dict[str, Any], named: str
) -> None:
    raw: dict[str, Any] = {
        "studies": {"s": {"title": "S"}},
        "datasets": {"d": {"source": "glyphs"}},
        "experiments": {
            "e": {"study": "s", "dataset": "d", "model": {"name": "vae"}, "training": training}
        },
    }
    with pytest.raises(ConfigError, match=named):
        parse_params(raw, where="params.yaml")
