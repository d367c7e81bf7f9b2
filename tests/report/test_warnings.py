"""Signs of trouble in training, by model and epoch."""

from __future__ import annotations

import pandas as pd
import pytest

from latentbench import open_study
from latentbench.report.training import warnings
from tests.report.test_tables import cells


def test_signs_are_listed_by_model_and_epochs(make_study):
    study = open_study(make_study())
    table = warnings.table(study).markdown
    assert cells(table, "vae") == ["vae", "4", "1 and 2", "1"]
    assert "dcgan" not in table
    assert "dcgan and wgan-gp" in warnings.verdict(study)


def test_healthy_trainings_have_no_table(make_study):
    study = open_study(make_study({"dcgan": (1.0, 0.1)}))
    assert warnings.table(study).markdown is None
    assert "any model" in warnings.verdict(study)


@pytest.mark.parametrize(
    ("epochs", "text"), [([3], "3"), ([2, 1], "1 and 2"), ([1, 2, 3, 4, 7], "1 to 4 and 7")]
)
def test_epochs_are_listed_in_runs(epochs, text):
    assert warnings.list_epochs(pd.Series(epochs)) == text
