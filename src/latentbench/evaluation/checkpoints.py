"""Loading trained models from checkpoints of the same settings and data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from latentbench.artifacts.files import convert_read_errors, require_format
from latentbench.artifacts.paths import CHECKPOINT_FORMAT, checkpoint_path
from latentbench.artifacts.tensors import read_tensors, require_same_settings, require_tensors
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.models import EncoderModel, Model, PriorKind
from latentbench.data.labels import LabelSet
from latentbench.errors import ArtifactError
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import Objective
from latentbench.models.prior import PREFIX, Prior
from latentbench.models.registry import build_objective
from latentbench.runtime.device import move_network

_REMEDY = "train the experiment again"


@dataclass(frozen=True)
class TrainedModel:
    """An objective in evaluation mode, the label set of its training data, and its priors.

    The first prior is that of the model's settings. Where it was fitted, N(0, I) is the second.
    """

    objective: Objective
    labels: LabelSet
    priors: dict[PriorKind, Prior]

    @property
    def prior(self) -> Prior:
        """The prior of the model's settings."""
        return next(iter(self.priors.values()))


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
        ArtifactError: The checkpoint is missing or damaged, has infinite or NaN weights or a prior
            that is no distribution, is of another epoch, or was trained with other settings than
            the config's, or on another prepared dataset than that of `data_digest`, where it is
            given.
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
    of_prior = {name: weights.pop(name) for name in list(weights) if name.startswith(PREFIX)}
    require_tensors(weights, objective.weights(), path=path, remedy=_REMEDY)
    objective.load_weights(weights)
    priors = _read_priors(of_prior, config.model, path)
    return TrainedModel(move_network(objective, device), labels, priors)


def _read_priors(tensors: dict[str, Tensor], model: Model, path: Path) -> dict[PriorKind, Prior]:
    """Return the fitted prior of a checkpoint, if the settings have one, and N(0, I)."""
    priors: dict[PriorKind, Prior] = {}
    if isinstance(model, EncoderModel) and model.prior != "standard":
        most = model.prior_components if model.prior == "mixture" else 1
        number = min(tensors.get(f"{PREFIX}weights", torch.empty(0)).numel(), most)
        expected = Prior.shapes(number, model.latent_dim)
    else:
        expected = {}
    require_tensors(tensors, expected, path=path, remedy=_REMEDY)
    if expected:
        with convert_read_errors(path):
            priors[model.prior_kind] = Prior.from_tensors(tensors)
    return priors | {"standard": Prior.standard(model.latent_dim)}
