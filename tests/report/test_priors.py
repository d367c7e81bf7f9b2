"""Models whose samples were measured under N(0, I) and under a fitted prior."""

from __future__ import annotations

import numpy as np
import pytest

from latentbench.artifacts.files import (
    read_arrays,
    read_csv,
    read_json,
    write_arrays,
    write_csv,
    write_yaml,
)
from latentbench.artifacts.paths import LATENT_ARRAYS
from latentbench.config.load import read_yaml
from latentbench.report.comparison import (
    captions,
    conclusions,
    curves,
    headline,
    memorization,
    strengths,
)
from latentbench.report.latent import sample_grids
from latentbench.results import RunGroup, open_study, ranking, tables
from latentbench.results.changes import find_changes
from tests.report.conftest import change, repeat_training
from tests.report.test_tables import column

FITTED, STANDARD = "vae from a mixture of 30", "vae from N(0, I)"


def fit_prior(folder, name: str, distance: float, *, copied: float = 0.01) -> None:
    """Measure a fitted prior, too, with this distance after the last epoch."""
    path = folder / name / "metrics.csv"
    rows = []
    for row in read_csv(path):
        fitted = {"prior": "mixture", "fd_classifier": str(4 * distance / int(row["epoch"]))}
        fitted |= {"precision_classifier": "0.9", "closer_to_train_classifier": "0.9"}
        rows += [row | fitted, row | {"prior": "standard"}]
    write_csv(path, rows, columns=list(rows[0]))
    facts = read_json(folder / name / "metrics.json").get("memorization") or {}
    other = {"memorization": facts | {"copied": copied, "warning": ""}}
    change(
        folder / name / "metrics.json",
        prior="mixture",
        prior_components=30,
        other_priors={"standard": other},
    )


@pytest.fixture
def folder(make_study):
    """A VAE that is last under N(0, I) and first under its fitted prior."""
    made = make_study()
    fit_prior(made, "vae", 6.0)
    return made


def test_metrics_and_scores_have_a_row_per_prior(folder):
    study = open_study(folder)
    rows = study.metrics.query("experiment == 'vae' and metric == 'fd_classifier'")
    assert list(zip(rows["prior"], rows["mean"], strict=True)) == [
        ("mixture", 24.0),
        ("standard", 120.0),
        ("mixture", 12.0),
        ("standard", 60.0),
        ("mixture", 6.0),
        ("standard", 30.0),
    ]
    assert set(study.own_metrics.query("experiment == 'vae'")["prior"]) == {"mixture"}
    scores = study.scores.query("experiment == 'vae'").set_index(["quantity", "prior"])["mean"]
    assert (scores["fd_classifier", "mixture"], scores["fd_classifier", "standard"]) == (6, 30)
    assert list(scores["mse"].index) == [""]


def test_tables_have_a_row_per_prior(folder):
    """What does not depend on the prior is in the first row only."""
    study = open_study(folder)
    text = tables.summary(study).markdown
    assert column(text, "FD") == {
        FITTED: "**6.00** ± 0.40",
        STANDARD: "30.00 ± 0.40",
        "dcgan": "20.00 ± 0.30",
        "wgan-gp": "12.00 ± 0.20",
        "*real images*": "1.50 ± 0.20",
    }
    times = column(text, "Training")
    assert times[FITTED].startswith("**")
    assert times[STANDARD] == ""
    assert column(tables.prdc(study).markdown, "Precision")[FITTED].startswith("**0.900**")


def test_the_headline_ranks_each_prior(folder):
    text = headline.answer(open_study(folder))
    assert f"{FITTED} has the lowest FD (classifier): 6.00 ± 0.40" in text
    assert "below wgan-gp (12.00 ± 0.20)" in text


def test_an_autoencoder_is_ranked_under_its_fitted_prior_only(folder):
    path = folder / "vae" / "config.yaml"
    settings = read_yaml(path)
    write_yaml(path, settings | {"model": settings["model"] | {"name": "autoencoder"}})
    study = open_study(folder)
    order = ranking.rank(
        study,
        tables.distance(study.measured_metrics[0]),
        ranking.generative(study, study.run_groups()),
    )
    assert [each.name for each in order] == [FITTED, "wgan-gp", "dcgan"]
    assert f"Distances do not rank {STANDARD}" in headline.describe(study)


def test_trainings_are_tested_under_each_prior(folder):
    """Two trainings of the VAE; the N(0, I) of a training is not the fitted prior of another."""
    repeat_training(folder, "vae", (32.0, 0.4))
    fit_prior(folder, "vae/repeats/1", 7.0)
    study = open_study(folder)
    [vae, *_] = study.run_groups()
    fitted, standard = study.by_prior(vae)
    quantity = tables.distance(study.measured_metrics[0])
    scores = ranking.by_name(ranking.rank(study, quantity, [fitted, standard]))
    assert {each.mean for each in scores.values()} == {6.5, 31.0}
    assert scores[fitted.name].in_brackets.startswith("(2\N{NO-BREAK SPACE}seeds, 6.50")
    curve = study.checkpoints(standard, "fd_classifier")
    assert list(curve["mean"]) == [124.0, 62.0, 31.0]


def test_conclusions_say_what_the_prior_changes(folder):
    text = conclusions.summarize(open_study(folder))
    assert "FD (classifier) 6.00 instead of 30.00" in text
    assert "precision 0.900 instead of 0.033" in text
    assert "ranks 1 instead of 3 of 3" in text


def test_captions_explain_rows_and_curves(folder):
    study = open_study(folder)
    assert "@ghosh2020" in captions.summary_caption(study)
    assert "N(0, I)" in captions.curves_by_prior(study)


def test_without_a_second_prior_nothing_is_said_of_priors(make_study):
    study = open_study(make_study())
    assert captions.curves_by_prior(study) == captions.rows_by_prior(study) == ""
    assert not study.has_fitted_priors
    for text in (
        headline.describe(study),
        conclusions.summarize(study),
        tables.summary(study).markdown,
    ):
        assert "N(0" not in text
        assert "mixture" not in text


def test_strengths_name_the_prior(folder):
    text = strengths.strengths(open_study(folder))
    assert "first in FD (classifier) (6.00 from a mixture of 30)" in text
    assert "last in FD (classifier) (30.00 from N(0, I))" in text


def test_memorization_is_of_both_priors(folder):
    study = open_study(folder)
    closer = column(memorization.closeness(study).markdown, "Closer")
    assert closer[FITTED].startswith("90.0")
    assert closer[STANDARD].startswith("75.0")
    change(
        folder / "vae" / "metrics.json",
        other_priors={
            "standard": {
                "memorization": {
                    "copied": 0.7,
                    "warning": "They are copies.",
                    "extractor": "classifier",
                    "num_samples": 10,
                    "num_training": 20,
                }
            }
        },
    )
    assert f"**{STANDARD}**: They are copies" in memorization.verdicts(open_study(folder))


def test_changes_compare_the_own_priors(folder):
    study = open_study(folder)
    fit_prior(folder, "dcgan", 1.0)  # a model that is no encoder has one prior
    [*changes] = find_changes(study, study.run_groups())
    assert all(
        change.ranks is None or change.ranks[0].run.prior != "standard" for change in changes
    )


def test_curves_and_samples_are_drawn_by_prior(folder):
    study = open_study(folder)
    path = folder / "vae" / LATENT_ARRAYS
    arrays = read_arrays(path)
    write_arrays(path, arrays | {"samples_standard": np.zeros_like(arrays["samples"])})
    texts = {text.get_text() for text in curves.metric_curves(study).figure.findobj(match=_is_text)}
    assert {STANDARD, FITTED} <= texts
    grids = sample_grids.samples(open_study(folder))
    assert {STANDARD, FITTED} <= {text.get_text() for text in grids.figure.findobj(match=_is_text)}


def _is_text(artist) -> bool:
    return hasattr(artist, "get_text")


def test_a_run_has_the_name_of_its_prior(folder):
    study = open_study(folder)
    names = {
        prior: RunGroup((study["vae"],), prior=prior).name
        for prior in ("gaussian", "mixture", "standard")
    }
    assert names == {
        "gaussian": "vae from a Gaussian",
        "mixture": FITTED,
        "standard": STANDARD,
    }
    assert RunGroup((study["vae"],)).name == "vae"
