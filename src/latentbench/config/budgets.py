"""What a study costs: in full as its params say, or small, cut down to minutes for a first look."""

from __future__ import annotations

from typing import Literal, TypeVar

from latentbench.config.base import Section
from latentbench.config.datasets import Dataset
from latentbench.config.experiments import Experiment

Budget = Literal["full", "small"]
SectionT = TypeVar("SectionT", bound=Section)
DatasetT = TypeVar("DatasetT", bound=Dataset)

# No setting is raised to these, only lowered.
NUM_TRAIN_IMAGES = 2_000
REFERENCE = {"epochs": 2}
TRAINING = {"epochs": 5, "batch_size": 32, "log_every": 10}
WIDTH = 16
EVALUATION = {"num_samples": 500, "num_seeds": 2, "kid_subset_size": 250}
LATENT = {
    "num_encoded": 250,
    "num_inverted": 16,
    "num_projected": 500,
    "inversion_starts": 128,
    "inversion_steps": 50,
}


def small_dataset(dataset: DatasetT) -> DatasetT:
    """A share of the training images, measured by a feature network that is trained a little and not downloaded."""
    asked = dataset.max_train_images
    number = NUM_TRAIN_IMAGES if asked is None else min(asked, NUM_TRAIN_IMAGES)
    reference = _at_most(dataset.reference, REFERENCE).model_copy(
        update={"extractors": ["classifier"]}
    )
    return dataset.model_copy(update={"max_train_images": number, "reference": reference})


def small_experiment(experiment: Experiment) -> Experiment:
    """Fewer epochs and checkpoints, narrower networks, fewer images to measure and explore with."""
    training = _at_most(experiment.training, TRAINING)
    if training.checkpoints is not None:
        kept = [epoch for epoch in training.checkpoints if epoch <= training.epochs]
        training = training.model_copy(update={"checkpoints": kept})
    return experiment.model_copy(
        update={
            "model": _at_most(experiment.model, {"width": WIDTH}),
            "training": training,
            "evaluation": _at_most(experiment.evaluation, EVALUATION),
            "latent": _at_most(experiment.latent, LATENT),
        }
    )


def _at_most(section: SectionT, limits: dict[str, int]) -> SectionT:
    return section.model_copy(
        update={key: min(getattr(section, key), limit) for key, limit in limits.items()}
    )
