"""The stage `walkthrough`: a notebook with the whole process in code, run on a study's models."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latentbench.artifacts import paths
from latentbench.artifacts.dependencies import OF_REPEATS
from latentbench.artifacts.files import write_text, write_together
from latentbench.artifacts.progress import log
from latentbench.artifacts.provenance import write_record
from latentbench.config.budgets import Budget
from latentbench.config.experiments import ExperimentConfig, walkthrough_experiment
from latentbench.config.load import read_config
from latentbench.config.models import DiscriminatorModel
from latentbench.config.params import WALKTHROUGH, StudyConfig
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ArtifactError
from latentbench.notebook import execute, notebook_text, read_notebook, with_parameters
from latentbench.results.study import Study, open_study
from latentbench.walkthrough.sample import write_sample

# The training in the notebook, in multiply-adds: about a minute, or ten seconds, on one core.
MULTIPLY_ADDS: dict[Budget, float] = {"full": 1e12, "small": 1.5e11}

NOTEBOOK = paths.notebook_name(WALKTHROUGH)

# Tags of the template's cells start with this. A cell is kept if the rest of each tag is a fact.
CONDITION = "if-"


def build_walkthrough(results: Path, data: Path, sources: Path, output: Path) -> None:
    """Write the executed notebook, the sample of images that it reads, and its record.

    Without this chapter in the study, the folder `output` is empty. The same results give the same
    bytes.

    Args:
        results: results/STUDY.
        data: data/prepared.
        sources: The project's report folder, with the template.
        output: walkthrough/STUDY.

    Raises:
        ArtifactError: Something is missing or damaged, or a cell fails.
    """
    config = read_config(results / paths.STUDY, StudyConfig)
    output.mkdir(parents=True, exist_ok=True)
    if WALKTHROUGH not in config.notebooks:
        for path in sorted(output.iterdir()):  # of an earlier run
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return
    template = sources / NOTEBOOK
    if not template.is_file():
        raise ArtifactError(
            f"{template} is missing; give the project's report folder as --sources."
        )
    study = open_study(results)
    experiments = [
        read_config(results / name / paths.CONFIG, ExperimentConfig) for name in config.experiments
    ]
    trained = walkthrough_experiment(experiments)
    members = [each for each in experiments if each.dataset == trained.dataset]
    log(f"Running the walkthrough of {config.name}: {trained.name} on {trained.dataset}")
    dataset = PreparedDataset.open(data / trained.dataset)
    (output / paths.REPORT_RECORD).unlink(missing_ok=True)
    with write_together(output, last=NOTEBOOK) as staged:
        sample = staged / paths.WALKTHROUGH_DATA / trained.dataset
        write_sample(dataset, sample, min_train=trained.training.batch_size)
        share = _num_train(PreparedDataset.open(sample)) / _num_train(dataset)
        parameters = {
            "results": paths.relative_path(results, staged),
            "data": paths.WALKTHROUGH_DATA,
            "experiment": trained.name,
            "models": [each.name for each in members],
            "epochs": _num_epochs(trained, study, _num_train(dataset), share),
        }
        kept = staged / ".template.ipynb"
        notebook = read_notebook(template)
        notebook.cells = applicable_cells(notebook, facts_of(trained, experiments))
        write_text(kept, notebook_text(notebook))
        notebook = execute(kept, staged, parameters)
        kept.unlink()
        notebook = with_parameters(notebook, {"results": paths.relative_path(results, output)})
        write_text(staged / NOTEBOOK, notebook_text(notebook))
    _delete_other_samples(output / paths.WALKTHROUGH_DATA, trained.dataset)
    records = [
        results / each.name / paths.record_name(stage) for each in members for stage in OF_REPEATS
    ]
    write_record(
        output / paths.REPORT_RECORD,
        WALKTHROUGH,
        settings=config.model_dump(mode="json"),
        inputs=[results / paths.STUDY, *records, data / trained.dataset / paths.DATASET_MANIFEST],
        outputs=[output / NOTEBOOK, *sorted((output / paths.WALKTHROUGH_DATA).rglob("*.*"))],
        cost=None,
    )
    log(f"{output / NOTEBOOK} is written.")


def _delete_other_samples(folder: Path, kept: str) -> None:
    """Delete the samples of datasets that earlier runs used."""
    for path in sorted(folder.iterdir()):
        if path.name != kept:
            shutil.rmtree(path)


def facts_of(trained: ExperimentConfig, experiments: Sequence[ExperimentConfig]) -> set[str]:
    """Return what cells of the template can be conditional on."""
    model = trained.model
    facts = {model.name, "conditional" if model.condition else "unconditional"}
    if model.has_encoder:
        facts.add("encoder")
    if isinstance(model, DiscriminatorModel):
        facts.add("gan")
    # The value of a VAE's likelihood, or of a GAN's loss.
    facts |= {getattr(model, key) for key in ("likelihood", "loss") if hasattr(model, key)}
    members = [each for each in experiments if each.dataset == trained.dataset]
    if len(members) < len(experiments):
        facts.add("datasets")
    is_conditional = any(each.model.condition for each in members)
    facts.add("some_conditional" if is_conditional else "all_unconditional")
    facts.add("encoders" if trained.model.has_encoder else "no_encoders")
    return facts


def applicable_cells(template: Any, facts: set[str]) -> list[Any]:
    """Return the cells of the template whose conditions are all facts."""
    cells = []
    for cell in template.cells:
        tags = cell.metadata.get("tags", [])
        conditions = {tag.removeprefix(CONDITION) for tag in tags if tag.startswith(CONDITION)}
        if conditions <= facts:
            cells.append(cell)
    return cells


def _num_train(dataset: PreparedDataset) -> int:
    return dataset.manifest.train.num_images


def _num_epochs(trained: ExperimentConfig, study: Study, num_images: int, share: float) -> int:
    """Return how many epochs of the sample take about a minute, at most the experiment's steps.

    The number depends on the size of the networks, not on a clock: each run is the same. The sample
    has this share of `num_images` training images.
    """
    layers = study.layers
    own = layers[layers["experiment"] == trained.name] if len(layers) else layers
    if not len(own):
        raise ArtifactError(
            f"{study.folder / trained.name / paths.ARCHITECTURE} is missing; train it again."
        )
    passes = trained.model.walkthrough_passes * int(own["multiply_adds"].sum())
    epochs = MULTIPLY_ADDS[study.config.budget] / (passes * num_images)
    return max(1, round(min(epochs, trained.training.epochs) / share))
