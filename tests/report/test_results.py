"""Reading a study: what is listed is compared, what is damaged is named in one sentence."""

from __future__ import annotations

import shutil

import pytest

from latentbench.artifacts.files import write_yaml
from latentbench.errors import ArtifactError
from latentbench.results.study import open_study


def test_folder_that_the_study_does_not_list_is_ignored(make_study):
    folder = make_study()
    shutil.copytree(folder / "vae", folder / "stale")
    assert [e.name for e in open_study(folder).experiments] == ["vae", "dcgan", "wgan-gp"]


def test_score_is_that_of_the_last_checkpoint_with_its_training_time(make_study):
    vae = open_study(make_study()).experiments[0]
    assert [(c.epoch, c.seconds) for c in vae.checkpoints] == [(1, 10.0), (2, 20.0), (4, 40.0)]
    assert vae.score("fd_classifier").mean == 30.0
    assert vae.score("fid") is None
    assert vae.loss_terms == ["loss", "reconstruction", "kl"]


def test_empty_std_is_unknown_not_zero(make_study):
    assert (
        open_study(make_study({"vae": (12.0, None)})).experiments[0].score("fd_classifier").std
        is None
    )


def test_study_without_experiments_is_one_sentence(make_study):
    folder = make_study()
    write_yaml(
        folder / "study.yaml", {"title": "T", "name": "demo", "experiments": [], "datasets": []}
    )
    with pytest.raises(ArtifactError, match=r"study\.yaml lists no experiments; .*study: demo"):
        open_study(folder)


def test_study_without_results_is_one_sentence(make_study):
    folder = make_study()
    for experiment in ("vae", "dcgan", "wgan-gp"):
        shutil.rmtree(folder / experiment)
    with pytest.raises(ArtifactError, match="has no results of vae, dcgan, wgan-gp; train"):
        open_study(folder)


def test_folder_without_study_is_one_sentence(tmp_path):
    with pytest.raises(ArtifactError, match="configure --study"):
        open_study(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        "epoch,fd_classifier\n1,twelve\n",
        "step,fd_classifier\n1,2.0\n",
        "epoch,fd_classifier\n1,2.0,3.0\n",
    ],
)
def test_damaged_table_is_named(make_study, damage):
    folder = make_study()
    (folder / "vae" / "metrics.csv").write_text(damage)
    with pytest.raises(ArtifactError, match=r"vae/metrics\.csv is damaged"):
        open_study(folder)
