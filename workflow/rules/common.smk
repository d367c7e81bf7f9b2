"""What the rules share: the params, the input functions, and what each job needs.

A stage depends on three things, and Snakemake's default triggers see a change of each: its input
files, its settings (the file that a rule of configure.smk writes for it) and its code (the digest
of its sources among the params).
"""

import os
import sys
from functools import cache
from pathlib import Path

from latentbench.artifacts import dependencies, paths
from latentbench.artifacts.files import yaml_text
from latentbench.config.experiments import walkthrough_experiment
from latentbench.config.load import read_overridden_params
from latentbench.config.params import WALKTHROUGH
from latentbench.errors import ConfigError

# Cluster jobs start without the environment activated: its commands are in the folder of its Python.
os.environ |= {
    "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
}

if workflow.storage_settings.default_storage_provider == "s3":
    from snakemake_storage_plugin_s3 import StorageObject

    # The plugin caches that a folder does not exist, and so misses what a job uploads later.
    StorageObject.is_dir = lambda self: any(self.get_subkeys())

# Memory (MB) and time (minutes) of a job. The demo's jobs take 0.7 GB (train) to 1.1 GB (reference) and
# two minutes; 50,000 images with Inception's features take 2 GB. The rest is for larger images and models.
NEEDS = {
    "fetch": (2_000, 720),
    "prepare": (4_000, 240),
    "reference": (6_000, 240),
    "train": (4_000, 1_440),
    "evaluate": (6_000, 240),
    "explore": (4_000, 240),
    "select": (6_000, 240),
    "walkthrough": (4_000, 60),
    "report": (4_000, 30),
}
# The files of report/ that every report is made from, apart from its notebooks.
REPORT_PARTS = ("page.html", "page.lua", "page.typ", "style.css", "interactive.js", "references.bib")


def read_params():
    """Return the params of the config files, else of params.yaml, with every --config override.

    Snakemake's own `config` is not used: its YAML reader takes 007 for 7 and the last of two equal keys.
    """
    files = [Path(os.path.relpath(file)) for file in workflow.overwrite_configfiles]
    if not files:
        files = [Path("params.yaml")]
        # What --report and archives include.
        workflow.configfiles.append(files[0].absolute())
    try:
        return read_overridden_params(files, workflow.config_settings.config)
    except ConfigError as error:
        sys.exit(f"Error: {error}")


if not Path("src/latentbench").is_dir():
    sys.exit(
        f"Error: Start snakemake in the folder {workflow.basedir}, or add --directory {workflow.basedir}."
    )

PARAMS = read_params()


@cache
def dataset(name):
    return PARAMS.dataset(name)


@cache
def experiment(name):
    return PARAMS.experiment(name)


@cache
def study(name):
    return PARAMS.study(name)


@cache
def config_files(kind, name):
    """Return the resolved config files of a dataset, experiment or study by name."""
    return dependencies.config_files(
        {"dataset": dataset, "experiment": experiment, "study": study}[kind](name)
    )


@cache
def code(stage):
    """Return the digest of the sources of a stage."""
    return dependencies.code_sha256(stage, Path("src/latentbench"))


def compute(wildcards):
    """Return the compute settings of a job of an experiment or a dataset."""
    if "experiment" in wildcards.keys():
        return experiment(wildcards.experiment).compute
    return dataset(wildcards.dataset).dataset.reference.compute


def processes(wildcards):
    return experiment(wildcards.experiment).training.processes


def requested(wildcards, resource, default):
    """Return what the experiment of a job requests of a resource, else the default."""
    if "experiment" not in wildcards.keys():
        return default
    return getattr(experiment(wildcards.experiment).resources, resource) or default


# Snakemake evaluates every resource of every job, and a number faster than a function.
# A dry run has no settings of execution.
MAY_BE_RETRIED = getattr(workflow.execution_settings, "retries", 0) > 0
REQUESTS = [experiment.resources for experiment in PARAMS.experiments.values()]


def mem_mb(stage):
    """Return memory in MB, doubled from the second attempt: a number if it is the same for all jobs."""
    number = NEEDS[stage][0]
    if not MAY_BE_RETRIED and not any(request.memory_mb for request in REQUESTS):
        return number
    return lambda wildcards, attempt: requested(wildcards, "memory_mb", number) * min(attempt, 2)


def runtime(stage):
    """Return minutes, doubled from the second attempt except for training, which resumes; see mem_mb."""
    number = NEEDS[stage][1]
    doubles = MAY_BE_RETRIED and stage != "train"
    if not doubles and not any(request.runtime_minutes for request in REQUESTS):
        return number

    def minutes(wildcards, attempt):
        limit = requested(wildcards, "runtime_minutes", number)
        return limit * min(attempt, 2) if doubles else limit

    return minutes


def threads_of_processes(wildcards):
    return compute(wildcards).threads * processes(wildcards)


def gpu(wildcards):
    """Return the number of GPUs to reserve; `device: auto` uses one if there is one and reserves none."""
    return 1 if compute(wildcards).device in ("cuda", "mps") else 0


def gpu_of_processes(wildcards):
    return gpu(wildcards) * processes(wildcards)


devices = {experiment.compute.device for experiment in PARAMS.experiments.values()}
devices |= {dataset.reference.compute.device for dataset in PARAMS.datasets.values()}
if devices.isdisjoint({"cuda", "mps"}):
    gpu = gpu_of_processes = 0


def prepared_data(wildcards):
    own_study = experiment(wildcards.experiment).study
    if wildcards.study != own_study:
        raise ConfigError(
            f"{wildcards.experiment} belongs to the study {own_study}, not to {wildcards.study}."
        )
    return f"data/prepared/{experiment(wildcards.experiment).dataset}"


def reference_data(wildcards):
    return f"data/reference/{experiment(wildcards.experiment).dataset}"


def trial_checkpoints(wildcards):
    place = f"results/{wildcards.study}/{wildcards.experiment}"
    number = len(experiment(wildcards.experiment).trials())
    return [f"{place}/{paths.SEARCH}/{trial}/checkpoints" for trial in range(1, number + 1)]


def selected(wildcards):
    """Return what the search of the experiment of a training selected."""
    return f"results/{wildcards.study}/{wildcards.experiment.partition('/')[0]}/{paths.SELECTED}"


# The trainings of experiments with a search: their configs have what it selects.
SEARCHED = "|".join(name for study in PARAMS.studies for name in PARAMS.study(study).searches)
SEARCHED = f"(?:{SEARCHED})(?:/repeats/[1-9][0-9]*)?" if SEARCHED else "(?!)"


def study_results(names, of_repeats):
    """Return an input function: these files of every experiment of a study, and of its repeats."""

    def files(wildcards):
        config = study(wildcards.study)
        experiments = set(config.experiments)
        found = []
        for training in config.trainings:
            place = f"results/{wildcards.study}/{training}"
            found += [f"{place}/{name}" for name in (names if training in experiments else of_repeats)]
        for name in config.searches:
            found += [
                f"results/{wildcards.study}/{name}/{file}" for file in (paths.SELECTED, paths.SELECT_RECORD)
            ]
        return found

    return files


def notebooks(wildcards):
    chapters = [chapter for chapter in study(wildcards.study).all_notebooks if chapter != WALKTHROUGH]
    return [local(f"report/{paths.notebook_name(chapter)}") for chapter in chapters]


def walkthrough(wildcards):
    """Return the folder of the chapter that has a stage of its own, if the study lists it."""
    has_chapter = WALKTHROUGH in study(wildcards.study).notebooks
    return [f"walkthrough/{wildcards.study}"] if has_chapter else []


def walkthrough_data(wildcards):
    members = [experiment(name) for name in study(wildcards.study).experiments]
    return f"data/prepared/{walkthrough_experiment(members).dataset}"
