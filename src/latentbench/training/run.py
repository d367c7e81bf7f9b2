"""The parts of a training run, built from its settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from latentbench.config.experiments import ExperimentConfig
from latentbench.data.labels import LabelSet
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ConfigError
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import Objective
from latentbench.models.registry import build_objective
from latentbench.runtime.device import move_network, resolve_precision
from latentbench.runtime.distributed import ProcessGroup
from latentbench.training.batches import Batches
from latentbench.training.monitor import Monitor


@dataclass(frozen=True)
class Folders:
    """Where a run reads its dataset and writes results, TensorBoard logs and its state."""

    data: Path
    results: Path
    logs: Path
    scratch: Path


@dataclass(frozen=True)
class Run:
    """What stays the same from the first step of a run to its last."""

    config: ExperimentConfig
    folders: Folders
    device: torch.device
    processes: ProcessGroup
    data_digest: str
    resize_spec: ResizeSpec
    labels: LabelSet
    shape: Shape
    batches: Batches
    objective: Objective
    monitor: Monitor

    @classmethod
    def build(
        cls,
        config: ExperimentConfig,
        folders: Folders,
        dataset: PreparedDataset,
        device: torch.device,
        processes: ProcessGroup,
    ) -> Self:
        """Build the data pipeline, the objective with its optimizers, and the monitor."""
        condition = config.model.condition
        batches = Batches(
            dataset,
            condition=condition,
            batch_size=config.training.batch_size,
            flip=config.training.flip,
            seed=config.seed,
            device=device,
            processes=processes,
        )
        labels = LabelSet.from_dataset(dataset, condition)
        shape = Shape(config.image_size, config.channels, num_labels=len(labels.names))
        return cls(
            config,
            folders,
            device,
            processes,
            data_digest=dataset.manifest.digest,
            resize_spec=dataset.resize_spec,
            labels=labels,
            shape=shape,
            batches=batches,
            objective=_build_objective(config, shape, device, processes),
            monitor=Monitor(
                dataset, condition, seed=config.seed, device=device, processes=processes
            ),
        )

    @property
    def last_step(self) -> int:
        """The number of steps of the whole run."""
        return self.config.training.epochs * self.batches.steps_per_epoch

    def epoch_at(self, step: int) -> int:
        """Return the epoch, counted from 1, that contains the given number of finished steps."""
        return -(-step // self.batches.steps_per_epoch)


def _build_objective(
    config: ExperimentConfig, shape: Shape, device: torch.device, processes: ProcessGroup
) -> Objective:
    objective = move_network(build_objective(config.model, shape, seed=config.seed), device)
    objective.precision = resolve_precision(config.training.precision, device)
    objective.make_optimizers()
    objective.distribute(processes)
    if config.training.compile:
        if device.type == "mps":
            raise ConfigError(
                f"{config.name}: training.compile is true, but PyTorch compiles for CUDA and the "
                "CPU only. Set it to false, or set compute.device to cpu."
            )
        objective.compile_networks()
    return objective.train()
