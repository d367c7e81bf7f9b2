"""Several processes that train and measure one model together, against one that does so alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from latentbench.artifacts.files import file_sha256, read_csv
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import parse_params, read_config
from latentbench.errors import ConfigError
from latentbench.training.train import Folders, train_experiment

Make = Callable[..., Path]
# 50 steps, each told.
TRAINING: dict[str, Any] = {"epochs": 10, "checkpoints": [5, 10], "log_every": 1, "flip": True}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "vae": {"likelihood": "optimal_gaussian"},
    "dcgan": {},
    "wgan_gp": {"n_critic": 2},
}
# Sums over half a batch are rounded otherwise than over a whole one. Where that turns the sign of what a ReLU is given,
# the two runs go apart for good, as two that are rounded otherwise do anyhow; in these 50 steps it turns none.
SEED = 1
# Clocks, and words.
IGNORED = {"seconds", "images_per_second", "peak_memory_mb", "trouble"}


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


def _start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def _ended(process: subprocess.Popen[str], code: int = 0) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == code, said
    return said


def _checkpoints(results: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(results.rglob("epoch-*.safetensors"))}


# Several trainings in one start of the processes.
TRAIN_ALL = """
import sys
from pathlib import Path
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.runtime.launch import joined
from latentbench.training.train import Folders, train_experiment
data, *places = map(Path, sys.argv[1:])
configs = [read_config(place / "config.yaml", ExperimentConfig) for place in places]
with joined(2, configs[0].compute) as processes:
    for config, place in zip(configs, places):
        folders = Folders(data, place, place / "logs", place / "scratch")
        train_experiment(config, folders, processes=processes)
"""


def test_two_processes_have_the_losses_of_one(
    make_config: Make, make_prepared: Make, tmp_path: Path
) -> None:
    data, script = make_prepared(), tmp_path / "train_all.py"
    script.write_text(TRAIN_ALL)
    alone, together = {}, {}
    for objective, model in OBJECTIVES.items():
        config = make_config(objective, model=model, training=TRAINING, seed=SEED)
        alone[objective] = _folders(config, data, "-alone")
        train_experiment(read_config(config, ExperimentConfig), alone[objective])
        training = TRAINING | {"processes": 2}
        together[objective] = make_config(
            objective, model=model, training=training, seed=SEED
        ).parent
    places = [str(place) for place in (data, *together.values())]
    _ended(
        _start(
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            "--",
            str(script),
            *places,
        )
    )
    for objective in OBJECTIVES:
        for name, number in (("iterations.csv", 50), ("history.csv", 10)):
            ones, others = (
                read_csv(place / name) for place in (alone[objective].results, together[objective])
            )
            assert len(ones) == len(others) == number
            for one, other in zip(ones, others, strict=True):
                _assert_alike(one, other, f"{objective}, {name}, step {one['step']}")


def _assert_alike(one: dict[str, str], other: dict[str, str], where: str) -> None:
    assert one.keys() == other.keys()
    for term in one.keys() - IGNORED:
        if one[term] == "":
            assert other[term] == ""
        else:
            assert float(other[term]) == pytest.approx(float(one[term]), rel=1e-5, abs=1e-5), (
                f"{where}: {term}"
            )


def test_a_killed_process_ends_all_and_they_go_on_to_the_same_bits(
    make_config: Make, make_prepared: Make
) -> None:
    training = {"epochs": 20, "checkpoints": [1, 20], "processes": 2}
    config, data = make_config("dcgan", training=training), make_prepared()
    whole, interrupted = (_folders(config, data, place) for place in ("-whole", "-interrupted"))
    _ended(_start("latentbench", *_arguments(config, whole)))

    for signal_number in (signal.SIGKILL, signal.SIGTERM):
        process = _start("latentbench", *_arguments(config, interrupted))
        state = interrupted.scratch / "state.safetensors"
        before = state.stat().st_mtime if state.exists() else 0.0
        while not state.exists() or state.stat().st_mtime == before:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
        if signal_number == signal.SIGKILL:
            workers[1].kill()
            expected = "Process 2 of 2 was ended by SIGKILL"
        else:
            process.terminate()
            expected = "2 processes were asked to end (SIGTERM)"
        said = _ended(process, code=75)
        assert expected in said
        assert "Traceback" not in said
        assert said.count("Error: ") == 1
        assert not any(worker.is_running() for worker in workers)
    said = _ended(_start("latentbench", *_arguments(config, interrupted)))
    assert said.startswith("Going on after step")
    assert _checkpoints(interrupted.results) == _checkpoints(whole.results)


def test_torchrun_may_start_them_and_another_number_is_refused(
    make_config: Make, make_prepared: Make
) -> None:
    data = make_prepared()
    config = make_config("vae", training={"processes": 2})
    folders = _folders(config, data, "")
    torchrun = (
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "--",
        "latentbench",
    )
    _ended(_start(*torchrun, *_arguments(config, folders)))
    assert set(_checkpoints(folders.results)) == {
        "epoch-0001.safetensors",
        "epoch-0003.safetensors",
    }

    settings = yaml.safe_load(config.read_text())
    settings["training"]["processes"] = 4
    config.write_text(yaml.safe_dump(settings))
    assert "torchrun started 2 processes, but training.processes is 4" in _ended(
        _start(*torchrun, *_arguments(config, folders)), code=1
    )


def test_a_fault_that_all_meet_is_told_once(make_config: Make, make_prepared: Make) -> None:
    config, data = make_config("vae", training={"processes": 2, "batch_size": 64}), make_prepared()
    said = _ended(_start("latentbench", *_arguments(config, _folders(config, data, ""))), code=1)
    assert said.splitlines() == [
        f"Error: {data} has 40 training images, fewer than training.batch_size (64); lower it."
    ]


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"batch_size": 10, "processes": 4}, "batches of 10 for 4 processes"),
        ({"batch_size": 4, "processes": 4}, "two images each"),
        ({"compile": True, "processes": 2}, "compile and for several processes"),
    ],
)
def test_what_cannot_be_shared_is_refused(training: dict[str, Any], said: str) -> None:
    raw: dict[str, Any] = {
        "studies": {"s": {"title": "S"}},
        "datasets": {"d": {"source": "glyphs"}},
        "experiments": {
            "e": {"study": "s", "dataset": "d", "model": {"name": "vae"}, "training": training}
        },
    }
    with pytest.raises(ConfigError, match=said):
        parse_params(raw, where="params.yaml")
