"""Settings and provenance that differ stand apart from those that are shared, in few words however many models."""

from __future__ import annotations

import pytest

from latentbench.artifacts.files import read_json, write_json, write_yaml
from latentbench.artifacts.paths import PROVENANCE
from latentbench.config.load import read_yaml
from latentbench.report.training import settings
from latentbench.results.study import open_study
from latentbench.results.tables import flatten
from tests.report.conftest import SIX, make_repeats


def cells(markdown: str, first: str) -> list[str]:
    """Of the row that begins so, or of its half that does."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()
    ]
    return next(line[line.index(first) :] for line in lines if first in line[::2])


def change(folder, **model):
    path = folder / "config.yaml"
    values = read_yaml(path)
    write_yaml(path, values | {"model": values["model"] | model})


def test_settings_that_differ_stand_apart(make_study):
    differing, shared = settings.settings(open_study(make_study()))
    assert cells(differing.markdown, "Setting") == ["Setting", "vae", "dcgan", "wgan-gp"]
    assert cells(differing.markdown, "`name`")[1:] == ["vae", "dcgan", "wgan_gp"]
    assert cells(differing.markdown, "`n_critic`")[1:] == ["–", "1", "5"]
    assert cells(shared.markdown, "`training.checkpoints`")[1] == "1, 2, 4"
    assert "`training.epochs`" not in differing.markdown


def test_a_setting_that_an_objective_lacks_is_no_difference(make_study):
    differing, shared = settings.settings(open_study(make_study()))
    assert "`gp_weight`" not in differing.markdown
    assert cells(shared.markdown, "`gp_weight`")[1] == "10.0"


def test_settings_without_effect_are_left_out(make_study):
    folder = make_study()
    for kind, shown, hidden in (
        ("convolutional", "`width`", "`hidden_dims`"),
        ("fully_connected", "`hidden_dims`", "`width`"),
    ):
        for name in ("vae", "dcgan", "wgan-gp"):
            change(folder / name, architecture=kind)
        _, shared = settings.settings(open_study(folder))
        assert shown in shared.markdown
        assert hidden not in shared.markdown
        assert "`label_dim`" not in shared.markdown
    change(folder / "vae", condition="class")
    assert "`label_dim`" in settings.settings(open_study(folder))[1].markdown


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "none"),
        (True, "yes"),
        (False, "no"),
        (5e-05, "0.00005"),
        (1.0, "1.0"),
        ([1, 2], "1, 2"),
    ],
)
def test_values_are_written_for_readers(value, words):
    assert flatten({"model": {"key": value}}) == {"model.key": words}


def test_of_many_models_each_tells_only_what_most_have_not(make_study):
    folder = make_study(SIX)
    make_repeats(folder, "dcgan", "conditional-dcgan", "wgan-gp", "conditional-wgan-gp")
    change(folder / "wgan-gp", width=16)
    differing, _ = settings.settings(open_study(folder))
    assert cells(differing.markdown, "Model") == ["Model", "Differs in"]
    assert cells(differing.markdown, "*most that have it*")[1].startswith("`name` dcgan; ")
    assert cells(differing.markdown, "wgan-gp")[1] == "`seed` 2; `width` 16"
    assert cells(differing.markdown, "conditional-dcgan")[1] == "`seed` 1"
    assert cells(differing.markdown, "vae")[1].startswith("`seed` 0; `name` vae; ")


def test_provenance_is_shared_unless_it_differs(make_study):
    folder = make_study()
    record = read_json(folder / "vae" / PROVENANCE)
    write_json(folder / "vae" / PROVENANCE, record | {"processor": "Another | processor"})
    differing, shared = settings.provenance(open_study(folder))
    assert "Another \\| processor" in differing.markdown
    assert cells(shared.markdown, "Commit")[1] == "`0123456789ab`"
    assert cells(shared.markdown, "Data digest of glyphs")[1] == "`feedfacecafebeef`"


def test_commands_that_differ_in_the_name_are_one(make_study):
    folder = make_study()
    _, shared = settings.provenance(open_study(folder))
    assert (
        cells(shared.markdown, "Command")[1]
        == "`latentbench train --config results/demo/MODEL/config.yaml`"
    )
    record = read_json(folder / "vae" / PROVENANCE)
    write_json(
        folder / "vae" / PROVENANCE, record | {"command": f"{record['command']} --threads 4"}
    )
    differing, _ = settings.provenance(open_study(folder))
    assert cells(differing.markdown, "Command")[1].endswith("MODEL/config.yaml --threads 4`")
