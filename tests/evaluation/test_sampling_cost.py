"""Distances and cost by the number of sampling steps: rows, counts, and cached features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latentbench.artifacts.files import read_csv, read_json, read_manifest, write_yaml
from latentbench.artifacts.paths import record_name
from latentbench.config.load import read_yaml
from tests.evaluation.conftest import EPOCHS, evaluate, scratch_of

Make = Callable[..., Path]


def measured(results: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of metrics.json, and the costs in the record."""
    rows = read_json(results / "metrics.json")["sampling"]
    record = read_manifest(results / record_name("evaluate"))["sampling"]
    assert record["device"] == "cpu"
    return rows, record["costs"]


def features_of(results: Path) -> set[str]:
    return {path.name for path in (scratch_of(results) / "features").glob("*.npy")}


def change_config(results: Path, section: str, **settings: Any) -> None:
    config = read_yaml(results / "config.yaml")
    config[section] |= settings
    write_yaml(results / "config.yaml", config)


def test_distances_and_costs_by_sampling_steps(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference = build_reference(prepared)
    evaluation = {"num_seeds": 1, "sampling_steps": [3, 1]}
    results = make_experiment(prepared, "diffusion", evaluation=evaluation)
    assert evaluate(results, reference, prepared).exit_code == 0
    rows, costs = measured(results)
    assert [row["steps"] for row in rows] == [cost["steps"] for cost in costs] == [1, 2, 3]
    # Each of Heun's steps but the last has two evaluations.
    assert [row["evaluations"] for row in rows] == [1, 3, 5]
    assert all(cost["seconds_per_image"] > 0 for cost in costs)
    # The model's own number of steps is that of metrics.csv.
    last = read_csv(results / "metrics.csv")[-1]
    for name in ("fd_classifier", "kd_classifier", "precision_classifier", "coverage_classifier"):
        assert rows[1][name] == pytest.approx(float(last[name]))
    assert len(features_of(results)) == len(EPOCHS) + 2


def test_another_number_of_steps_has_its_own_features(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    """Settings of sampling are no part of a checkpoint, but of the key of cached features."""
    reference = build_reference(prepared)
    evaluation = {"num_seeds": 1, "sampling_steps": [3]}
    results = make_experiment(prepared, "diffusion", evaluation=evaluation)
    found = []
    for steps in (2, 3):
        change_config(results, "model", sampling_steps=steps)
        assert evaluate(results, reference, prepared).exit_code == 0
        found.append((measured(results)[0], features_of(results)))
    (both, before), (one, after) = found
    assert one == both[1:]
    assert len(before & after) == 1  # of three steps at the last checkpoint


def test_guidance_doubles_the_evaluations(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference = build_reference(prepared)
    model = {"condition": "class", "guidance": 2.0}
    evaluation = {"num_seeds": 1, "sampling_steps": []}
    results = make_experiment(prepared, "diffusion", model=model, evaluation=evaluation)
    assert evaluate(results, reference, prepared).exit_code == 0
    [row], [_] = measured(results)
    assert (row["steps"], row["evaluations"]) == (2, 6)


@pytest.mark.parametrize("model", ["vae", "dcgan"])
def test_a_model_that_samples_in_one_step_has_one_row(
    prepared: Path, build_reference: Make, make_experiment: Make, model: str
) -> None:
    reference = build_reference(prepared)
    results = make_experiment(prepared, model, evaluation={"num_seeds": 1})
    assert evaluate(results, reference, prepared).exit_code == 0
    [row], [cost] = measured(results)
    assert (row["steps"], row["evaluations"], cost["steps"]) == (None, 1, None)
    metrics = read_json(results / "metrics.json")
    assert row["fd_classifier"] == pytest.approx(metrics["fd_classifier"])
