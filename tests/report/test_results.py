"""Results as DataFrames: they hold what the files hold, and damaged files are named."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pandas as pd
import pytest

import latentbench
from latentbench.artifacts.files import file_sha256, read_manifest, write_manifest, write_yaml
from latentbench.errors import ArtifactError
from latentbench.results.quantities import MSE, Quantity
from latentbench.results.ranking import rank
from latentbench.results.study import open_study
from tests.report.conftest import make_repeats, put_on_two_datasets, repeat_training

MODELS = ["vae", "dcgan", "wgan-gp"]


def test_the_package_opens_a_study(make_study):
    assert list(latentbench.open_study(str(make_study())).experiments.index) == MODELS


def test_notebooks_show_a_study_and_an_experiment(make_study):
    folder = make_study()
    study = open_study(folder)
    config = study.config.model_copy(update={"title": "<i>&", "question": "Is 1 < 2?"})
    shown = replace(study, config=config)._repr_html_()
    assert "<i>" not in shown
    assert "&lt;i&gt;&amp;" in shown
    assert "1 &lt; 2" in shown
    assert all(name in shown for name in MODELS)
    shutil.rmtree(folder / "dcgan")
    assert "dcgan" in open_study(folder)._repr_html_()
    experiment = replace(study["vae"], name="<i>")._repr_html_()
    assert "<i>" not in experiment
    assert "FD (classifier)" in experiment


def test_metrics_are_those_of_the_files(make_study):
    folder = make_study()
    metrics = open_study(folder).metrics
    own = ["experiment", "training", "seed"]
    assert list(metrics) == [*own, "epoch", "prior", "metric", "mean", "std", "n"]
    for name in MODELS:
        file = pd.read_csv(folder / name / "metrics.csv").set_index("epoch")
        own = metrics.query("experiment == @name").pivot(index="epoch", columns="metric")
        for metric in own["mean"]:
            assert list(own["mean"][metric]) == list(file[metric])
            assert list(own["std"][metric]) == list(file[f"{metric}_std"])
        assert set(metrics["n"]) == set(file["num_seeds"])


def test_history_and_iterations_are_those_of_the_files(make_study):
    folder = make_study()
    study = open_study(folder)
    for frame, file in ((study.history, "history.csv"), (study.iterations, "iterations.csv")):
        for name, rows in frame.groupby("experiment"):
            path = folder / str(name) / file
            expected = pd.read_csv(path) if path.is_file() else pd.DataFrame()
            for column in set(expected) - {"warnings"}:
                assert list(rows[column].dropna()) == list(expected[column].dropna())


def test_scores_are_those_of_the_last_checkpoint(make_study):
    study = open_study(make_study())
    scores = study.scores.set_index(["experiment", "quantity"])
    assert scores.loc[("vae", "fd_classifier"), "mean"] == 30.0
    assert ("vae", "fid") not in scores.index
    [run] = study.run_groups([study["vae"]])
    curve = study.checkpoints(run, "fd_classifier")
    assert list(curve["epoch"]) == [1, 2, 4]
    assert list(curve["seconds"]) == [10.0, 20.0, 40.0]


def test_a_missing_standard_deviation_is_unknown(make_study):
    scores = open_study(make_study({"vae": (12.0, None)})).scores
    assert scores.query("quantity == 'fd_classifier'")["std"].isna().all()


def test_repeats_are_one_run_with_the_mean_over_trainings(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "dcgan_1": (22.0, 0.3), "vae": (30.0, 0.4)})
    make_repeats(folder, "dcgan", "dcgan_1")
    study = open_study(folder)
    repeats, single = study.run_groups()
    assert [member.name for member in repeats.members] == ["dcgan", "dcgan_1"]
    assert (repeats.stem, single.name) == ("dcgan", "vae")
    assert study.experiments["run"].nunique() == 2
    last = study.checkpoints(repeats, "fd_classifier").iloc[-1]
    assert last["mean"] == pytest.approx(21.0)
    assert last["std"] == pytest.approx(2**0.5)


def test_repeats_of_an_experiment_are_further_trainings(make_study):
    folder = make_study()
    repeat_training(folder, "dcgan", (22.0, 0.3), (27.0, 0.3))
    study = open_study(folder)
    assert [each.name for each in study] == MODELS
    names = ["dcgan", "dcgan/repeats/1", "dcgan/repeats/2"]
    assert [each.name for each in study.trainings if each.experiment == "dcgan"] == names
    [run] = study.run_groups([study["dcgan"]])
    assert [member.name for member in run.members] == names
    assert (run.stem, len(study.run_groups())) == ("dcgan", 3)
    last = study.metrics.query("metric == 'fd_classifier' and epoch == 4")
    assert list(last.query("experiment == 'dcgan'")["seed"]) == [0, 1, 2]
    assert last.groupby("experiment")["mean"].mean()["dcgan"] == pytest.approx(23.0)
    curve = study.checkpoints(run, "fd_classifier").iloc[-1]
    assert (curve["mean"], curve["std"]) == (pytest.approx(23.0), pytest.approx(13**0.5))
    for frame in (study.history, study.costs, study.scores):
        assert set(frame.query("experiment == 'dcgan'")["training"]) == set(names)
    assert list(study.experiments.index) == MODELS
    assert study.experiments.loc["dcgan", "seconds"] == pytest.approx((80 + 80 + 80) / 3)
    assert study.settings.loc["dcgan", "seed"] == "0, 1, 2"
    assert study.settings.loc["vae", "seed"] == "0"
    assert not {"repeats", "name"} & set(study.settings)


def test_repeats_and_experiments_with_another_seed_are_one_run(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "dcgan_1": (22.0, 0.3), "vae": (30.0, 0.4)})
    make_repeats(folder, "dcgan", "dcgan_1")
    repeat_training(folder, "dcgan", (27.0, 0.3))
    repeats, single = open_study(folder).run_groups()
    assert [member.name for member in repeats.members] == ["dcgan", "dcgan/repeats/1", "dcgan_1"]
    assert (repeats.stem, single.name) == ("dcgan", "vae")


def test_repeats_count_once_they_are_evaluated(make_study):
    folder = make_study()
    repeat_training(folder, "vae", (22.0, 0.3), (27.0, 0.3))
    (folder / "vae" / "repeats" / "2" / "metrics.json").unlink()
    study = open_study(folder)
    [run] = study.run_groups([study["vae"]])
    assert [member.name for member in run.members] == ["vae", "vae/repeats/1"]
    [note] = study.notes_on_repeats()
    assert "vae/repeats/2" in note.replace("\\", "")


def test_the_latent_space_is_that_of_the_first_training(make_study):
    folder = make_study()
    repeat_training(folder, "vae", (22.0, 0.3))
    study = open_study(folder)
    distance, error = (
        next(each for each in rank(study, quantity, study.run_groups()) if each.run.stem == "vae")
        for quantity in (Quantity("fd_classifier", "FD", -1), MSE)
    )
    assert (distance.num_trainings, distance.mean) == (2, 26.0)
    assert (error.num_trainings, error.mean) == (1, pytest.approx(0.012))


def test_only_models_of_one_dataset_are_together(make_study):
    folder = make_study()
    put_on_two_datasets(folder)
    study = open_study(folder)
    assert study.has_several_datasets
    assert sum(len(runs) for runs in study.runs_by_dataset().values()) == len(MODELS)
    assert {experiment.index for experiment in study} < {0, 1, 2}


def test_a_folder_that_the_study_does_not_list_is_ignored(make_study):
    folder = make_study()
    shutil.copytree(folder / "vae", folder / "stale")
    assert [experiment.name for experiment in open_study(folder)] == MODELS


def test_an_unknown_experiment_is_named_with_the_known_ones(make_study):
    with pytest.raises(KeyError, match=r"gan.*vae, dcgan, wgan-gp"):
        open_study(make_study())["gan"]


def test_a_study_without_experiments_is_refused(make_study):
    folder = make_study()
    study = {"title": "T", "name": "demo", "experiments": [], "datasets": []}
    write_yaml(folder / "study.yaml", study)
    with pytest.raises(ArtifactError, match=r"study\.yaml.*study: demo"):
        open_study(folder)


def test_a_study_without_results_is_refused(make_study):
    folder = make_study()
    for experiment in MODELS:
        shutil.rmtree(folder / experiment)
    with pytest.raises(ArtifactError, match=", ".join(MODELS)):
        open_study(folder)


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="configure --study"):
        open_study(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        "epoch,fd_classifier\n1,twelve\n",
        "step,fd_classifier\n1,2.0\n",
        "epoch,fd_classifier\n1,2.0\n2,3.0,4.0\n",
        "",
    ],
)
def test_a_damaged_table_is_named(make_study, damage):
    folder = make_study()
    (folder / "vae" / "metrics.csv").write_text(damage)
    with pytest.raises(ArtifactError, match=r"vae/metrics\.csv is damaged"):
        open_study(folder).load()


def test_a_file_that_changed_after_its_stage_is_named(make_study):
    """A digit of a table may be flipped, and the table still be read."""
    folder = make_study()
    path = folder / "vae" / "history.csv"
    record = folder / "vae" / "provenance" / "train.json"
    content = read_manifest(record)
    write_manifest(record, content | {"outputs": {"../history.csv": file_sha256(path)}})
    open_study(folder).load()
    path.write_text(path.read_text().replace("1", "7", 1))
    with pytest.raises(ArtifactError, match=r"vae/history\.csv"):
        open_study(folder).load()
