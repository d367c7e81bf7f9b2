"""What a study says of its authors and its hand-in, and what the small budget makes of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from latentbench.config.budgets import EVALUATION, LATENT, NUM_TRAIN_IMAGES, TRAINING, WIDTH
from latentbench.config.load import parse_params, read_config
from latentbench.config.params import NOTEBOOKS, Params, StudyConfig
from latentbench.errors import ConfigError

PARAMS: dict[str, Any] = {
    "studies": {"demo": {"title": "Which is best?"}},
    "datasets": {"glyphs": {"source": "glyphs"}},
    "experiments": {
        "vae": {"study": "demo", "dataset": "glyphs", "model": {"name": "vae", "width": 8}},
        "dcgan": {"study": "demo", "dataset": "glyphs", "model": {"name": "dcgan"}},
    },
}


def params(study: dict[str, Any] | None = None, **others: Any) -> Params:
    raw = copy.deepcopy(PARAMS) | others
    raw["studies"]["demo"] |= study or {}
    return parse_params(raw, where="params.yaml")


def test_a_study_has_all_chapters_and_a_zip_of_its_name() -> None:
    study = params().study("demo")
    assert tuple(study.notebooks) == NOTEBOOKS
    assert (study.authors, study.archive_file_name("demo"), study.budget) == (
        [],
        "demo.zip",
        "full",
    )


def test_authors_are_names_with_or_without_a_number() -> None:
    study = params(
        {"authors": ["Ada Lovelace", {"name": "Émile Borel", "student_id": "0042"}]}
    ).study("demo")
    assert list(map(str, study.authors)) == ["Ada Lovelace", "Émile Borel (0042)"]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("group_{group_id}_{names}_HW1.zip", "group_7_AdaLovelace_EmileBorel_HW1.zip"),
        ("{study}-{student_ids}", "demo-12_0042.zip"),
        ("../{study}/a b", "..demoab.zip"),
    ],
)
def test_the_name_of_what_is_handed_in_follows_its_pattern(pattern: str, name: str) -> None:
    authors = [
        {"name": "Ada Lovelace", "student_id": 12},
        {"name": "Émile Borel", "student_id": "0042"},
    ]
    assert (
        params({"authors": authors, "group_id": 7, "archive_name": pattern})
        .study("demo")
        .archive_file_name("demo")
        == name
    )


@pytest.mark.parametrize(
    ("study", "complaint"),
    [
        (
            {"archive_name": "{group}"},
            "has {group} in archive_name, which is none of group_id, names, student_ids, study",
        ),
        ({"archive_name": "{group_id}_HW1"}, "has {group_id} in archive_name but does not say it"),
        ({"archive_name": "{group_id"}, "which is not a pattern"),
        ({"archive_name": "///"}, "no letter can stand in a file's name"),
        ({"notebooks": ["data", "data"]}, "names a notebook twice"),
        (
            {"notebooks": ["dat"]},
            "notebooks.0 must be 'background', 'data', 'training', 'latent' or 'comparison'",
        ),
        ({"authors": [{"student_id": 3}]}, "authors.0.name is missing"),
        ({"authors": [""]}, "authors.0.name"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused_with_the_reason(
    study: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError) as error:
        params(study)
    assert "params.yaml: studies.demo" in str(error.value)
    assert complaint in str(error.value)


def test_the_small_budget_lowers_what_costs_and_raises_nothing() -> None:
    training = {"epochs": 50, "checkpoints": [1, 2, 10, 50], "batch_size": 8}
    defaults = {"training": training, "evaluation": {"num_samples": 100}}
    full, small = (params(budget=budget, defaults=defaults) for budget in ("full", "small"))
    assert full.experiment("dcgan").training.epochs == 50
    for name, width in (("vae", 8), ("dcgan", WIDTH)):
        experiment = small.experiment(name)
        assert experiment.model.width == width
        assert experiment.training.checkpoint_epochs == [1, 2, TRAINING["epochs"]]
        assert (experiment.training.batch_size, experiment.evaluation.num_samples) == (8, 100)
        assert experiment.evaluation.num_seeds == EVALUATION["num_seeds"]
        assert experiment.latent.num_inverted == LATENT["num_inverted"]
    assert full.dataset("glyphs").dataset.max_train_images is None
    assert small.dataset("glyphs").dataset.max_train_images == NUM_TRAIN_IMAGES
    assert small.study("demo").budget == "small"


def test_a_resolved_study_reads_back(tmp_path) -> None:
    import yaml

    study = params({"authors": ["Ada", {"name": "Émile", "student_id": 3}]}, budget="small").study(
        "demo"
    )
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json")))
    assert read_config(tmp_path / "study.yaml", StudyConfig) == study
