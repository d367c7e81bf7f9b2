"""Tables of models: the best is in bold, numbers have as many decimals as needed."""

from __future__ import annotations

import pytest

from latentbench import open_study
from latentbench.artifacts.files import read_csv, read_json, write_csv, write_json, write_yaml
from latentbench.config.load import read_yaml
from latentbench.results import tables
from latentbench.results.formatting import count, decimals, duration
from tests.report.conftest import (
    SIX,
    make_repeats,
    make_trainings,
    put_on_two_datasets,
    repeat_training,
)

NBSP = "\N{NO-BREAK SPACE}"


def table_cells(markdown: str) -> list[list[str]]:
    """Return the cells of a Markdown table: the header, then its rows."""
    lines = [line.strip("|").split("|") for line in markdown.splitlines()]
    return [[cell.strip() for cell in line] for line in [lines[0], *lines[2:]]]


def cells(markdown: str, name: str) -> list[str]:
    """Return the row that starts with the name."""
    return next(row for row in table_cells(markdown) if row[0] == name)


def column(markdown: str, title: str) -> dict[str, str]:
    """Return the cells of the column whose title starts so, by the first cell of their row."""
    header, *rows = table_cells(markdown)
    place = next(place for place, name in enumerate(header) if name.startswith(title))
    return {row[0]: row[place] for row in rows}


def summary(folder, title: str) -> dict[str, str]:
    return column(tables.summary(open_study(folder)).markdown, title)


def test_bounds_on_the_likelihood_have_standard_errors(make_study):
    folder = make_study()
    study = open_study(folder)
    table = tables.likelihoods(study).markdown
    for title, cell in {
        "ELBO (nats)": "\N{MINUS SIGN}730.2 ± 1.5",
        "Bound (nats)": "\N{MINUS SIGN}727.5 ± 1.5",
        "Gap (nats)": "2.750 ± 0.062",
        "Bound (bits/dim)": "8.0246 ± 0.0020",
    }.items():
        assert column(table, title) == {"vae": cell}, title
    assert "100" in tables.likelihoods_caption(study)
    assert "500" in tables.likelihoods_caption(study)
    path = folder / "vae" / "metrics.json"
    facts = read_json(path)
    [row] = facts["likelihood"]["bounds"]
    row["gap_nats_std_error"] = None  # of a single image
    facts["likelihood"]["bounds"].append(row | {"prior": "mixture", "gap_nats": 3.5})
    write_json(path, facts)
    header, *rows = table_cells(tables.likelihoods(open_study(folder)).markdown)
    assert [row[header.index("Gap (nats)")] for row in rows] == ["2.750", "3.500"]
    assert [row[0] for row in rows] == ["vae", "vae"]
    assert "N(0, I)" in rows[0]


def test_bounds_of_several_trainings_are_means(make_study):
    folder = make_study()
    repeat_training(folder, "vae", (22.0, 0.3))
    facts = read_json(folder / "vae" / "metrics.json")
    facts["likelihood"]["bounds"][0]["elbo_nats"] += 4
    path = folder / "vae" / "repeats" / "1" / "metrics.json"
    write_json(path, read_json(path) | {"likelihood": facts["likelihood"]})
    # The mean of two numbers that differ by 4; their standard deviation is 4/√2.
    table = tables.likelihoods(open_study(folder)).markdown
    assert column(table, "ELBO (nats)") == {"vae": "\N{MINUS SIGN}728.2 ± 2.8"}


@pytest.mark.parametrize("best", ["vae", "dcgan", "wgan-gp"])
def test_the_lowest_distance_is_bold(make_study, best):
    scores = {name: (12.3 if name == best else 20.5, 0.2) for name in ("vae", "dcgan", "wgan-gp")}
    expected = dict.fromkeys(scores, "20.5 ± 0.2") | {best: "**12.3** ± 0.2"}
    assert summary(make_study(scores), "FD") == expected | {"*real images*": "1.5 ± 0.2"}


def test_scores_that_print_alike_are_bold_alike(make_study):
    folder = make_study({"vae": (12.31, 0.2), "dcgan": (12.33, 0.2), "wgan-gp": (15.0, 0.2)})
    found = summary(folder, "FD")
    assert found["vae"].startswith("**12.3**")
    assert found["dcgan"].startswith("**12.3**")
    assert "**" not in found["wgan-gp"]


def test_a_column_of_several_magnitudes_has_decimals_by_cell(make_study):
    scores = {"vae": (434.516, 0.605), "dcgan": (1.594, 0.028), "wgan-gp": (0.253, 0.017)}
    found = summary(make_study(scores), "FD")
    assert found["vae"] == "435 ± 1"
    assert found["dcgan"] == "1.59 ± 0.03"
    assert found["wgan-gp"] == "**0.253** ± 0.017"


def test_a_score_of_nan_is_absent(make_study):
    folder = make_study()
    metrics = folder / "wgan-gp" / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("12.0,", "nan,"))
    found = summary(folder, "FD")
    assert found["wgan-gp"] == tables.ABSENT
    assert found["dcgan"].startswith("**20.0**")


def test_a_single_experiment_is_not_bold(make_study):
    assert "**" not in tables.summary(open_study(make_study({"vae": (12.3, 0.2)}))).markdown


def test_more_images_per_second_and_less_time_are_better(make_study):
    folder = make_study()
    assert summary(folder, "Training")["vae"].startswith("**")
    assert summary(folder, "Images/s")["vae"] == "**640**"


def test_datasets_are_ranked_separately(make_study):
    folder = make_study()
    put_on_two_datasets(folder)
    rows = table_cells(tables.summary(open_study(folder)).markdown)
    faces, glyphs = rows[1], rows[-2]
    assert faces[:2] == ["faces", "vae"]
    assert "30.0 ± 0.4" in faces  # the only model of its dataset
    assert glyphs[:2] == ["glyphs", "wgan-gp"]
    assert "**12.0** ± 0.2" in glyphs


def test_precision_and_recall_are_of_one_extractor(make_study):
    folder = make_study()
    markdown = tables.prdc(open_study(folder)).markdown
    assert column(markdown, "Precision")["wgan-gp"] == "**0.083** ± 0.000"  # 1 / 12
    assert column(markdown, "Recall") == {
        "vae": "0.032 ± 0.000",
        "dcgan": "0.048 ± 0.000",
        "wgan-gp": "**0.077** ± 0.000",
        "*real images*": "0.900",
    }
    for path in folder.glob("*/metrics.csv"):
        path.write_text(path.read_text().replace("_classifier", "_other"))
    assert tables.prdc(open_study(folder)).markdown is None


def test_repeats_have_a_row_of_their_mean(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    assert not open_study(folder).has_repeats
    make_repeats(folder, "vae", "dcgan", "wgan-gp")
    assert open_study(folder).has_repeats
    name = f"*vae (3{NBSP}seeds)*"
    assert summary(folder, "FD")[name] == "20.7 ± 9.0"  # of 30, 20 and 12
    assert summary(folder, "Images/s")[name].startswith(("390", "391"))  # of 640, 320 and 213


def test_an_experiment_has_one_row_for_all_its_trainings(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    repeat_training(folder, "vae", (20.0, 0.3), (12.0, 0.2))
    name = f"vae (3{NBSP}seeds)"
    found = summary(folder, "FD")
    assert list(found) == [name, "dcgan", "wgan-gp", "*real images*"]
    assert found[name] == "20.7 ± 9.0"  # of 30, 20 and 12
    assert summary(folder, "MSE")[name] == summary(folder, "MSE")["dcgan"]


def test_repeats_compete_as_one(make_study):
    folder = make_study({"vae": (10.0, 0.4), "dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    make_repeats(folder, "vae", "dcgan")
    found = summary(folder, "FD")
    # vae is one of two repeats, whose mean of 15 is behind wgan-gp.
    assert found["vae"] == "10.0 ± 0.4"
    assert found["wgan-gp"] == "**12.0** ± 0.2"


def test_trainings_that_a_test_does_not_distinguish_from_the_best_are_bold(make_study):
    scores = {"vae": [10.0, 10.4, 10.2], "dcgan": [10.3, 10.5, 10.1], "wgan": [90.0, 90.4, 90.2]}
    found = summary(make_trainings(make_study, **scores), "FD")
    assert found[f"*vae (3{NBSP}seeds)*"].startswith("**10.2**")
    assert found[f"*dcgan (3{NBSP}seeds)*"].startswith("**10.3**")
    assert "**" not in found[f"*wgan-gp (3{NBSP}seeds)*"]
    assert "**" not in found["vae"]


def test_pairs_of_models_with_repeats_have_a_row_each(make_study):
    assert tables.comparisons(open_study(make_study())).markdown is None
    scores = {"vae": [12.0, 12.3, 12.6], "dcgan": [10.0, 10.3, 10.6], "wgan": [10.1, 10.4, 10.7]}
    markdown = tables.comparisons(open_study(make_trainings(make_study, **scores))).markdown
    header, *rows = table_cells(markdown)
    assert [row[:2] for row in rows] == [
        [f"wgan-gp (3{NBSP}seeds)", f"dcgan (3{NBSP}seeds)"],
        [f"vae (3{NBSP}seeds)", f"dcgan (3{NBSP}seeds)"],
        [f"vae (3{NBSP}seeds)", f"wgan-gp (3{NBSP}seeds)"],
    ]
    # All have a standard deviation of 0.3: t = 8.16 of 2 degrees of freedom, p = 0.0147 times 3.
    assert rows[1][3:6] == ["2.0", "0.9 to 3.1", "**0.044**"]
    assert "**" not in rows[0][5]
    # g: 2 / 0.3 times the factor for 4 degrees of freedom, √(2 / π).
    assert rows[1][6] == "5.3"
    assert len(header) == 7


def test_of_many_pairs_those_with_the_first_model_are_shown(make_study):
    names = [name for name in SIX if name != "wgan-gp"]
    scores = {name: (10.0 + place, 0.1) for place, name in enumerate(names)}
    more = {f"{name}_{place}": (11.0, 0.1) for name in names for place in (1, 2, 3)}
    folder = make_study(scores | more)
    for name in names:
        make_repeats(folder, name, f"{name}_1")
        settings = read_yaml(folder / f"{name}_2" / "config.yaml")
        write_yaml(folder / f"{name}_3" / "config.yaml", settings | {"seed": 1})
    assert len(open_study(folder).run_groups()) == 10
    rows = table_cells(tables.comparisons(open_study(folder)).markdown)[1:]
    assert len(rows) == 9
    assert len({row[1] for row in rows}) == 1


def test_nothing_is_bold_if_trainings_distinguish_no_models(make_study):
    found = summary(make_trainings(make_study, vae=[10.0, 10.4], dcgan=[10.3, 10.5]), "FD")
    assert not any("**" in cell for cell in found.values())


def test_distances_of_autoencoders_are_not_bold(make_study):
    folder = make_study({"vae": (10.0, 0.4), "dcgan": (20.0, 0.3), "wgan-gp": (30.0, 0.2)})
    path = folder / "vae" / "config.yaml"
    settings = read_yaml(path)
    model = settings["model"] | {"name": "autoencoder", "prior": "standard"}
    write_yaml(path, settings | {"model": model})
    found = summary(folder, "FD")
    assert found["vae"] == "10.0 ± 0.4"
    assert found["dcgan"] == "**20.0** ± 0.3"
    assert summary(folder, "Training")["vae"].startswith("**")


def test_a_column_of_equal_scores_has_no_best(make_study):
    folder = make_study()
    for path in folder.glob("*/metrics.csv"):
        rows = read_csv(path)
        zeros = {"recall_classifier": "0.0", "recall_classifier_std": "0.0"}
        write_csv(path, [row | zeros for row in rows], columns=list(rows[0]))
    make_repeats(folder, "vae", "dcgan")
    recall = column(tables.prdc(open_study(folder)).markdown, "Recall")
    assert set(recall.values()) == {"0.000 ± 0.000", "0.900"}


def test_a_spread_that_would_print_as_zero_has_one_more_decimal(make_study):
    found = summary(make_study({"vae": (111.52, 0.21), "dcgan": (243.2, 0.1)}), "FD")
    assert found["vae"] == "**111.5** ± 0.2"
    assert found["dcgan"] == "243.2 ± 0.1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (duration(3.24), "3.2 s"),
        (duration(9.96), "10 s"),
        (duration(48.2), "48 s"),
        (duration(59.7), "1 min 00 s"),
        (duration(185), "3 min 05 s"),
        (duration(7620), "2 h 07 min"),
        (count(930), "930"),
        (count(12_300), "12.3 k"),
        (count(999_700), "1.00 M"),
        (count(121_000_000), "121 M"),
    ],
)
def test_durations_and_counts_have_units(text, expected):
    assert text.replace(NBSP, " ") == expected


def test_the_smallest_number_has_three_significant_digits():
    numbers = (0.0123, 1.23, 12.3, 123.0, 12345.0, 0.0)
    assert [decimals([number]) for number in numbers] == [4, 2, 1, 0, 0, 2]


def test_published_values_stand_with_those_measured_here(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (20.0, 0.3)})
    for path in folder.glob("*/metrics.csv"):
        renamed = path.read_text().replace("fd_classifier", "fid").replace("kd_classifier", "kid")
        path.write_text(renamed)
    assert tables.published(open_study(folder)).markdown is None
    values = {
        "dcgan": {"metric": "kid", "value": 0.0204, "source": "A & B (2020)"},
        "vae": {"metric": "fid", "value": 16.77, "source": "C (2018)"},
    }
    settings = read_yaml(folder / "study.yaml")
    write_yaml(folder / "study.yaml", settings | {"published": values})
    table = tables.published(open_study(folder)).markdown
    assert column(table, "Published") == {"dcgan": "0.0204", "vae": "16.77"}
    assert column(table, "Metric")["vae"].startswith("FID")
    here = column(table, "Here")
    assert [float(here[name].split(" ± ")[0]) for name in values] == pytest.approx([0.02, 30])
    (folder / "vae" / "metrics.csv").unlink()
    assert column(tables.published(open_study(folder)).markdown, "Here")["vae"] == "–"
