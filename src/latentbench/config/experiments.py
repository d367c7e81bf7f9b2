"""The schema of an experiment: model, training, evaluation and latent exploration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from latentbench.config.base import Compute, Count, Name, Section, Seed, TrainingName
from latentbench.config.datasets import Channels, ImageSize
from latentbench.config.models import AnyModel, training_model
from latentbench.errors import quote, shorten


class Training(Section):
    """How long and how a model is trained."""

    epochs: Count = Field(default=20, ge=1, description="Epochs, counted in real images seen.")
    checkpoints: list[Annotated[Count, Field(ge=1)]] | None = Field(
        default=None,
        description="Epochs with a checkpoint, which is kept and evaluated. The last epoch always "
        "has one. Null is four, evenly spaced.",
    )
    batch_size: Count = Field(default=64, ge=2, description="Images per step.")
    flip: bool = Field(default=False, description="Flip half of the training images horizontally.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="`auto` is bfloat16 on a GPU that supports it, else float32."
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Processes of data-parallel training, each with its shard of every batch; one "
        "GPU each if there are GPUs.",
    )
    compile: bool = Field(
        default=False, description="torch.compile the networks, which pays off in long GPU runs."
    )
    sample_grid: int = Field(
        default=8,
        ge=2,
        le=16,
        description="Rows and columns of the sample grid. Conditional models have a column per "
        "label, as far as these fit into 16,383 pixels.",
    )
    log_every: Count = Field(
        default=50, ge=1, description="Steps between logged rows and divergence checks."
    )

    @model_validator(mode="after")
    def _check_checkpoints(self) -> Training:
        if self.checkpoints and max(self.checkpoints) > self.epochs:
            raise ValueError(
                f"has a checkpoint at epoch {max(self.checkpoints)}, but only {self.epochs} "
                "epochs; raise epochs or remove the checkpoint"
            )
        return self

    @model_validator(mode="after")
    def _check_processes(self) -> Training:
        if self.batch_size % self.processes or self.batch_size == self.processes:
            raise ValueError(
                f"has batch_size: {self.batch_size} for {self.processes} processes; use a multiple "
                f"of {self.processes}, with at least two images per process"
            )
        if self.compile and self.processes > 1:
            raise ValueError(
                "has compile: true and several processes, which cannot be combined; remove one of "
                "the two"
            )
        return self

    @property
    def checkpoint_epochs(self) -> list[int]:
        """Epochs with a checkpoint, ascending, including the last epoch."""
        if self.checkpoints is None:
            return sorted({max(1, round(self.epochs * quarter / 4)) for quarter in (1, 2, 3, 4)})
        return sorted({*self.checkpoints, self.epochs})


class Evaluation(Section):
    """How checkpoints are measured."""

    num_samples: Count = Field(
        default=5_000, ge=2, description="Generated images per seed and checkpoint."
    )
    num_seeds: Count = Field(
        default=3, ge=1, description="Sets of samples. The spread of a metric is over these."
    )
    batch_size: Count = Field(default=250, ge=1, description="Images per forward pass.")
    kid_subsets: Count = Field(
        default=100,
        ge=1,
        description="Subsets per set of samples for KID (Bińkowski et al., 2018).",
    )
    kid_subset_size: Count = Field(default=1_000, ge=2, description="Images per subset.")
    num_neighbors: Count = Field(
        default=5,
        ge=1,
        description="k of precision, recall, density and coverage (Naeem et al., 2020, section "
        "4.1).",
    )
    importance_samples: Count = Field(
        default=500,
        ge=0,
        description="Draws per image of the importance-weighted bound on a VAE's likelihood "
        "(Burda et al., 2016), after the last epoch; 0 is no bound.",
    )
    num_likelihood_images: Count = Field(
        default=64, ge=2, description="Test images whose likelihood is bounded."
    )
    sampling_steps: list[Annotated[Count, Field(ge=1, le=1000)]] = Field(
        default=[1, 2, 5, 10],
        description="Of a diffusion model: numbers of sampling steps whose distances and time are "
        "measured after the last epoch, each with one set of samples. The number in `model` is "
        "always measured.",
    )


class Latent(Section):
    """How the latent space of the last checkpoint is explored."""

    num_samples: Count = Field(default=64, ge=1, description="Random samples from the prior.")
    num_reconstructions: Count = Field(
        default=16, ge=1, description="Test images shown with their reconstructions."
    )
    num_encoded: Count = Field(
        default=1_000,
        ge=1,
        description="Images of each split to encode and reconstruct; a tenth for diffusion models.",
    )
    num_inverted: Count = Field(
        default=64,
        ge=1,
        description="Images of each split to invert, for models without an encoder.",
    )
    num_projected: Count = Field(
        default=1_500,
        ge=2,
        description="Test images whose codes are projected to two dimensions; a tenth for "
        "diffusion models.",
    )
    num_pairs: Count = Field(
        default=6, ge=1, description="Pairs of test images to interpolate between."
    )
    num_points: Count = Field(
        default=8, ge=2, description="Images along a path, both ends included."
    )
    inversion_starts: Count = Field(
        default=512,
        ge=1,
        description="Random latents. The one with the nearest image is the start.",
    )
    inversion_steps: Count = Field(default=200, ge=0, description="Adam steps on the latent.")
    inversion_learning_rate: float = Field(
        default=0.05, gt=0, description="Learning rate of these steps."
    )


class Resources(Section):
    """Memory and time of each job on a cluster. Failed jobs are retried with twice the memory."""

    memory_mb: Count | None = Field(
        default=None,
        ge=100,
        description="Memory in MB; null is the workflow's default for the stage.",
    )
    runtime_minutes: Count | None = Field(
        default=None, ge=1, description="Minutes; null is the workflow's default for the stage."
    )


# How often an experiment is trained.
Repeats = Annotated[
    int,
    Field(
        ge=1,
        le=1_000,
        description="Trainings with the seeds seed, seed + 1, …; the report has their mean and "
        "standard deviation. The latent space is explored after the first.",
    ),
]
_MAX_SEED = 2**63 - 1

# Settings of the model to try, with their values.
Search = dict[str, Annotated[list[Any], Field(min_length=1)]]
MAX_TRIALS = 64
# The trials of a search have one seed, which no training that is reported has.
TRIAL_SEED_OFFSET = 1_000_000


class Experiment(Section):
    """One entry under `experiments`."""

    study: Name = Field(description="The study whose report compares this experiment.")
    dataset: Name = Field(description="One of `datasets`.")
    seed: Seed = Field(default=0, description="Seed of the training and of all that follows.")
    repeats: Repeats = 1
    search: Search = Field(
        default={},
        description="Settings of the model with the values to try, such as `learning_rate: [3e-4, "
        "1e-3]`. Each combination is trained once; the one whose samples are closest to the "
        "validation images replaces the settings of `model`. The dataset needs a "
        "`validation_fraction`.",
    )
    model: AnyModel
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    latent: Latent = Latent()
    compute: Compute = Compute()
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _check_seeds(self) -> Experiment:
        largest = TRIAL_SEED_OFFSET if self.search else self.repeats - 1
        if self.seed + largest > _MAX_SEED:
            raise ValueError(
                f"has seed: {self.seed}, and other trainings have up to {largest} more, but the "
                f"largest seed is {_MAX_SEED}; lower the seed"
            )
        return self

    @model_validator(mode="after")
    def _check_search(self) -> Experiment:
        number = math.prod(map(len, self.search.values()))
        if number > MAX_TRIALS:
            raise ValueError(
                f"has {number} combinations to search, but at most {MAX_TRIALS} are allowed; "
                "remove some values"
            )
        for key in self.search:
            if key == "name" or key not in type(self.model).model_fields:
                raise ValueError(
                    f"searches {quote(key)}, which is no setting of {self.model.name} to search; "
                    "remove it"
                )
        self.combinations()
        return self

    def combinations(self) -> list[dict[str, Any]]:
        """Return the values of each trial of the search, in the order of the lists; none without.

        Raises ValueError if the model cannot have them.
        """
        if not self.search:
            return []
        found = []
        for values in itertools.product(*self.search.values()):
            model = self.model_with(dict(zip(self.search, values, strict=True)))
            found.append({key: getattr(model, key) for key in self.search})
        return found

    def model_with(self, values: Mapping[str, Any]) -> AnyModel:
        """Return the model with other values of some settings.

        Raises ValueError if it cannot have them.
        """
        settings = self.model.model_dump() | dict(values)
        try:
            model: AnyModel = type(self.model).model_validate(settings, strict=False)
        except ValidationError as error:
            fault = error.errors()[0]
            raise ValueError(
                f"searches {shorten(values)}, with which the model is not valid: {fault['msg']}"
            ) from None
        return model


class Defaults(Section):
    """Default settings of every experiment."""

    seed: Seed = Field(default=0, description="Seed of the training and of all that follows.")
    repeats: Repeats = 1
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    latent: Latent = Latent()
    compute: Compute = Compute()
    resources: Resources = Resources()


class ExperimentConfig(Experiment):
    """A resolved training of an experiment: written by `configure`, read by its stages.

    The configs of further trainings have `repeats: 1` and their own seed.
    """

    name: TrainingName
    image_size: ImageSize
    channels: Channels

    @property
    def is_repeat(self) -> bool:
        """Whether this is a further training of an experiment, not its first."""
        return "/repeats/" in self.name

    @property
    def is_trial(self) -> bool:
        """Whether this is a trial of a search."""
        return "/search/" in self.name

    def other_sampling_steps(self) -> list[int]:
        """Return the numbers of sampling steps to measure in addition to the model's own.

        Models that sample in one step have none.
        """
        own = getattr(self.model, "sampling_steps", None)
        return [] if own is None else sorted({*self.evaluation.sampling_steps} - {own})

    def further_trainings(self) -> list[ExperimentConfig]:
        """Return the trainings with the next seeds."""
        trainings = []
        for number, name in enumerate(training_names(self.name, self.repeats)[1:], start=1):
            update = {"name": name, "seed": self.seed + number, "repeats": 1}
            trainings.append(self.model_copy(update=update))
        return trainings

    def trials(self) -> list[ExperimentConfig]:
        """Return the trainings of the search, with a checkpoint at the last epoch alone."""
        trials = []
        for number, values in enumerate(self.combinations(), start=1):
            training = self.training.model_copy(update={"checkpoints": [self.training.epochs]})
            update = {
                "name": f"{self.name}/search/{number}",
                "seed": self.seed + TRIAL_SEED_OFFSET,
                "repeats": 1,
                "search": {},
                "model": self.model_with(values),
                "training": training,
            }
            trials.append(self.model_copy(update=update))
        return trials

    def training_settings(self) -> dict[str, object]:
        """Return the settings that determine a checkpoint's weights; it stores them."""
        settings = self.model_dump(
            include={"seed", "dataset", "image_size", "channels", "model", "training", "compute"}
        )
        settings["model"] = training_model(settings["model"])
        # Checkpoints and logs do not change the weights.
        del settings["training"]["checkpoints"], settings["training"]["log_every"]
        return settings


def training_names(experiment: str, repeats: int) -> list[str]:
    """Return the names of an experiment's trainings: `vae`, `vae/repeats/1`, `vae/repeats/2`.

    They are also their folders in results/STUDY.
    """
    return [experiment, *(f"{experiment}/repeats/{number}" for number in range(1, repeats))]


def walkthrough_experiment(experiments: Sequence[ExperimentConfig]) -> ExperimentConfig:
    """Return the experiment that a walkthrough trains: the first that learns codes, or the first.

    Models that it has no loop for are left out; `parse_params` refuses a study of these only.
    """
    shown = [each for each in experiments if each.model.walkthrough_passes]
    with_codes = [each for each in shown if each.model.learns_codes]
    return (with_codes or shown)[0]
