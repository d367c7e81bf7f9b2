"""What the rules share: validated parameters, and which files, sources and settings each stage has.

Rules are written once per experiment, dataset and study, named as DVC names its stages (train@vae): what a
stage writes depends on its settings, and a rule with wildcards could not list it file by file. Their shell
commands read names from params: Snakemake formats a command when the loop is long over.
"""

import json
import os
import re
import sys
from functools import cache
from itertools import dropwhile, takewhile
from pathlib import Path

from snakemake.utils import validate

from latentbench.artifacts import paths, dependencies
from latentbench.config.load import parse_params, read_yaml
from latentbench.errors import ConfigError

# Where the environment is not activated, as in a cluster's jobs, its commands are found beside its Python.
os.environ |= {
    "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
}
PACKAGE = Path("src/latentbench")
PARAMS_FILES = [
    path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    for path in map(Path, workflow.overwrite_configfiles)
]


def checked_params():
    """The params file with what --config lays over it; a fault ends here, in one sentence."""
    where = ", ".join(map(str, PARAMS_FILES)) or "params.yaml"
    try:
        return parse_params(config, where=where)
    except ConfigError as error:
        sys.exit(f"Error: {error}")


def copies():
    """The folder of the copies that a job has of files in a storage, which commands are told of; else none."""
    provider = workflow.storage_registry.default_storage_provider
    if provider is None:
        return ""
    some = f"{workflow.storage_settings.default_storage_prefix}/data".lstrip("/")
    return f"{provider.object(some).local_path().parent}/"


PARAMS = checked_params()
COPIES = copies()
validate(
    PARAMS.model_dump(mode="json", exclude_unset=True), "../schemas/params.schema.json", set_default=False
)

DATASETS = {name: PARAMS.dataset(name) for name in PARAMS.datasets}
EXPERIMENTS = {name: PARAMS.experiment(name) for name in PARAMS.experiments}
STUDIES = {name: PARAMS.study(name) for name in PARAMS.studies}

# What a job's own Snakemake, on a cluster, is told that it may run. It makes these rules alone: where there are many
# experiments, all of them would take longer than most dependencies.
ALLOWED = [*takewhile(lambda word: word[:1] != "-", [*dropwhile("--allowed-rules".__ne__, sys.argv)][1:])]

# What reports are made with, beside their notebooks. dvc.yaml lists the same.
REPORT_PARTS = ("page.html", "page.lua", "page.typ", "style.css", "references.bib")


@cache
def source_files(stage):
    """The Python files that a stage runs."""
    return [str(file) for file in dependencies.source_files(stage, PACKAGE)]


def here(files):
    """Files of this clone, whatever storage the others lie in. Snakemake runs a job that has some on the spot."""
    return [local(str(file)) for file in files] if COPIES else files


def sources(stage):
    """The Python files that a stage runs; with a storage, the params of those that run elsewhere tell of them."""
    return [] if COPIES and stage in dependencies.SETTINGS else here(source_files(stage))


@cache
def digest(stage, *parts):
    """What tells one state of a stage's sources from another.

    Jobs have it among their params: by inputs alone Snakemake misses a source that is gone, and one that has
    come with an older time, as from an archive; and where files lie in a storage, sources are no inputs.
    """
    return dependencies.code_sha256(stage, PACKAGE, also=map(Path, parts))


def params_for(kind, name):
    """A params file with this entry alone, so that a change elsewhere does not concern who reads it."""
    text = json.dumps(PARAMS.excerpt(kind, name))
    # What looks like a wildcard to Snakemake, as in the name of a zip, is written by its code point.
    return re.sub(r"\{(\w+)\}", r"\\u007b\1}", text)


def settings(stage, resolved):
    return dependencies.settings_of(stage, resolved.model_dump(mode="json"))


@cache
def resolved_content(path):
    try:
        return read_yaml(Path(path))
    except ConfigError:
        return None


def is_current(path, content):
    """Whether a resolved config has this content, beside what else it may have; a storage is not asked."""
    found = None if COPIES else resolved_content(path)
    return isinstance(found, dict) and all(found.get(key) == value for key, value in content.items())


def changed_config(stage, path, resolved):
    """The config as an input if this run changes what the stage reads of it, else nothing.

    A job that depends on `configure` reruns with it, whatever was changed; and of a job whose only link to it
    is ancient(), Snakemake no longer asks whether its own settings or sources changed.
    """
    return [] if is_current(path, settings(stage, resolved)) else [path]


def changed_params(path, resolved):
    """The params file as an input if the config that was resolved from it is out of date, else nothing.

    Its settings tell Snakemake so too, but not of a config that DVC wrote.
    """
    return [] if is_current(path, resolved.model_dump(mode="json")) else here(PARAMS_FILES)


# What a cluster gives one job of each stage: MB of memory and minutes. The demo's jobs were measured to hold 0.7 GB, in
# training, to 1.1 GB, in the reference (records in results/*/*/provenance say so of any run), and to take two minutes
# at most; 50,000 images with Inception's features stay within 2 GB. The rest is room for larger images and models.
NEEDS = {
    "fetch": (2_000, 720),
    "prepare": (4_000, 240),
    "reference": (6_000, 240),
    "train": (4_000, 1_440),
    "evaluate": (6_000, 240),
    "explore": (4_000, 240),
    "report": (4_000, 30),
}


def memory(stage, resources=None):
    """MB, twice as much from the second try."""
    asked = resources.memory_mb if resources and resources.memory_mb else NEEDS[stage][0]
    return lambda wildcards, attempt: asked * min(attempt, 2)


def minutes(stage, resources=None):
    """Twice as much from the second try, but of training, which goes on where it was: a limit can be its queue's."""
    asked = resources.runtime_minutes if resources and resources.runtime_minutes else NEEDS[stage][1]
    return lambda wildcards, attempt: asked * (1 if stage == "train" else min(attempt, 2))


def of_this_job(entries):
    """Those whose rules are to be made: of a whole run, all."""
    names = {rule.partition("@")[2] for rule in ALLOWED} if ALLOWED else set(entries)
    return {name: entry for name, entry in entries.items() if name in names}


def gpus(compute, processes=1):
    """GPUs to reserve, one for each process; `auto` takes what is there and waits for none."""
    return processes if compute.device == "cuda" else 0


def raw_manifest(dataset):
    return f"data/raw/{dataset}/source.json"


def prepared_files(dataset):
    names = paths.prepared_files(has_attributes=DATASETS[dataset].dataset.has_attributes)
    return [f"data/prepared/{dataset}/{name}" for name in names]


def reference_files(dataset):
    extractors = DATASETS[dataset].dataset.reference.extractors
    return [f"data/reference/{dataset}/{name}" for name in paths.reference_files(extractors)]


def data_record(stage, dataset):
    return f"data/provenance/{dataset}/{stage}.json"


def results(experiment):
    return f"results/{EXPERIMENTS[experiment].study}/{experiment}"


def checkpoints(experiment):
    epochs = EXPERIMENTS[experiment].training.checkpoint_epochs
    return [paths.checkpoint_path(Path(results(experiment)), epoch) for epoch in epochs]


def samples(experiment):
    epochs = EXPERIMENTS[experiment].training.checkpoint_epochs
    return [paths.samples_path(Path(results(experiment)), epoch) for epoch in epochs]


def reconstructions(experiment):
    """A picture, of models that encode."""
    has_encoder = EXPERIMENTS[experiment].model.has_encoder
    return [f"{results(experiment)}/{paths.RECONSTRUCTIONS}"] if has_encoder else []


def result_files(experiment):
    """What the report reads of an experiment."""
    trained = (paths.ARCHITECTURE, paths.HISTORY, paths.ITERATIONS)
    records = map(paths.record_name, dependencies.OF_EXPERIMENTS)
    measured = (paths.METRICS, paths.LAST_METRICS, paths.EVALUATION_ARRAYS)
    names = (paths.CONFIG, *trained, *measured, paths.LATENT_ARRAYS, paths.LATENT_FACTS, *records)
    pictures = [
        *samples(experiment),
        f"{results(experiment)}/{paths.EVOLUTION[0]}",
        *reconstructions(experiment),
    ]
    return [*(f"{results(experiment)}/{name}" for name in names), *pictures]


def handed_in(experiment):
    """What is packed of an experiment: the last checkpoint, and what describes it."""
    return [checkpoints(experiment)[-1], *(f"{results(experiment)}/{name}" for name in paths.SUBMITTED_FILES)]


def report_page(study):
    return f"report/{study}/{paths.PAGE}"


def report_files(study):
    names = [paths.notebook_name(chapter) for chapter in STUDIES[study].notebooks]
    return [f"report/{study}/{name}" for name in (*names, paths.PDF, paths.REPORT_RECORD)]


def report_parts(study):
    """The notebooks of a study, and what makes documents of them."""
    chapters = [paths.notebook_name(chapter) for chapter in STUDIES[study].notebooks]
    return here([f"report/{part}" for part in (*chapters, *REPORT_PARTS)])


def handin_file(study):
    return f"handin/{study}/{STUDIES[study].archive_file_name(study)}"


def target_files(study):
    """A study's report, and the settings of its datasets, which no job asks for while they stay the same."""
    return [report_page(study), *(f"data/config/{dataset}.yaml" for dataset in STUDIES[study].datasets)]
