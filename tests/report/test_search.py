"""The table of what was tried for each model, and the budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latentbench.artifacts.files import write_manifest, write_yaml
from latentbench.artifacts.paths import PROVENANCE, SEARCH, SELECT_RECORD, SELECTED
from latentbench.config.load import read_yaml
from latentbench.report.training import costs, search
from latentbench.results.study import open_study
from tests.report.conftest import cost
from tests.report.test_tables import cells, table_cells

RATES = [3e-4, 1e-3, 2e-3]


def add_search(folder: Path, name: str, means: list[float | None]) -> None:
    """Give an experiment a search over learning rates with these distances."""
    trials: list[dict[str, Any]] = []
    for rate, mean in zip(RATES, means, strict=False):
        trials.append({"values": {"learning_rate": rate}, "seed": 1_000_000, "mean": mean})
        trials[-1]["std"] = None if mean is None else 0.1
        record = folder / name / SEARCH / str(len(trials)) / PROVENANCE
        write_manifest(record, {"stage": "train", "cost": cost(100.0)})
    facts = {"metric": "fd_classifier", "num_images": 2000, "num_samples": 5000, "num_seeds": 3}
    facts["class_counts"] = {"a": 500, "b": 1500}
    best = min(trials, key=lambda trial: trial["mean"] or float("inf"))
    write_manifest(folder / name / SELECTED, {"trials": trials, "values": best["values"]} | facts)
    write_manifest(folder / name / SELECT_RECORD, {"stage": "select", "cost": cost(10.0)})
    config = read_yaml(folder / name / "config.yaml")
    config["search"] = {"learning_rate": RATES[: len(means)]}
    write_yaml(folder / name / "config.yaml", config)
    study = read_yaml(folder / "study.yaml")
    searches = study.get("searches", {}) | {name: len(means)}
    write_yaml(folder / "study.yaml", study | {"searches": searches})


@pytest.fixture
def folder(make_study) -> Path:
    study = make_study()
    for name in ("vae", "dcgan", "wgan-gp"):
        add_search(study, name, [5.0, 3.0, 4.0])
    return study


def test_every_trial_has_a_row_and_the_selected_one_is_bold(folder):
    study = open_study(folder)
    _, *rows = table_cells(search.table(study).markdown)
    assert [row[0] for row in rows] == ["vae"] * 3 + ["dcgan"] * 3 + ["wgan-gp"] * 3
    assert [row[2] for row in rows[:3]] == ["5.00 ± 0.10", "**3.00** ± 0.10", "4.00 ± 0.10"]
    assert "0.001" in rows[1][1]
    caption = search.caption(study)
    for number in ("3 × 5,000", "2,000", "25 to 75", "FD (classifier)"):
        assert number in caption
    frame = study.searches
    assert list(frame[frame["is_selected"]]["trial"]) == [2, 2, 2]


def test_a_trial_that_diverged_has_no_distance(folder):
    add_search(folder, "dcgan", [5.0, 3.0, None])
    study = open_study(folder)
    rows = [row for row in table_cells(search.table(study).markdown) if row[0] == "dcgan"]
    assert [row[2] for row in rows] == ["5.00 ± 0.10", "**3.00** ± 0.10", "diverged"]
    assert "3 combinations" in search.budget(study)


def test_equal_and_unequal_budgets_are_stated(folder):
    assert "3 combinations" in search.budget(open_study(folder))
    add_search(folder, "dcgan", [2.0])
    text = search.budget(open_study(folder))
    assert "1 for dcgan" in text
    assert "3 for vae and wgan-gp" in text


def test_a_search_is_part_of_the_costs(folder):
    row = cells(costs.table(open_study(folder)).markdown, "vae")
    assert row[1] == "5\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}10\N{NO-BREAK SPACE}s"


def test_a_study_without_a_search_has_no_table(make_study):
    study = open_study(make_study())
    assert search.table(study).markdown is None
    assert study.searches.empty
