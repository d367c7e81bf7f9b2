"""Walks along the directions of attributes."""

from __future__ import annotations

from latentbench import open_study
from latentbench.artifacts.paths import LATENT_FACTS
from latentbench.report.latent import attributes
from latentbench.results import latent_space
from latentbench.results.ranking import rank
from tests.report.conftest import change
from tests.report.test_tables import column, table_cells

MINUS = "\N{MINUS SIGN}"
TWO = {"vae": (25.0, 0.2), "conditional-vae": (18.0, 0.2)}


def change_directions(folder, name: str, **predicted: list[float]) -> None:
    """Give an experiment directions of these attributes, each with the same predictions."""
    directions = [
        {"attribute": name, "accuracy": 0.9, "base_rate": 0.6, "predicted": predicted}
        for name in predicted
    ]
    change(folder / name / LATENT_FACTS, directions=directions)


def test_walk_table(make_study):
    markdown = attributes.walk_table(open_study(make_study())).markdown
    header, *rows = table_cells(markdown)
    assert header[:5] == ["Model", "Direction", "Smiling", "Eyeglasses", "Male"]
    assert len(rows) == 6
    assert rows[0] == [
        "vae",
        "Smiling",
        "**+80**",
        f"{MINUS}6",
        "+6",
        f"{MINUS}6",
        "+6",
        f"{MINUS}6",
    ]
    assert rows[2][:5] == ["", "Male", "+6", f"{MINUS}6", "**+80**"]


def test_walk_table_of_models_with_different_attributes(make_study):
    folder = make_study(TWO)
    change_directions(folder, "vae", Wearing_Hat=[0.5, 0.25])
    markdown = attributes.walk_table(open_study(folder)).markdown
    assert column(markdown, "Wearing Hat")["vae"] == f"**{MINUS}25**"
    assert column(markdown, "Smiling")["vae"] == "–"
    assert column(markdown, "Wearing Hat")["conditional-vae"] == "–"


def test_walks_without_predictions(make_study):
    folder = make_study()
    directions = [{"attribute": "Smiling", "accuracy": 0.9, "base_rate": 0.6}]
    change(folder / "vae" / LATENT_FACTS, directions=directions)
    study = open_study(folder)
    assert attributes.walk_table(study).markdown is None
    assert attributes.walk_curves(study).figure is None
    assert latent_space.walk_quantities(study, study.run_groups()) == []


def test_walk_quantities(make_study):
    folder = make_study(TWO)
    change_directions(folder, "vae", Smiling=[0.1, 0.4, 0.5], Wearing_Hat=[0.5, 0.5, 0.25])
    study = open_study(folder)
    runs = study.run_groups()
    rankings = {
        each.name: rank(study, each, runs) for each in latent_space.walk_quantities(study, runs)
    }
    smiling = rankings["Smiling"]
    assert [(each.name, each.mean_text) for each in smiling] == [
        ("conditional-vae", "+80"),
        ("vae", "+40"),
    ]
    [hat] = rankings["Wearing Hat"]
    assert hat.mean == -0.25
