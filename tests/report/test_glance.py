"""What a report opens with: the answer, samples of every model and their numbers."""

from __future__ import annotations

import numpy as np
import pytest

from latentbench import open_study
from latentbench.report import glance
from latentbench.report.comparison import headline
from latentbench.report.presentation.style import TALLEST
from latentbench.results import tables
from latentbench.results.formatting import NBSP
from tests.report.conftest import (
    EPOCHS,
    MANY,
    give_datasets,
    images_drawn,
    repeat_training,
    words_of,
)
from tests.report.test_tables import column, table_cells


def test_a_row_of_real_images_and_of_each_model(make_study):
    study = open_study(make_study())
    drawing = glance.samples(study)
    real, *rows = images_drawn(drawing)
    assert len(rows) == 3
    side = study["vae"].latent_arrays["samples"].shape[1]
    for experiment, row in zip(study, rows, strict=True):
        assert (row[:, :side, 0] == experiment.latent_arrays["samples"][0, ..., 0]).all()
    # One training image of each class in turn.
    classes = study["vae"].latent_arrays["data_samples"]
    number = 1 + real.shape[1] // (real.shape[1] // 10)
    assert number >= 10
    step = side + 1
    for label in range(10):
        shown = real[:, label * step : label * step + side, 0]
        assert (shown == classes[label, 0, ..., 0]).all()
    assert {"real", "vae", "dcgan", "wgan-gp"} <= words_of(drawing)


def test_many_models_still_fit_on_a_page(make_study):
    drawing = glance.samples(open_study(make_study(dict(list(MANY.items())[:12]))))
    assert list(drawing.continued) == []
    assert drawing.figure.get_figheight() < TALLEST


def test_the_table_has_quality_and_cost(make_study):
    folder = make_study()
    text = tables.glance(open_study(folder)).markdown.replace(NBSP, " ")
    assert column(text, "FD (classifier)") == {
        "vae": "30.0 ± 0.4",
        "dcgan": "20.0 ± 0.3",
        "wgan-gp": "**12.0** ± 0.2",
        "*real images*": "1.5 ± 0.2",
    }
    # Precision is 1 / 12; the spread is in the chapter on results.
    assert column(text, "Precision")["wgan-gp"] == "**0.083**"
    assert 6400 * EPOCHS == 25_600
    assert set(column(text, "Images seen").values()) == {"25.6 k", ""}
    assert column(text, "Processor time")["vae"] == "1 min 08 s"  # 1.5 times 45 s
    assert column(text, "Memory (MB)")["vae"] == "900"


def test_costs_are_means_over_trainings(make_study):
    folder = make_study({"dcgan": (20.0, 0.3)})
    repeat_training(folder, "dcgan", (22.0, 0.3))
    study = open_study(folder)
    # 10 s and 20 s an epoch: 45 and 85 s in all, times 1.5.
    [time, _] = column(tables.glance(study).markdown, "Processor time").values()
    assert time.replace(NBSP, " ") == "1 min 38 s"
    assert study.experiments.loc["dcgan", "cpu_seconds"] == pytest.approx(1.5 * np.mean([45, 85]))


def test_each_dataset_has_a_study_of_its_own(make_study):
    folder = make_study()
    give_datasets(folder, vae="faces")
    parts = open_study(folder).split_by_dataset()
    assert {name: [each.name for each in part] for name, part in parts.items()} == {
        "faces": ["vae"],
        "glyphs": ["dcgan", "wgan-gp"],
    }
    assert "vae" in headline.answer(parts["faces"])
    assert "vae" not in headline.answer(parts["glyphs"])
    names = [row[0] for row in table_cells(tables.glance(parts["glyphs"]).markdown)]
    assert names == ["Model", "dcgan", "wgan-gp", "*real images*"]


def test_without_results_there_is_nothing_to_see(make_study):
    folder = make_study()
    for path in [*folder.glob("*/metrics.*"), *folder.glob("*/latent/*")]:
        path.unlink()
    study = open_study(folder)
    assert tables.glance(study).markdown is None
    assert glance.samples(study).figure is None
    assert "latentbench evaluate" in headline.answer(study)
