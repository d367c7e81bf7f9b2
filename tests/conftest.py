"""Tiny prepared datasets and experiments, on disk as the stages leave them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from click.testing import CliRunner, Result

from latentbench.artifacts.files import file_sha256, write_array, write_manifest, write_yaml
from latentbench.artifacts.paths import DATASET_MANIFEST, SPLITS, images_name, labels_name
from latentbench.cli import main
from latentbench.config.load import parse_params
from latentbench.rng import numpy_generator

# Many tests start Python, which without bytecode compiles all of torch each time (2 to 4 s).
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# pytest-xdist runs a test per core. Threads would only wait for each other, which is work too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in each run, whatever the load: a property test fails always or never. `make
# soak` sets a number of random ones instead.
hypothesis.settings.register_profile(
    "tests",
    derandomize="SOAK_EXAMPLES" not in os.environ,
    max_examples=int(os.environ.get("SOAK_EXAMPLES", "100")),
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("tests")

# Settings of the smallest models, by name. The others have a latent of a few dimensions.
SMALLEST: dict[str, dict[str, Any]] = {"diffusion": {"sampling_steps": 2}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the long tests first, so that none of them runs alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def make_prepared(tmp_path: Path) -> Callable[..., Path]:
    """Write a prepared dataset of bright squares whose place is their class."""

    def make(
        *, image_size: int = 32, channels: int = 1, num_train: int = 40, num_test: int = 20
    ) -> Path:
        folder = tmp_path / "data" / "prepared" / f"squares-{image_size}-{channels}"
        splits: dict[str, Any] = {}
        for split, number in zip(SPLITS, (num_train, num_test), strict=True):
            rng = numpy_generator(0, split)
            labels = np.arange(number, dtype=np.int64) % 4
            images = rng.integers(0, 40, (number, image_size, image_size, channels), dtype=np.uint8)
            half = image_size // 2
            for image, label in zip(images, labels, strict=True):
                top, left = half * (label // 2), half * (label % 2)
                image[top : top + half, left : left + half] += 180
            write_array(folder / images_name(split), images)
            write_array(folder / labels_name(split), labels)
            splits[split] = {
                "num_images": number,
                "images_sha256": file_sha256(folder / images_name(split)),
                "labels_sha256": file_sha256(folder / labels_name(split)),
            }
        write_manifest(
            folder / DATASET_MANIFEST,
            {
                "format": 1,
                "name": "squares",
                "source": "folder",
                "image_size": image_size,
                "channels": channels,
                "class_names": ["a", "b", "c", "d"],
                "attribute_names": [],
                "skipped": [],
                "settings": {},
                "digest": splits["train"]["images_sha256"],
                **splits,
            },
        )
        return folder

    return make


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Path]:
    """Write the resolved config.yaml of an experiment; keywords are laid over its sections."""

    def make(
        objective: str = "dcgan",
        *,
        dataset: str = "squares",
        image_size: int = 32,
        channels: int = 1,
        seed: int = 0,
        **sections: dict[str, Any],
    ) -> Path:
        experiment: dict[str, Any] = {
            "seed": seed,
            "study": "tiny",
            "dataset": dataset,
            "model": {"name": objective, "width": 4} | SMALLEST.get(objective, {"latent_dim": 6}),
            "training": {"epochs": 3, "checkpoints": [1, 3], "batch_size": 8, "log_every": 2},
            "evaluation": {
                "num_samples": 24,
                "num_seeds": 2,
                "kid_subsets": 3,
                "kid_subset_size": 10,
                "importance_samples": 5,
                "num_likelihood_images": 8,
            },
            "latent": {"num_samples": 6, "num_reconstructions": 3, "num_pairs": 2, "num_points": 4}
            | {"inversion_starts": 8, "inversion_steps": 3},
            "compute": {"device": "cpu"},
        }
        for name, section in sections.items():
            experiment[name] = experiment.get(name, {}) | section
        pictures = {"source": "folder", "path": "x", "attributes": "x", "validation_fraction": 0.1}
        raw = {
            "studies": {"tiny": {"title": "Tiny"}},
            "datasets": {dataset: pictures | {"image_size": image_size, "channels": channels}},
            "experiments": {objective: experiment},
        }
        path = tmp_path / "results" / "tiny" / objective / "config.yaml"
        config = parse_params(raw, where="params.yaml").experiment(objective)
        write_yaml(path, config.model_dump(mode="json"))
        return path

    return make


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the processes that the test starts one thread each."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def launched(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Run a command that starts processes of its own; this process launches them."""

    def invoke(arguments: list[str]) -> Result:
        monkeypatch.setattr(sys, "argv", ["latentbench", *arguments])
        return CliRunner().invoke(main, arguments)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield invoke
    for number, handler in handlers.items():
        signal.signal(number, handler)
