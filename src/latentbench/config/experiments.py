"""The schema of an experiment: what is trained, for how long, and how it is measured and explored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from latentbench.config.base import Compute, Name, Section
from latentbench.config.datasets import Channels, ImageSize
from latentbench.config.models import AnyModel


class Training(Section):
    epochs: int = Field(
        default=20, ge=1, description="Passes over the training split, counted in real images seen."
    )
    checkpoints: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None,
        description="Epochs after which a checkpoint is kept and measured; the last is always. Null is four, evenly.",
    )
    batch_size: int = Field(default=64, ge=2)
    flip: bool = Field(
        default=False, description="Mirror half of the training images left to right."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="`auto` is bfloat16 on a GPU that has it and float32 elsewhere."
    )
    processes: int = Field(
        default=1,
        ge=1,
        description="Processes that train one model together, each on its share of every batch; GPUs, where there are.",
    )
    compile: bool = Field(
        default=False, description="torch.compile the networks: pays in long runs on a GPU."
    )
    sample_grid: int = Field(
        default=8,
        ge=2,
        le=16,
        description="Rows of the mosaic of fixed latents, and its columns; conditional models have one per label.",
    )
    log_every: int = Field(
        default=50, ge=1, description="Steps between TensorBoard points and divergence checks."
    )

    @model_validator(mode="after")
    def _checkpoints_within_epochs(self) -> Training:
        late = [epoch for epoch in self.checkpoints or [] if epoch > self.epochs]
        if late:
            raise ValueError(
                f"asks for a checkpoint at epoch {late[0]}, but training ends after {self.epochs}; "
                "raise epochs or drop that checkpoint"
            )
        return self

    @model_validator(mode="after")
    def _processes_share_batches(self) -> Training:
        if self.batch_size % self.processes or self.batch_size == self.processes:
            raise ValueError(
                f"has batches of {self.batch_size} for {self.processes} processes; take a multiple, of two images each "
                "at least"
            )
        if self.compile and self.processes > 1:
            raise ValueError(
                "asks for compile and for several processes, which do not go together; drop one of them"
            )
        return self

    @property
    def checkpoint_epochs(self) -> list[int]:
        """Epochs with a checkpoint, rising, the last epoch among them."""
        if self.checkpoints is None:
            return sorted({max(1, round(self.epochs * quarter / 4)) for quarter in (1, 2, 3, 4)})
        return sorted({*self.checkpoints, self.epochs})


class Evaluation(Section):
    num_samples: int = Field(
        default=5_000, ge=2, description="Generated images per seed and checkpoint."
    )
    num_seeds: int = Field(default=3, ge=1, description="Sets of samples; the spread is over them.")
    batch_size: int = Field(default=250, ge=1)
    kid_subsets: int = Field(
        default=100, ge=1, description="Subsets per set of samples (Bińkowski et al., 2018)."
    )
    kid_subset_size: int = Field(default=1_000, ge=2)
    num_neighbors: int = Field(
        default=5,
        ge=1,
        description="k of precision, recall, density and coverage (Naeem et al., 2020, section 4.1).",
    )


class Latent(Section):
    num_samples: int = Field(default=64, ge=1, description="Random samples from the prior.")
    num_reconstructions: int = Field(
        default=16, ge=1, description="Real test images shown beside their models'."
    )
    num_encoded: int = Field(
        default=1_000, ge=1, description="Images of each split whose reconstruction is measured."
    )
    num_inverted: int = Field(
        default=64, ge=1, description="The same for models that cannot encode."
    )
    num_projected: int = Field(
        default=1_500, ge=2, description="Test images whose codes are drawn in two dimensions."
    )
    num_pairs: int = Field(
        default=6, ge=1, description="Pairs of real test images to interpolate between."
    )
    num_points: int = Field(default=8, ge=2, description="Images along a path, both ends included.")
    inversion_starts: int = Field(
        default=512, ge=1, description="Random latents of which the nearest is the start."
    )
    inversion_steps: int = Field(default=200, ge=0, description="Adam steps on the latent.")
    inversion_learning_rate: float = Field(default=0.05, gt=0)


class Resources(Section):
    """What a cluster gives each job of an experiment; one that is tried again is given twice the memory."""

    memory_mb: int | None = Field(
        default=None, ge=100, description="null is what the workflow asks for its stage."
    )
    runtime_minutes: int | None = Field(default=None, ge=1, description="The same of its time.")


class Experiment(Section):
    """One entry under `experiments`."""

    study: Name = Field(description="The study whose report compares this experiment.")
    dataset: Name = Field(description="One of `datasets`.")
    seed: int = Field(default=0, ge=0)
    model: AnyModel
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    latent: Latent = Latent()
    compute: Compute = Compute()
    resources: Resources = Resources()


class Defaults(Section):
    """Settings that every experiment takes unless it says otherwise."""

    seed: int = Field(default=0, ge=0)
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    latent: Latent = Latent()
    compute: Compute = Compute()
    resources: Resources = Resources()


class ExperimentConfig(Experiment):
    """An experiment resolved: what `configure --experiment` writes and its stages read."""

    name: Name
    image_size: ImageSize
    channels: Channels

    def training_settings(self) -> dict[str, object]:
        """What decides a checkpoint's bits, beside the data and the code: it is stored in the checkpoint."""
        settings = self.model_dump(
            include={"seed", "dataset", "image_size", "channels", "model", "training", "compute"}
        )
        # Neither what is kept nor what is logged changes a weight.
        del settings["training"]["checkpoints"], settings["training"]["log_every"]
        return settings
