"""What Snakemake reruns after a change: what depends on it, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from latentbench.config.params import RULES
from tests.workflow.conftest import ROOT, Workplace

# All on one worker, which makes the workplace once.
pytestmark = pytest.mark.slow

NAMES = ("vae", "dcgan", "wgan-gp")
REPEAT = "vae/repeats/1"
REPORTED = {"report@tiny", "handin@tiny"}
# The walkthrough loads the models and shows what was measured of them.
SHOWN = {"walkthrough@tiny"} | REPORTED


def each(*rules: str) -> set[str]:
    """The jobs of these rules for every training; repeats are not explored."""
    jobs = {f"{rule}@{name}" for rule in rules for name in (*NAMES, REPEAT)}
    jobs -= {f"explore@{REPEAT}"}
    # The experiment with a search is configured from what it selects.
    return {name.replace("experiment@dcgan", "selected_experiment@dcgan") for name in jobs}


def searched() -> set[str]:
    """The jobs of the search for the settings of dcgan."""
    return {f"train_trial@dcgan/search/{trial}" for trial in (1, 2)} | {"select@dcgan"}


def selected() -> set[str]:
    """The jobs that read what the search selects, and all that follow."""
    stages = ("train", "evaluate", "explore")
    jobs = {f"{stage}@dcgan" for stage in stages}
    jobs |= {f"configure_selected_stage@dcgan/{stage}" for stage in stages}
    return jobs | {"configure_selected_experiment@dcgan"}


def test_nothing_reruns_where_only_times_and_comments_change(workplace: Workplace) -> None:
    os.utime(workplace.folder / "report" / "page.html")
    workplace.edit("params.yaml", "studies:", "# A comment.\nstudies:")
    assert workplace.wanted() == set()


def test_each_setting_reruns_the_stages_that_read_it(workplace: Workplace) -> None:
    """Each experiment has another change, so that one run answers for all."""
    workplace.edit("params.yaml", "name: vae,", "name: vae, learning_rate: 5.0e-4,")
    edited = yaml.safe_load((workplace.folder / "params.yaml").read_text())
    edited["experiments"]["dcgan"]["evaluation"] = {"num_samples": 201}
    edited["experiments"]["wgan-gp"] |= {
        "latent": {"num_pairs": 3},
        "resources": {"runtime_minutes": 9},
    }
    (workplace.folder / "params.yaml").write_text(yaml.safe_dump(edited, sort_keys=False))
    stages = ("train", "evaluate", "explore")
    vae = {f"{stage}@vae" for stage in stages} | {f"configure_stage@vae/{s}" for s in stages}
    vae |= {f"{stage}@{REPEAT}" for stage in stages[:2]}
    vae |= {f"configure_stage@{REPEAT}/{stage}" for stage in stages[:2]}
    dcgan = {"configure_search@dcgan", "select@dcgan"} | selected()
    wgan_gp = {"configure_stage@wgan-gp/explore", "explore@wgan-gp"}
    assert workplace.wanted() == vae | dcgan | wgan_gp | each("configure_experiment") | SHOWN


def test_a_setting_of_the_reference_retrains_nothing(workplace: Workplace) -> None:
    workplace.edit("params.yaml", "epochs: 1", "epochs: 2")
    reference = {"configure_dataset@digits/reference", "reference@digits"}
    expected = reference | each("evaluate", "explore") | {"select@dcgan"} | selected() | SHOWN
    assert workplace.wanted() == expected


def test_a_source_reruns_the_stages_that_run_it(workplace: Workplace) -> None:
    """A source with an older time, as from an archive, is also another source."""
    source = "src/latentbench/training/train.py"
    workplace.edit(source, "from __future__", "# Changed.\nfrom __future__")
    os.utime(workplace.folder / source, (0, 0))
    expected = each("train", "evaluate", "explore") | searched() | selected() | SHOWN
    assert workplace.wanted() == expected


def test_a_template_of_the_report_reruns_the_report(workplace: Workplace) -> None:
    notebook = workplace.folder / "report" / "comparison.ipynb"
    notebook.write_text(notebook.read_text() + "\n")
    assert workplace.wanted() == REPORTED


def test_a_template_of_the_walkthrough_reruns_it(workplace: Workplace) -> None:
    notebook = workplace.folder / "report" / "walkthrough.ipynb"
    notebook.write_text(notebook.read_text() + "\n")
    assert workplace.wanted() == SHOWN


def test_a_study_without_the_chapter_has_no_walkthrough(workplace: Workplace) -> None:
    workplace.edit("params.yaml", "walkthrough, ", "")
    assert workplace.wanted() == {"configure_study@tiny"} | REPORTED


def test_until_and_resources_apply_to_a_rule(finished: Workplace) -> None:
    options = ("--forcerun", "train", "--until", "train", "--set-resources", "train:mem_mb=9000")
    output = finished.snakemake("--dry-run", "--printshellcmds", *options, "--", "tiny")
    assert re.findall(r"^([a-z_]+) +(\d+)$", output, flags=re.MULTILINE)[:2] == [
        ("train", "4"),
        ("total", "4"),
    ]
    assert output.count("mem_mb=9000") == len(NAMES) + 1
    for training in ("vae", REPEAT):
        assert f"latentbench train --config results/tiny/{training}/config/train.yaml" in output


def test_a_rule_is_omitted_with_what_depends_on_it(finished: Workplace) -> None:
    options = ("--forcerun", "evaluate", "--omit-from", "explore")
    assert finished.job_counts(*options, "--", "tiny") == {"evaluate": 4, "walkthrough": 1}


def test_the_rule_graph_has_a_node_per_rule(finished: Workplace) -> None:
    labels = re.findall(r'label = "([^"]+)"', finished.snakemake("--rulegraph"))
    assert len(labels) == len(set(labels)) <= 19
    assert {"train", "evaluate", "explore", "report", "handin"} < set(labels)


def test_a_params_file_replaces_the_default(workplace: Workplace) -> None:
    own = {
        "studies": {"own": {"title": "Own pictures"}},
        "datasets": {"faces": {"source": "folder", "path": "faces.zip", "image_size": 64}},
        "experiments": {"small": {"study": "own", "dataset": "faces", "model": {"name": "vae"}}},
    }
    (workplace.folder / "faces.yaml").write_text(yaml.safe_dump(own))
    wanted = workplace.wanted("--configfile", "faces.yaml")
    assert {job for job in wanted if not job.startswith("configure")} == {
        *(f"{stage}@faces" for stage in ("fetch", "prepare", "reference")),
        *(f"{stage}@small" for stage in ("train", "evaluate", "explore")),
        *("report@own", "handin@own"),
    }


def test_an_override_changes_one_experiment(finished: Workplace) -> None:
    override = "experiments={vae: {model: {learning_rate: 5e-4}}}"
    wanted = finished.wanted("--config", override)
    assert {job for job in wanted if job.startswith(("train", "configure_stage"))} == {
        *("train@vae", f"train@{REPEAT}"),
        *(f"configure_stage@vae/{stage}" for stage in ("train", "evaluate", "explore")),
        *(f"configure_stage@{REPEAT}/{stage}" for stage in ("train", "evaluate")),
    }


def test_more_repeats_rerun_nothing_that_exists(workplace: Workplace) -> None:
    """Further trainings are those of the next seeds; only the report's settings change."""
    workplace.edit("params.yaml", "repeats: 2", "repeats: 3")
    added = "vae/repeats/2"
    stages = {f"{stage}@{added}" for stage in ("train", "evaluate", "configure_experiment")}
    stages |= {f"configure_stage@{added}/{stage}" for stage in ("train", "evaluate")}
    study = {"configure_experiment@vae", "configure_study@tiny"}
    assert workplace.wanted() == stages | study | SHOWN


def test_repeats_have_the_next_seeds_and_are_not_explored(workplace: Workplace) -> None:
    first, repeat = (
        yaml.safe_load((workplace.folder / f"results/tiny/{name}/config/train.yaml").read_text())
        for name in ("vae", REPEAT)
    )
    assert (first.pop("seed"), repeat.pop("seed")) == (0, 1)
    assert (first.pop("name"), repeat.pop("name")) == ("vae", REPEAT)
    assert first == repeat
    refused = workplace.run("snakemake", "-n", f"results/tiny/{REPEAT}/latent/explore.json")
    assert "MissingRuleException" in refused.stdout + refused.stderr


def test_a_wrong_key_in_the_params_is_named(workplace: Workplace) -> None:
    workplace.edit("params.yaml", "width: 8, n_critic: 2", "width: 8, n_critics: 2")
    result = workplace.run("snakemake", "--dry-run")
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert "experiments.wgan-gp.model.n_critics" in output
    assert "'n_critic'" in output
    assert "Traceback" not in output


def test_a_study_cannot_have_the_name_of_a_rule() -> None:
    files = [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    found = set()
    for file in files:
        rules = r"^(?:rule|use rule \w+ as) (\w+)"
        found |= set(re.findall(rules, file.read_text(), flags=re.MULTILINE))
    assert found == RULES


@pytest.mark.parametrize("name", ["all", "configure_stage", "handin_tiny"])
def test_a_study_with_the_name_of_another_target_is_refused(
    name: str, workplace: Workplace
) -> None:
    workplace.edit("params.yaml", "  tiny:\n", f"  {name}: {{title: Another}}\n  tiny:\n")
    assert f"studies.{name} " in _error_of(workplace.run("snakemake", "--dry-run"))


def test_braces_and_other_signs_reach_the_stages(workplace: Workplace) -> None:
    """To Snakemake {a,b} is a wildcard, and to a shell much is a command."""
    title = "The set {a,b} { x } {} ${HOME} $(ls) `ls` \U0001d6fd 'a' %s \\n"
    new = f"title: {json.dumps(title, ensure_ascii=False)}"
    workplace.edit("params.yaml", "title: Each objective, barely trained", new)
    target = "results/tiny/study.yaml"
    workplace.snakemake("--force", "--cores", "1", "--", target)
    assert yaml.safe_load((workplace.folder / target).read_text())["title"] == title


@pytest.mark.parametrize("options", [(), ("--configfile", "params.yaml")])
def test_a_key_given_twice_is_refused(options: tuple[str, ...], workplace: Workplace) -> None:
    workplace.edit("params.yaml", "  dcgan:\n", "  vae:\n")
    assert "'vae'" in _error_of(workplace.run("snakemake", "--dry-run", *options))


def test_elsewhere_the_folder_is_named(finished: Workplace, tmp_path: Path) -> None:
    command = ["snakemake", "--dry-run", "--cores", "1", "--snakefile"]
    result = subprocess.run(
        [*command, str(finished.folder / "Snakefile")],
        cwd=tmp_path,
        env=finished.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert str(finished.folder) in _error_of(result)


def _error_of(result: subprocess.CompletedProcess[str]) -> str:
    """Return the only line that is an error, without a traceback."""
    output = result.stdout + result.stderr
    assert result.returncode == 1
    assert "Traceback" not in output
    [line] = [line for line in output.splitlines() if line.startswith("Error: ")]
    return line
