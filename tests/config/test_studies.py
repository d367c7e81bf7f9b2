"""Studies: authors, archive names, and the small budget."""

from __future__ import annotations

import copy
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentbench.artifacts.metrics import METRICS
from latentbench.config.budgets import EVALUATION, LATENT, MAX_TRAIN_IMAGES, TRAINING, WIDTH
from latentbench.config.experiments import walkthrough_experiment
from latentbench.config.load import parse_params, read_config
from latentbench.config.models import DCGANModel, VAEModel
from latentbench.config.params import NOTEBOOKS, Params, Published, Study, StudyConfig
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


def test_defaults_are_all_notebooks_and_an_archive_of_the_study_name() -> None:
    study = params().study("demo")
    assert tuple(study.notebooks) == NOTEBOOKS
    assert (study.authors, study.archive_file_name("demo"), study.budget) == (
        [],
        "demo.zip",
        "full",
    )


def test_authors_have_a_name_and_perhaps_a_student_id() -> None:
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
def test_archive_names_fill_in_placeholders(pattern: str, name: str) -> None:
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
    ("author", "name"),
    [
        ("Øystein Strømmen", "OysteinStrommen"),
        ("Łukasz Groß", "LukaszGross"),
        ("Zoë O'Brien & Søn", "ZoeOBrienSon"),
        ("Nguyễn Văn Đức", "NguyenVanDuc"),
        ("王小明", "王小明"),
        ("김철수", "김철수"),
        ("हिन्दी", "हिन्दी"),
    ],
)
def test_archive_names_keep_the_letters_of_authors(author: str, name: str) -> None:
    study = params({"authors": [author], "archive_name": "{names}"}).study("demo")
    assert study.archive_file_name("demo") == f"{name}.zip"


@given(st.text(min_size=1), st.text(st.sampled_from("{}:!>[]_/. sé王\n") | st.characters()))
def test_any_archive_name_is_a_file_name_or_refused(author: str, pattern: str) -> None:
    study = {"title": "A", "authors": [author], "archive_name": f"{{names}}{pattern}"}
    try:
        name = Study.model_validate(study).archive_file_name("demo")
    except ValueError:
        return
    assert name.endswith(".zip")
    assert len(name.encode()) <= 255
    assert not any(sign in name for sign in '/\\:*?"<>|\0 ')


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (
            {"archive_name": "{group}"},
            ["{group} in archive_name", "{group_id}, {names}, {student_ids}, {study}"],
        ),
        ({"archive_name": "{group_id}_HW1"}, ["{group_id} in archive_name", "no value"]),
        ({"archive_name": "{number}_HW1"}, ["{number}", "is now {group_id}"]),
        ({"archive_name": "HW1_{numbers}"}, ["{numbers}", "is now {student_ids}"]),
        ({"archive_name": "{group_id"}, ["archive_name: '{group_id'", "'}'"]),
        ({"archive_name": "{study:>{x}}"}, ["archive_name: '{study:>{x}}'", "{study}"]),
        ({"archive_name": "{study:>999999999}"}, ["archive_name", "{study}"]),
        ({"archive_name": "{study!x}"}, ["archive_name: '{study!x}'", "{study}"]),
        ({"archive_name": "a" * 300}, ["archive_name", "300"]),
        ({"archive_name": "///"}, ["archive_name: '///'"]),
        ({"notebooks": ["data", "data"]}, ["notebook twice"]),
        ({"notebooks": ["dat"]}, ["notebooks.0", "'data'", "'dat'"]),
        ({"authors": [{"student_id": 3}]}, ["authors.0.name is missing"]),
        ({"authors": [""]}, ["authors.0.name"]),
    ],
)
def test_errors_of_a_study_name_the_setting(study: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        params(study)
    assert "params.yaml: studies.demo" in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_walkthrough_trains_a_model_that_it_has_a_loop_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = {"notebooks": ["walkthrough"]}
    monkeypatch.setattr(VAEModel, "walkthrough_passes", 0)
    parsed = params(listed)
    members = [parsed.experiment(name) for name in ("vae", "dcgan")]
    assert walkthrough_experiment(members).name == "dcgan"
    monkeypatch.setattr(DCGANModel, "walkthrough_passes", 0)
    with pytest.raises(ConfigError, match=r"params.yaml: studies.demo .*walkthrough.*'vae'"):
        params(listed)
    assert params().study("demo").experiments == ["vae", "dcgan"]


def test_the_small_budget_only_lowers_settings() -> None:
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
    wide = {"name": "dcgan", "width": 8, "discriminator_width": 128}
    experiments = {"wide": {"study": "demo", "dataset": "glyphs", "model": wide}}
    model = params(budget="small", experiments=experiments).experiment("wide").model
    assert isinstance(model, DCGANModel)
    assert (model.width, model.discriminator_width) == (8, WIDTH)
    assert full.dataset("glyphs").dataset.max_train_images is None
    assert small.dataset("glyphs").dataset.max_train_images == MAX_TRAIN_IMAGES
    assert small.study("demo").budget == "small"


def test_a_resolved_study_reads_back(tmp_path) -> None:
    import yaml

    study = params({"authors": ["Ada", {"name": "Émile", "student_id": 3}]}, budget="small").study(
        "demo"
    )
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json")))
    assert read_config(tmp_path / "study.yaml", StudyConfig) == study


def test_published_values_are_of_experiments_of_the_study() -> None:
    value = {"value": 3.17, "source": "a paper"}
    study = params({"published": {"vae": value}}).study("demo")
    assert (study.published["vae"].metric, study.published["vae"].value) == ("fid", 3.17)
    with pytest.raises(ConfigError, match=r"studies\.demo\.published.* gan\b"):
        params({"published": {"gan": value}}).study("demo")
    shared = {metric.key for metric in METRICS if metric.extractor != "classifier"}
    assert set(get_args(Published.model_fields["metric"].annotation)) == shared
