"""The figure of quality against cost: its points, their numbers, and its caption."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from latentbench import open_study
from latentbench.artifacts.files import read_manifest, write_manifest, write_yaml
from latentbench.artifacts.paths import LAST_METRICS, record_name
from latentbench.config.load import read_yaml
from latentbench.report.comparison import sampling_cost
from latentbench.results.formatting import short_duration
from tests.report.conftest import change, change_record, words_of


def measure(folder: Path, costs: dict[int | None, tuple[float, float]]) -> None:
    """Write seconds and FD (classifier) by sampling steps, as the stage evaluate does."""
    rows: list[dict[str, Any]] = []
    times: list[dict[str, Any]] = []
    for steps, (seconds, distance) in costs.items():
        evaluations = 2.0 * steps if steps else 1.0
        rows.append({"steps": steps, "evaluations": evaluations, "fd_classifier": distance})
        times.append({"steps": steps, "seconds_per_image": seconds})
    change(folder / LAST_METRICS, sampling=rows)
    change_record(folder / record_name("evaluate"), sampling={"device": "cpu", "costs": times})


@pytest.fixture
def folder(make_study) -> Path:
    """A study whose wgan-gp has become a diffusion model."""
    folder = make_study()
    config = folder / "wgan-gp" / "config.yaml"
    write_yaml(config, read_yaml(config) | {"model": {"name": "diffusion", "sampling_steps": 10}})
    measure(folder / "vae", {None: (2e-4, 30.0)})
    measure(folder / "dcgan", {None: (1e-4, 20.0)})
    measure(folder / "wgan-gp", {1: (1e-3, 50.0), 10: (1e-2, 12.0), 20: (2e-2, 11.0)})
    return folder


def test_frame(folder):
    rows = open_study(folder).sampling.set_index("experiment")
    assert rows.loc["wgan-gp", "steps"].tolist() == [1, 10, 20]
    assert rows.loc["wgan-gp", "seconds"].tolist() == [1e-3, 1e-2, 2e-2]
    assert math.isnan(rows.loc["vae", "steps"])
    assert rows.loc["vae", "evaluations"] == 1
    assert rows["training"].tolist() == ["vae", "dcgan", *["wgan-gp"] * 3]


def test_points_and_numbers_of_steps(folder):
    drawing = sampling_cost.quality_against_cost(open_study(folder))
    [axes] = drawing.figure.axes
    assert axes.get_xscale() == "log"
    points = {tuple(line.get_xdata()): tuple(line.get_ydata()) for line in axes.lines}
    assert points[(1e-3, 1e-2, 2e-2)] == (50.0, 12.0, 11.0)
    assert points[(2e-4,)] == (30.0,)
    assert {"10", "20", "vae", "dcgan", "wgan-gp"} <= words_of(drawing)


def test_caption_compares_with_the_fastest_model(folder):
    text = sampling_cost.describe(open_study(folder)).replace("\N{NO-BREAK SPACE}", " ")
    assert "10 steps" in text
    assert "20 evaluations" in text
    assert "10 ms" in text
    assert "100 times as long as dcgan" in text


def test_nothing_is_drawn_without_a_diffusion_model(make_study):
    study = open_study(make_study())
    assert sampling_cost.quality_against_cost(study).figure is None
    assert sampling_cost.describe(study) == ""
    assert study.sampling.empty


def test_a_study_evaluated_without_times_is_drawn_without_them(folder):
    record = folder / "dcgan" / record_name("evaluate")
    facts = read_manifest(record)
    del facts["sampling"]
    write_manifest(record, facts)
    study = open_study(folder)
    assert "100 times" not in sampling_cost.describe(study)
    assert "dcgan" not in words_of(sampling_cost.quality_against_cost(study))


def test_short_durations():
    found = [short_duration(seconds) for seconds in (4.2e-6, 3.14e-4, 0.0031, 0.87, 0.9999, 3.2)]
    expected = ["4.2 µs", "314 µs", "3.1 ms", "870 ms", "1.0 s", "3.2 s"]
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in found] == expected
