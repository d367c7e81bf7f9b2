"""The small budget: a study cut down to minutes, for a first look."""

from __future__ import annotations

from typing import Literal, TypeVar

from latentbench.config.base import Section
from latentbench.config.datasets import Dataset
from latentbench.config.experiments import Experiment

Budget = Literal["full", "small"]
SectionT = TypeVar("SectionT", bound=Section)
DatasetT = TypeVar("DatasetT", bound=Dataset)

# Upper limits of the small budget: smaller settings stay as they are.
MAX_TRAIN_IMAGES = 2_000
REFERENCE = {"epochs": 2, "repeats": 1}
TRAINING = {"epochs": 5, "batch_size": 32, "log_every": 10}
WIDTH = 16
EVALUATION = {
    "num_samples": 500,
    "num_seeds": 2,
    "kid_subset_size": 250,
    "importance_samples": 100,
    "num_likelihood_images": 50,
}
LATENT = {
    "num_encoded": 250,
    "num_inverted": 16,
    "num_projected": 500,
    "inversion_starts": 128,
    "inversion_steps": 50,
}


def small_dataset(dataset: DatasetT) -> DatasetT:
    """Return the dataset with fewer training images and a classifier as the only feature network.

    The classifier is trained for fewer epochs. Pretrained networks are left out: they would be
    downloaded.
    """
    max_images = dataset.max_train_images
    if max_images is None or max_images > MAX_TRAIN_IMAGES:
        max_images = MAX_TRAIN_IMAGES
    reference = _limit(dataset.reference, REFERENCE)
    reference = reference.model_copy(update={"extractors": ["classifier"]})
    return dataset.model_copy(update={"max_train_images": max_images, "reference": reference})


def small_experiment(experiment: Experiment) -> Experiment:
    """Return the experiment with fewer epochs, channels and evaluated images.

    It is trained once, without a search.
    """
    processes = experiment.training.processes
    # A multiple of the processes, with at least two images for each.
    batch_size = processes * max(2, TRAINING["batch_size"] // processes)
    training = _limit(experiment.training, TRAINING | {"batch_size": batch_size})
    if training.checkpoints is not None:
        kept = [epoch for epoch in training.checkpoints if epoch <= training.epochs]
        training = training.model_copy(update={"checkpoints": kept})
    return experiment.model_copy(
        update={
            "repeats": 1,
            "search": {},
            "model": _limit(experiment.model, {"width": WIDTH, "discriminator_width": WIDTH}),
            "training": training,
            "evaluation": _limit(experiment.evaluation, EVALUATION),
            "latent": _limit(experiment.latent, LATENT),
        }
    )


def _limit(section: SectionT, limits: dict[str, int]) -> SectionT:
    """Return the section with no setting above its limit; some sections lack some settings."""
    lowered = {}
    for key, limit in limits.items():
        value = getattr(section, key, None)
        if value is not None:
            lowered[key] = min(value, limit)
    return section.model_copy(update=lowered)
