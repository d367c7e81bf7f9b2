"""What a study took, stage by stage, and all of it together."""

from __future__ import annotations

from latentbench.artifacts.paths import record_name
from latentbench.report.training import costs
from latentbench.results.study import open_study
from tests.report.conftest import SCORES


def rows(study) -> dict[str, list[str]]:
    lines = costs.table(open_study(study)).markdown.splitlines()
    cells = [
        [cell.strip().replace("\N{NO-BREAK SPACE}", " ") for cell in line.strip("|").split("|")]
        for line in lines
    ]
    return {first: rest for first, *rest in cells}


def test_every_stage_is_told_and_their_sum(make_study):
    found = rows(make_study())
    assert found["Model"] == [*costs.TITLES.values(), "Together", "Processor time", "Memory (MB)"]
    assert found["vae"] == ["45 s", "30 s", "12 s", "1 min 27 s", "2 min 10 s", "845"]
    assert found["*all*"] == ["4 min 15 s", "1 min 30 s", "36 s", "6 min 21 s", "9 min 32 s", "925"]


def test_a_stage_without_a_record_is_absent_and_not_in_the_sum(make_study):
    study = make_study()
    (study / "vae" / record_name("explore")).unlink()
    assert rows(study)["vae"] == ["45 s", "30 s", "–", "1 min 15 s", "1 min 52 s", "845"]
    assert rows(study)["*all*"][2] == "24 s"


def test_one_model_alone_has_no_sum_and_results_of_before_say_what_is_missing(make_study):
    assert "*all*" not in rows(make_study({"vae": SCORES["vae"]}))
    study = make_study()
    for stage in ("train", "evaluate", "explore"):
        (study / "vae" / record_name(stage)).unlink()
    assert "vae" not in rows(study)
    assert costs.table(open_study(study)).notes == [
        "There is no cost of vae yet; `latentbench train` writes it."
    ]
