"""The table of costs: stages, their sum, and all experiments together."""

from __future__ import annotations

from latentbench import open_study
from latentbench.artifacts.paths import record_name
from latentbench.report.training import costs
from tests.report.conftest import SCORES


def rows(study) -> dict[str, list[str]]:
    found = {}
    for line in costs.table(open_study(study)).markdown.splitlines():
        text = line.strip("|").replace("\N{NO-BREAK SPACE}", " ")
        first, *rest = [cell.strip() for cell in text.split("|")]
        found[first] = rest
    return found


def test_stages_and_sums(make_study):
    found = rows(make_study())
    assert found["Model"] == [*costs.TITLES.values(), "Together", "Processor time", "Memory (MB)"]
    assert found["vae"] == ["45 s", "30 s", "12 s", "1 min 27 s", "2 min 10 s", "845"]
    assert found["*all*"] == ["4 min 15 s", "1 min 30 s", "36 s", "6 min 21 s", "9 min 32 s", "925"]


def test_stage_without_a_record_is_not_in_the_sums(make_study):
    study = make_study()
    (study / "vae" / record_name("explore")).unlink()
    assert rows(study)["vae"] == ["45 s", "30 s", "–", "1 min 15 s", "1 min 52 s", "845"]
    assert rows(study)["*all*"][2] == "24 s"


def test_one_model_has_no_row_for_all(make_study):
    assert "*all*" not in rows(make_study({"vae": SCORES["vae"]}))


def test_models_without_records_are_named(make_study):
    study = make_study()
    for stage in costs.TITLES:
        (study / "vae" / record_name(stage)).unlink()
    assert "vae" not in rows(study)
    [note] = costs.table(open_study(study)).notes
    assert "vae" in note
    assert "dcgan" not in note
