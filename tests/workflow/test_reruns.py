"""What Snakemake runs again after a change: what the change decides, and nothing else."""

from __future__ import annotations

import os

import pytest
import yaml

from tests.workflow.conftest import Workplace

NAMES = ("vae", "dcgan", "wgan-gp")


def each(*stages: str) -> set[str]:
    return {f"{stage}@{name}" for stage in stages for name in NAMES}


CONFIGURED = each("configure_experiment") | {"configure_study@tiny"}
MEASURED = each("evaluate") | {"report@tiny", "handin@tiny"}
LATENT_ARRAYS = each("explore") | {"report@tiny", "handin@tiny"}
TRAINED = each("train") | MEASURED | LATENT_ARRAYS
DATA = {"fetch@digits", "prepare@digits", "reference@digits"}
EVERYTHING = CONFIGURED | {"configure_dataset@digits"} | DATA | TRAINED


def test_nothing_runs_again_where_only_the_time_of_a_source_changed(workplace: Workplace) -> None:
    os.utime(workplace.folder / "src/latentbench/training/train.py")
    assert workplace.wanted() == set()


def test_a_learning_rate_concerns_its_experiment_alone(workplace: Workplace) -> None:
    workplace.edit("params.yaml", "name: vae,", "name: vae, learning_rate: 5.0e-4,")
    concerned = {
        f"{stage}@vae" for stage in ("configure_experiment", "train", "evaluate", "explore")
    }
    assert workplace.wanted() == concerned | {"configure_study@tiny", "report@tiny", "handin@tiny"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("num_samples: 200", "num_samples: 201", CONFIGURED | MEASURED),
        ("num_pairs: 2", "num_pairs: 3", CONFIGURED | LATENT_ARRAYS),
        (
            "defaults:",
            "defaults:\n  resources: {runtime_minutes: 9}",
            CONFIGURED | {"report@tiny", "handin@tiny"},
        ),
        (
            "epochs: 1",
            "epochs: 2",
            CONFIGURED
            | MEASURED
            | LATENT_ARRAYS
            | {"configure_dataset@digits", "reference@digits"},
        ),
    ],
)
def test_settings_concern_the_stages_that_read_them(
    workplace: Workplace, old: str, new: str, expected: set[str]
) -> None:
    workplace.edit("params.yaml", old, new)
    assert workplace.wanted() == expected


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ("report/results/columns.py", {"report@tiny", "handin@tiny"}),
        ("config/load.py", EVERYTHING),
    ],
)
def test_a_source_concerns_the_stages_that_run_it(
    workplace: Workplace, layer: str, expected: set[str]
) -> None:
    workplace.edit(f"src/latentbench/{layer}", "from __future__", "# Changed.\nfrom __future__")
    assert workplace.wanted() == expected


def test_a_source_that_is_gone_concerns_the_stages_that_ran_it(workplace: Workplace) -> None:
    (workplace.folder / "src/latentbench/report/words.py").unlink()
    assert workplace.wanted() == {"report@tiny", "handin@tiny"}


def test_a_changed_source_is_seen_whatever_its_time(workplace: Workplace) -> None:
    workplace.edit(
        "src/latentbench/report/results/columns.py",
        "from __future__",
        "# Changed.\nfrom __future__",
    )
    os.utime(workplace.folder / "src/latentbench/report/results/columns.py", (0, 0))
    assert workplace.wanted() == {"report@tiny", "handin@tiny"}


def test_a_changed_source_is_seen_beside_changed_settings(workplace: Workplace) -> None:
    workplace.edit("params.yaml", "num_samples: 200", "num_samples: 201")
    workplace.edit(
        "src/latentbench/training/train.py", "from __future__", "# Changed.\nfrom __future__"
    )
    assert workplace.wanted() == CONFIGURED | TRAINED


@pytest.mark.parametrize("part", ["data.ipynb", "page.typ", "references.bib"])
def test_a_part_of_the_report_renders_again_and_trains_nothing(
    workplace: Workplace, part: str
) -> None:
    place = workplace.folder / "report" / part
    place.write_text(place.read_text() + "\n")
    assert workplace.wanted() == {"report@tiny", "handin@tiny"}


def test_a_params_file_of_the_users_own_stands_alone(workplace: Workplace) -> None:
    own = {
        "studies": {"own": {"title": "One's own"}},
        "datasets": {"faces": {"source": "folder", "path": "faces.zip", "image_size": 64}},
        "experiments": {"small": {"study": "own", "dataset": "faces", "model": {"name": "vae"}}},
    }
    (workplace.folder / "faces.yaml").write_text(yaml.safe_dump(own))
    configured = {"configure_dataset@faces", "configure_experiment@small", "configure_study@own"}
    made = {f"{stage}@faces" for stage in ("fetch", "prepare", "reference")}
    trained = {f"{stage}@small" for stage in ("train", "evaluate", "explore")}
    assert workplace.wanted("--configfile", "faces.yaml") == configured | made | trained | {
        "report@own",
        "handin@own",
    }


def test_an_override_on_the_command_line_is_taken(workplace: Workplace) -> None:
    override = "experiments={vae: {model: {learning_rate: 5e-4}}}"
    assert "train@vae" in workplace.wanted("--config", override)


def test_a_fault_in_the_params_is_told_in_one_sentence(workplace: Workplace) -> None:
    workplace.edit("params.yaml", "width: 8, n_critic: 2", "width: 8, n_critics: 2")
    result = workplace.run("snakemake", "--dry-run")
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert (
        "experiments.wgan-gp.model.n_critics is not a known key; use 'n_critic' if that was meant."
        in said
    )
    assert "Traceback" not in said


def test_a_jobs_own_snakemake_makes_the_rules_of_its_experiment_alone(finished: Workplace) -> None:
    rules = set(finished.snakemake("--list-rules", "--allowed-rules", "train@vae").split())
    stages = ("configure_experiment", "train", "evaluate", "explore")
    assert {rule for rule in rules if "@" in rule} == {f"{stage}@vae" for stage in stages}
