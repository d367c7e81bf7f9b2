"""What a study will take, before it runs: jobs, time and disk, from what its parts take here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from latentbench.config.experiments import ExperimentConfig
from latentbench.config.params import Params
from latentbench.evaluation.classifier import FEATURE_DIM
from latentbench.evaluation.train_classifier import ROTATIONS
from latentbench.forecast.rates import (
    INCEPTION_DIM,
    MeasureRates,
    ModelRates,
    measure_rates,
    model_rates,
)
from latentbench.forecast.sizes import Sizes, sizes_of
from latentbench.training.monitor import MAX_IMAGES

FLOAT = 4  # bytes
# Seconds that were seen with the demo and do not depend on the model: of an epoch's pictures and files, of what is
# written at the end of a training per epoch, of a closer look at the last checkpoint, of what else is explored, and of
# a notebook of the report, which is executed and drawn.
PER_EPOCH = 0.1
PER_FRAME = 0.1
EVALUATION_ARRAYS = 3.0
LATENT_FACTS = 5.0
NOTEBOOK = 12.0
REPORT_BYTES = 10e6


@dataclass(frozen=True)
class Job:
    """`subject` is a dataset, an experiment or the study; seconds on the clock with the threads that it asks for."""

    stage: str
    subject: str
    seconds: float
    disk_bytes: float


@dataclass(frozen=True)
class Forecast:
    jobs: tuple[Job, ...]
    critical_seconds: float  # with as many machines as there are jobs

    @property
    def seconds(self) -> float:
        """One job after another."""
        return sum(job.seconds for job in self.jobs)

    @property
    def disk_bytes(self) -> float:
        return sum(job.disk_bytes for job in self.jobs)


def forecast(
    params: Params, study: str, data: Path, *, seconds_to_start: float, tell: Callable[[str], None]
) -> Forecast:
    """Measure for some seconds per experiment, and add up. `tell` is told what is measured.

    Raises ConfigError where there is no such study, and DataError where its own pictures cannot be read.
    """
    config = params.study(study)
    experiments = [params.experiment(name) for name in config.experiments]
    sizes: dict[str, Sizes] = {}
    measures: dict[str, MeasureRates] = {}
    of_data: dict[str, list[Job]] = {}
    for name in config.datasets:
        tell(f"Measuring {name}.")
        dataset = params.dataset(name)
        sizes[name] = sizes_of(dataset, data)
        first = next(experiment for experiment in experiments if experiment.dataset == name)
        measures[name] = measure_rates(dataset, first, sizes[name])
        of_data[name] = list(
            _data_jobs(params, name, sizes[name], measures[name], seconds_to_start)
        )
    of_experiments: dict[str, list[Job]] = {}
    for experiment in experiments:
        tell(f"Measuring {experiment.name}.")
        own, measure = sizes[experiment.dataset], measures[experiment.dataset]
        rates = model_rates(experiment, own)
        of_experiments[experiment.name] = list(
            _experiment_jobs(experiment, own, rates, measure, seconds_to_start)
        )
    report = Job(
        "report", study, seconds_to_start / 2 + NOTEBOOK * len(config.notebooks), REPORT_BYTES
    )
    chains = [_critical(of_data[each.dataset], of_experiments[each.name]) for each in experiments]
    jobs = [
        job for group in (*of_data.values(), *of_experiments.values(), [report]) for job in group
    ]
    return Forecast(tuple(jobs), max(chains, default=0.0) + report.seconds)


def _critical(of_data: list[Job], of_experiment: list[Job]) -> float:
    """Training needs the pictures alone; the other stages wait for both it and the reference."""
    prepare, reference = (job.seconds for job in of_data)
    train, evaluate, explore = (job.seconds for job in of_experiment)
    return prepare + max(reference, train) + max(evaluate, explore)


def _data_jobs(
    params: Params, name: str, sizes: Sizes, rates: MeasureRates, seconds_to_start: float
) -> Iterable[Job]:
    dataset = params.dataset(name).dataset
    reference = dataset.reference
    number = sizes.num_train + sizes.num_test
    pixels = dataset.image_size**2 * dataset.channels
    yield Job(
        "prepare",
        name,
        seconds_to_start / 2 + number * sizes.per_picture / (os.cpu_count() or 1),
        number * pixels,
    )
    copies = 1 if sizes.num_classes >= 2 else ROTATIONS
    learning = reference.epochs * sizes.num_train * copies / reference.batch_size * rates.learn
    learning = learning if "classifier" in reference.extractors else 0.0
    described = (
        sizes.num_train
        if reference.max_images is None
        else min(reference.max_images, sizes.num_train)
    )
    searching = described * sizes.num_test * rates.search
    seconds = (
        seconds_to_start + learning + (described + sizes.num_test) * rates.describe + searching
    )
    dim = (FEATURE_DIM if "classifier" in reference.extractors else 0) + (
        INCEPTION_DIM if "inception" in reference.extractors else 0
    )
    yield Job("reference", name, seconds, (described + sizes.num_test) * dim * FLOAT)


def _experiment_jobs(
    config: ExperimentConfig,
    sizes: Sizes,
    model: ModelRates,
    measure: MeasureRates,
    seconds_to_start: float,
) -> Iterable[Job]:
    training, evaluation, latent = config.training, config.evaluation, config.latent
    checkpoints = len(training.checkpoint_epochs)
    steps = sizes.num_train // training.batch_size
    looked_at = min(sizes.num_train, MAX_IMAGES) + min(sizes.num_test, MAX_IMAGES)
    epoch = (
        steps * model.step
        + looked_at * model.look
        + training.sample_grid**2 * model.sample
        + PER_EPOCH
    )
    seconds = seconds_to_start + training.epochs * (epoch + PER_FRAME)
    yield Job("train", config.name, seconds, checkpoints * model.weights + model.state)

    drawn = evaluation.num_samples
    sampling = drawn * (model.sample + measure.describe)
    beside = measure.compare + drawn * sizes.num_train * measure.search
    seconds = (
        seconds_to_start
        + EVALUATION_ARRAYS
        + checkpoints * evaluation.num_seeds * (sampling + beside)
    )
    kept = checkpoints * evaluation.num_seeds * drawn * FEATURE_DIM * FLOAT
    yield Job("evaluate", config.name, seconds, kept)

    number = latent.num_encoded if config.model.has_encoder else latent.num_inverted
    pairs = 0 if config.model.has_encoder else 2 * latent.num_pairs
    reconstructing = (2 * number + pairs) * model.reconstruct
    mapping = (
        min(latent.num_projected, sizes.num_test) * measure.map if config.model.has_encoder else 0.0
    )
    seconds = seconds_to_start + LATENT_FACTS + reconstructing + mapping
    pixels = config.image_size**2 * config.channels
    yield Job("explore", config.name, seconds, 2 * number * pixels)
