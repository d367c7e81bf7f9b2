"""Forecast of a study's jobs, time and disk use, from rates measured on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latentbench.artifacts.dependencies import OF_REPEATS
from latentbench.config.budgets import Budget
from latentbench.config.datasets import DatasetConfig
from latentbench.config.experiments import (
    ExperimentConfig,
    training_names,
    walkthrough_experiment,
)
from latentbench.config.few_images import advice, lacks_augmentation
from latentbench.config.params import WALKTHROUGH, Params
from latentbench.evaluation.features.train_classifier import NUM_ROTATIONS
from latentbench.evaluation.real_scores import NUM_SETS
from latentbench.evaluation.reference import NUM_SPLITS
from latentbench.forecast.rates import (
    DatasetRates,
    ModelRates,
    measure_dataset_rates,
    measure_model_rates,
)
from latentbench.forecast.sizes import DatasetSizes, dataset_sizes
from latentbench.latent.model_probe import ode_limit
from latentbench.models.objective import Sampling
from latentbench.training.monitor import MAX_CODES, MAX_IMAGES

FLOAT_BYTES = 4
# Seconds that were observed with the demo and that do not depend on the model.
EPOCH_FILES = 0.1  # per epoch: write samples and history
EVOLUTION_FRAME = 0.1  # per epoch, at the end of the training
EVALUATION_ARRAYS = 3.0  # analysis of the last checkpoint
LATENT_ARRAYS = 5.0  # exploration apart from reconstruction and projection
# Reconstructions that take as long as all other images that an ODE encodes or decodes.
ODE_RECONSTRUCTIONS = 1_500
NOTEBOOK = 12.0  # per notebook: execute and render
WALKTHROUGH_TRAINING = 60.0  # at most
WALKTHROUGH_MODEL = 3.0  # per model: load, sample and reconstruct
WALKTHROUGH_BYTES = 20e6
REPORT_BYTES = 10e6


@dataclass(frozen=True)
class Job:
    """A job of a dataset, an experiment or the study (`subject`), and its wall time."""

    stage: str
    subject: str
    seconds: float
    disk_bytes: float


@dataclass(frozen=True)
class Forecast:
    """The jobs of a study, and the wall time with as many machines as it can use.

    `advice` has sentences on datasets with few training images.
    """

    jobs: tuple[Job, ...]
    critical_seconds: float
    advice: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Wall time of all jobs, one after another."""
        return sum(job.seconds for job in self.jobs)

    @property
    def disk_bytes(self) -> float:
        """Size of all outputs."""
        return sum(job.disk_bytes for job in self.jobs)


def forecast(
    params: Params, study: str, data: Path, *, start_seconds: float, log: Callable[[str], None]
) -> Forecast:
    """Measure rates for some seconds per experiment and return the forecast of a study.

    Args:
        params: The params.
        study: The study's name.
        data: The folder of prepared datasets.
        start_seconds: Seconds to start a job.
        log: Receives a line per measurement.

    Raises:
        ConfigError: There is no such study.
        DataError: The user's images cannot be read.
    """
    config = params.study(study)
    experiments = [params.experiment(name) for name in config.experiments]
    sizes: dict[str, DatasetSizes] = {}
    rates: dict[str, DatasetRates] = {}
    jobs: dict[str, list[Job]] = {}
    for name in config.datasets:
        log(f"Measuring {name}.")
        dataset = params.dataset(name)
        sizes[name] = dataset_sizes(dataset, data)
        first = next(experiment for experiment in experiments if experiment.dataset == name)
        rates[name] = measure_dataset_rates(dataset, first, sizes[name])
        jobs[name] = [
            _prepare_job(dataset, sizes[name], start_seconds),
            _reference_job(dataset, sizes[name], rates[name], start_seconds),
        ]
    all_jobs = [job for name in config.datasets for job in jobs[name]]
    critical_seconds = 0.0
    for experiment in experiments:
        log(f"Measuring {experiment.name}.")
        name = experiment.dataset
        model = measure_model_rates(experiment, sizes[name])
        own = [
            _train_job(experiment, sizes[name], model, start_seconds),
            _evaluate_job(experiment, sizes[name], model, rates[name], start_seconds),
            _explore_job(experiment, sizes[name], model, rates[name], start_seconds),
        ]
        all_jobs += own
        # Repeats run at the same time as the first training, and are not explored.
        path = _critical_path(jobs[name], own)
        critical_seconds = max(critical_seconds, path)
        for trial in experiment.trials():
            all_jobs.append(replace(own[0], subject=trial.name))
        if experiment.search:
            select = _select_job(experiment, sizes[name], model, rates[name], start_seconds)
            all_jobs.append(select)
            # The reported trainings wait for the trials.
            critical_seconds = max(critical_seconds, own[0].seconds + select.seconds + path)
        for repeat in training_names(experiment.name, experiment.repeats)[1:]:
            all_jobs += [replace(job, subject=repeat) for job in own if job.stage in OF_REPEATS]
    study_jobs = []
    if WALKTHROUGH in config.notebooks:
        trainings = {job.subject: job.seconds for job in all_jobs if job.stage == "train"}
        training = trainings[walkthrough_experiment(experiments).name]
        seconds = start_seconds + min(training, WALKTHROUGH_TRAINING)
        seconds += WALKTHROUGH_MODEL * len(experiments)
        study_jobs.append(Job(WALKTHROUGH, study, seconds, WALKTHROUGH_BYTES))
    seconds = start_seconds / 2 + NOTEBOOK * len(config.all_notebooks)
    study_jobs.append(Job("report", study, seconds, REPORT_BYTES))
    critical_seconds += sum(job.seconds for job in study_jobs)
    notes = _advice(experiments, sizes, params.budget)
    return Forecast((*all_jobs, *study_jobs), critical_seconds, notes)


def _advice(
    experiments: Sequence[ExperimentConfig], sizes: Mapping[str, DatasetSizes], budget: Budget
) -> tuple[str, ...]:
    """Return sentences on the datasets with few training images."""
    sentences = []
    for dataset, size in sizes.items():
        unaugmented = []
        for experiment in experiments:
            is_plain = lacks_augmentation(experiment.model.model_dump())
            if experiment.dataset == dataset and is_plain:
                unaugmented.append(experiment.name)
        found = advice(
            size.num_train,
            unaugmented=unaugmented,
            num_validation=size.num_validation,
            budget=budget,
        )
        sentences += [f"{dataset}: {sentence}" for sentence in found]
    return tuple(sentences)


def _critical_path(dataset_jobs: list[Job], experiment_jobs: list[Job]) -> float:
    """Return the longest chain of jobs of an experiment.

    Training needs the prepared images only; evaluate and explore need the reference, too.
    """
    prepare, reference = (job.seconds for job in dataset_jobs)
    train, evaluate, explore = (job.seconds for job in experiment_jobs)
    return prepare + max(reference, train) + max(evaluate, explore)


def _prepare_job(config: DatasetConfig, sizes: DatasetSizes, start_seconds: float) -> Job:
    num_images = sizes.num_train + sizes.num_test + sizes.num_validation
    decoding = num_images * sizes.decode_seconds / (os.cpu_count() or 1)
    disk_bytes = num_images * config.dataset.image_size**2 * config.dataset.channels
    return Job("prepare", config.name, start_seconds / 2 + decoding, disk_bytes)


def _reference_job(
    config: DatasetConfig, sizes: DatasetSizes, rates: DatasetRates, start_seconds: float
) -> Job:
    reference = config.dataset.reference
    num_real = sizes.num_train
    if reference.max_images is not None:
        num_real = min(num_real, reference.max_images)
    num_features = num_real + sizes.num_test
    seconds = start_seconds + num_features * rates.feature + num_real * sizes.num_test * rates.pair
    seconds += NUM_SPLITS * rates.distances
    if "classifier" in reference.extractors:
        # Without classes, the classifier is trained on each image in four rotations.
        copies = 1 if sizes.num_classes >= 2 else NUM_ROTATIONS
        steps = reference.epochs * sizes.num_train * copies / reference.batch_size
        seconds += reference.repeats * steps * rates.classifier_step
    disk_bytes = num_features * rates.feature_dim * FLOAT_BYTES
    return Job("reference", config.name, seconds, disk_bytes)


def _train_job(
    config: ExperimentConfig, sizes: DatasetSizes, model: ModelRates, start_seconds: float
) -> Job:
    training = config.training
    steps = sizes.num_train // training.batch_size
    num_monitored = min(sizes.num_train, MAX_IMAGES) + min(sizes.num_test, MAX_IMAGES)
    epoch = steps * model.step + num_monitored * model.validation
    epoch += training.sample_grid**2 * model.sample + EPOCH_FILES + EVOLUTION_FRAME
    seconds = start_seconds + training.epochs * epoch
    if config.model.prior_kind != "standard":
        # Fitting a prior takes about as long as decoding the images whose codes it is fitted to.
        num_codes = min(sizes.num_train, MAX_CODES)
        seconds += len(training.checkpoint_epochs) * num_codes * model.validation
    disk_bytes = len(training.checkpoint_epochs) * model.weight_bytes + model.state_bytes
    return Job("train", config.name, seconds, disk_bytes)


def _evaluate_job(
    config: ExperimentConfig,
    sizes: DatasetSizes,
    model: ModelRates,
    rates: DatasetRates,
    start_seconds: float,
) -> Job:
    num_samples = config.evaluation.num_samples
    num_priors = 1 if config.model.prior_kind == "standard" else 2
    num_sets = num_priors * len(config.training.checkpoint_epochs) * config.evaluation.num_seeds
    sampling = num_samples * (model.sample + rates.feature)
    distances = rates.distances + num_samples * sizes.num_train * rates.pair
    seconds = start_seconds + EVALUATION_ARRAYS + num_sets * (sampling + distances)
    for steps in config.other_sampling_steps():
        own_steps: int = getattr(config.model, "sampling_steps", steps)
        own, other = Sampling(own_steps), Sampling(steps)
        share = other.decoding_evaluations / own.decoding_evaluations
        seconds += num_samples * (model.sample * share + rates.feature)
        seconds += rates.distances
    if model.has_likelihood:
        num_images = min(config.evaluation.num_likelihood_images, sizes.num_test)
        seconds += num_images * config.evaluation.importance_samples * model.sample
    seconds += NUM_SETS * rates.distances  # of test images
    num_sets += len(config.other_sampling_steps())
    disk_bytes = num_sets * num_samples * rates.feature_dim * FLOAT_BYTES
    return Job("evaluate", config.name, seconds, disk_bytes)


def _select_job(
    config: ExperimentConfig,
    sizes: DatasetSizes,
    model: ModelRates,
    rates: DatasetRates,
    start_seconds: float,
) -> Job:
    num_samples = config.evaluation.num_samples
    num_sets = len(config.trials()) * config.evaluation.num_seeds
    seconds = start_seconds + sizes.num_validation * rates.feature
    seconds += num_sets * num_samples * (model.sample + rates.feature)
    disk_bytes = num_sets * num_samples * rates.feature_dim * FLOAT_BYTES
    return Job("select", config.name, seconds, disk_bytes)


def _explore_job(
    config: ExperimentConfig,
    sizes: DatasetSizes,
    model: ModelRates,
    rates: DatasetRates,
    start_seconds: float,
) -> Job:
    latent = config.latent
    seconds = start_seconds + LATENT_ARRAYS
    if config.model.sampling_settings:
        # Other models encode codes for means and directions, and decode walks, in no time.
        num_images = ode_limit(latent.num_encoded)
        num_codes = min(ode_limit(latent.num_projected), sizes.num_test)
        seconds += (2 * num_images + ODE_RECONSTRUCTIONS) * model.reconstruction
        seconds += num_codes * (model.reconstruction / 2 + rates.projection)
    elif config.model.has_encoder:
        num_images = latent.num_encoded
        seconds += 2 * num_images * model.reconstruction
        seconds += min(latent.num_projected, sizes.num_test) * rates.projection
    else:
        num_images = latent.num_inverted
        seconds += (2 * num_images + 2 * latent.num_pairs) * model.reconstruction
    disk_bytes = 2 * num_images * config.image_size**2 * config.channels
    return Job("explore", config.name, seconds, disk_bytes)
