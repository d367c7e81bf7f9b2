"""Loading trained models from checkpoints of the same settings and data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from latentbench.artifacts.paths import checkpoint_path
from latentbench.artifacts.tensors import read_tensors, require_same_settings
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.labels import LabelSet
from latentbench.errors import ArtifactError
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import Objective
from latentbench.models.registry import build_objective


@dataclass(frozen=True)
class TrainedModel:
    """An objective in evaluation mode, and the label set of its training data."""

    objective: Objective
    labels: LabelSet


def load_checkpoint(
    config: ExperimentConfig,
    results: Path,
    epoch: int,
    *,
    device: torch.device,
    data_digest: str | None = None,
) -> TrainedModel:
    """Return the model after `epoch`, on `device`.

    Raises:
        ArtifactError: The checkpoint is missing or damaged, or was trained with other settings than
            the config's, or on another prepared dataset than that of `data_digest`, where it is
            given.
    """
    path = checkpoint_path(results, epoch)
    weights, metadata = read_tensors(path)
    require_same_settings(
        metadata.get("settings", {}),
        config.training_settings(),
        path=path,
        remedy="train the experiment again, or go back to the settings of the checkpoint",
    )
    if data_digest is not None and metadata.get("data_digest") != data_digest:
        raise ArtifactError(
            f"{path} was trained on another version of {config.dataset} than the reference was "
            "built from. Train the experiment again, or build the reference from the training data."
        )
    try:
        labels = LabelSet(**metadata["labels"])
        shape = Shape(config.image_size, config.channels, num_labels=len(labels.names))
        objective = build_objective(config.model, shape, seed=config.seed)
        objective.load_weights(weights)
    except (KeyError, TypeError, RuntimeError):
        raise ArtifactError(
            f"{path} holds other networks than this version builds. Train the experiment again."
        ) from None
    return TrainedModel(objective.to(device), labels)
