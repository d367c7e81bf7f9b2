"""The summary's best is in bold, settings that differ stand apart from those that are shared."""

from __future__ import annotations

import pytest

from latentbench.artifacts.files import read_csv, write_csv
from latentbench.report.comparison import captions
from latentbench.report.results import columns
from latentbench.results.study import open_study
from tests.report.conftest import make_repeats, put_on_two_datasets


def cells(markdown: str, model: str) -> list[str]:
    row = next(line for line in markdown.splitlines() if line.startswith(f"| {model} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def column(markdown: str, title: str) -> dict[str, str]:
    header, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()
    )
    place = next(place for place, name in enumerate(header) if name.startswith(title))
    return {row[0]: row[place] for row in rows}


@pytest.mark.parametrize("best", ["vae", "dcgan", "wgan-gp"])
def test_lowest_distance_is_bold_whichever_model_has_it(make_study, best):
    scores = {name: (12.3 if name == best else 20.5, 0.2) for name in ("vae", "dcgan", "wgan-gp")}
    summary = columns.summary(open_study(make_study(scores)))
    assert column(summary.markdown, "FD (classifier)") == {
        name: "**12.3** ± 0.2" if name == best else "20.5 ± 0.2" for name in scores
    } | {"*real images*": "1.5"}


def test_scores_that_read_alike_are_bold_alike(make_study):
    summary = columns.summary(
        open_study(make_study({"vae": (12.31, 0.2), "dcgan": (12.33, 0.2), "wgan-gp": (15.0, 0.2)}))
    )
    fd_classifier = column(summary.markdown, "FD (classifier)")
    assert fd_classifier["vae"].startswith("**12.3**")
    assert fd_classifier["dcgan"].startswith("**12.3**")
    assert "**" not in fd_classifier["wgan-gp"]


def test_a_column_that_spans_orders_of_magnitude_gives_each_number_its_own_digits(make_study):
    scores = {"vae": (434.516, 0.605), "dcgan": (1.594, 0.028), "wgan-gp": (0.253, 0.017)}
    fd_classifier = column(
        columns.summary(open_study(make_study(scores))).markdown, "FD (classifier)"
    )
    assert (fd_classifier["vae"], fd_classifier["dcgan"], fd_classifier["wgan-gp"]) == (
        "435 ± 1",
        "1.59 ± 0.03",
        "**0.253** ± 0.017",
    )


def test_score_that_is_no_number_is_neither_shown_nor_best(make_study):
    folder = make_study()
    metrics = folder / "wgan-gp" / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("12.0,", "nan,"))
    fd_classifier = column(columns.summary(open_study(folder)).markdown, "FD (classifier)")
    assert fd_classifier["wgan-gp"] == "–"
    assert fd_classifier["dcgan"].startswith("**20.0**")


def test_one_experiment_has_nothing_to_be_best_of(make_study):
    summary = columns.summary(open_study(make_study({"vae": (12.3, 0.2)})))
    assert "**" not in summary.markdown


def test_more_images_per_second_are_better_and_less_time_is(make_study):
    markdown = columns.summary(open_study(make_study())).markdown
    assert column(markdown, "Training")["vae"].startswith("**")  # the quickest in the made-up study
    assert column(markdown, "Images/s")["vae"] == "**640**"
    assert "**" not in column(markdown, "Parameters")["vae"]


def test_experiments_on_two_datasets_are_not_ranked_together(make_study):
    folder = make_study()
    put_on_two_datasets(folder)
    markdown = columns.summary(open_study(folder)).markdown
    assert "| faces | vae | 1.2" in markdown
    assert [
        line for line in markdown.splitlines() if "30.0 ± 0.4" in line
    ]  # vae is alone: not bold
    assert [line for line in markdown.splitlines() if "**12.0** ± 0.2" in line]


def test_overlap_is_of_one_extractor_and_best_where_most(make_study):
    table = columns.overlap(open_study(make_study())).markdown
    assert column(table, "Precision")["wgan-gp"] == "**0.083** ± 0.000"  # 1 / 12
    assert column(table, "Recall") == {
        "vae": "0.032 ± 0.000",
        "dcgan": "0.048 ± 0.000",
        "wgan-gp": "**0.077** ± 0.000",
        "*real images*": "0.900",
    }
    folder = make_study()
    for path in folder.glob("*/metrics.csv"):
        path.write_text(path.read_text().replace("_classifier", "_other"))
    assert columns.overlap(open_study(folder)).markdown is None


def test_repeats_are_averaged_and_counted(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    make_repeats(folder, "vae", "dcgan", "wgan-gp")
    study = open_study(folder)
    [members] = study.repeats()
    assert [member.name for member in members] == ["vae", "dcgan", "wgan-gp"]
    summary = columns.summary(study).markdown
    assert (
        column(summary, "FD (classifier)")["*vae (3\N{NO-BREAK SPACE}seeds)*"] == "20.7 ± 9.0"
    )  # of 30, 20 and 12
    assert (
        column(summary, "Parameters")["*vae (3\N{NO-BREAK SPACE}seeds)*"]
        == column(summary, "Parameters")["vae"]
    )
    assert "ranked as one, by their mean" in captions.protocol(study)
    assert open_study(make_study()).repeats() == []


def test_repeats_compete_as_one(make_study):
    folder = make_study({"vae": (10.0, 0.4), "dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    make_repeats(folder, "vae", "dcgan")
    fd_classifier = column(columns.summary(open_study(folder)).markdown, "FD (classifier)")
    # The best single training is no contender: the mean of its repeats, 15, is behind.
    assert fd_classifier["vae"] == "10.0 ± 0.4"
    assert fd_classifier["wgan-gp"] == "**12.0** ± 0.2"
    assert "bold, repeats as one" in captions.overlap_caption(open_study(folder))


def test_a_column_in_which_all_tie_has_no_best(make_study):
    folder = make_study()
    for path in folder.glob("*/metrics.csv"):
        rows = read_csv(path)
        zeros = {"recall_classifier": "0.0", "recall_classifier_std": "0.0"}
        write_csv(path, [row | zeros for row in rows], columns=list(rows[0]))
    make_repeats(folder, "vae", "dcgan")
    recall = column(columns.overlap(open_study(folder)).markdown, "Recall")
    assert set(recall.values()) == {"0.000 ± 0.000", "0.900"}


def test_a_spread_that_would_vanish_has_one_more_decimal(make_study):
    fd_classifier = column(
        columns.summary(
            open_study(make_study({"vae": (111.52, 0.21), "dcgan": (243.2, 0.1)}))
        ).markdown,
        "FD (classifier)",
    )
    assert (fd_classifier["vae"], fd_classifier["dcgan"]) == ("**111.5** ± 0.2", "243.2 ± 0.1")
