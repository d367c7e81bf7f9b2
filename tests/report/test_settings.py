"""Tables of settings and provenance: what differs and what is shared."""

from __future__ import annotations

from latentbench import open_study
from latentbench.artifacts.files import write_yaml
from latentbench.artifacts.paths import PROVENANCE
from latentbench.config.load import read_yaml
from latentbench.report.training import settings
from tests.report.conftest import SIX, change_record, make_repeats


def cells(markdown: str, first: str) -> list[str]:
    """Return the cells from the one with this text on; it starts a row or half a row."""
    for row in markdown.splitlines():
        line = [cell.strip() for cell in row.strip("|").split("|")]
        if first in line[::2]:
            return line[line.index(first) :]
    raise AssertionError(first)


def change(folder, **model):
    path = folder / "config.yaml"
    values = read_yaml(path)
    write_yaml(path, values | {"model": values["model"] | model})


def test_settings_that_differ(make_study):
    differing, shared = settings.settings(open_study(make_study()))
    assert cells(differing.markdown, "Setting") == ["Setting", "vae", "dcgan", "wgan-gp"]
    assert cells(differing.markdown, "`name`")[1:] == ["vae", "dcgan", "wgan_gp"]
    assert cells(differing.markdown, "`n_critic`")[1:] == ["–", "1", "5"]
    assert cells(shared.markdown, "`training.checkpoints`")[1] == "1, 2, 4"
    assert "`training.epochs`" not in differing.markdown


def test_settings_that_not_all_models_have_are_not_shared(make_study):
    differing, shared = settings.settings(open_study(make_study()))
    assert "`gp_weight`" not in shared.markdown
    assert cells(differing.markdown, "`gp_weight`")[1:] == ["–", "–", "10.0"]


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
    assert "`label_dim`" in settings.settings(open_study(folder))[0].markdown


def test_many_models_list_what_differs_from_most(make_study):
    folder = make_study(SIX)
    make_repeats(folder, "dcgan", "conditional-dcgan", "wgan-gp", "conditional-wgan-gp")
    change(folder / "wgan-gp", width=16)
    differing, _ = settings.settings(open_study(folder))
    assert cells(differing.markdown, "Model") == ["Model", "Differs in"]
    assert cells(differing.markdown, "*most that have it*")[1].startswith("`name` dcgan; ")
    assert cells(differing.markdown, "wgan-gp")[1] == "`seed` 2; `width` 16"
    assert cells(differing.markdown, "conditional-dcgan")[1] == "`seed` 1"
    assert cells(differing.markdown, "vae")[1].startswith("`seed` 0; `name` vae; ")


def test_missing_and_single_settings(make_study):
    folder = make_study()
    for name in ("vae", "dcgan"):
        (folder / name / "config.yaml").unlink()
    differing, shared = settings.settings(open_study(folder))
    assert differing.markdown is None
    assert len(differing.notes) == 2
    assert "vae, dcgan" in differing.notes[0]
    assert "`width`" in shared.markdown


def test_provenance_that_differs(make_study):
    folder = make_study()
    change_record(folder / "vae" / PROVENANCE, processor="Another | processor")
    differing, shared = settings.provenance(open_study(folder))
    assert "Another \\| processor" in differing.markdown
    assert cells(shared.markdown, "Commit")[1] == "`0123456789ab`"
    assert cells(shared.markdown, "Data digest of glyphs")[1] == "`feedfacecafebeef`"


def test_names_in_commands_are_no_difference(make_study):
    folder = make_study()
    _, shared = settings.provenance(open_study(folder))
    command = cells(shared.markdown, "Command")[1]
    assert command == "`latentbench train --config results/demo/MODEL/config.yaml`"
    given = "latentbench train --config results/demo/vae/config.yaml"
    change_record(folder / "vae" / PROVENANCE, command=f"{given} --threads 4")
    differing, _ = settings.provenance(open_study(folder))
    assert cells(differing.markdown, "Command")[1].endswith("MODEL/config.yaml --threads 4`")
