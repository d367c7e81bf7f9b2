"""Loading trained models from checkpoints of the same settings and data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from latentbench.artifacts.files import convert_read_errors, require_format
from latentbench.artifacts.paths import CHECKPOINT_FORMAT, checkpoint_path
from latentbench.artifacts.tensors import read_tensors, require_same_settings, require_tensors
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
        ArtifactError: The checkpoint is missing or damaged, has infinite or NaN weights, is of
            another epoch, or was trained with other settings than the config's, or on another
            prepared dataset than that of `data_digest`, where it is given.
    """
    path = checkpoint_path(results, epoch)
    weights, metadata = read_tensors(path)
    require_format(path, metadata, CHECKPOINT_FORMAT)
    require_same_settings(
        {"epoch": metadata.get("epoch"), "settings": metadata.get("settings")},
        {"epoch": epoch, "settings": config.training_settings()},
        path=path,
        remedy="train the experiment again, or go back to the settings of the checkpoint",
    )
    if data_digest is not None and metadata.get("data_digest") != data_digest:
        raise ArtifactError(
            f"{path} was trained on another version of {config.dataset} than the reference was "
            "built from. Train the experiment again, or build the reference from the training data."
        )
    with convert_read_errors(path):
        labels = LabelSet.from_metadata(metadata["labels"])
    shape = Shape(config.image_size, config.channels, num_labels=len(labels.names))
    objective = build_objective(config.model, shape, seed=config.seed)
    require_tensors(weights, objective.weights(), path=path, remedy="train the experiment again")
    objective.load_weights(weights)
    return TrainedModel(objective.to(device), labels)
