"""Loading trained models from checkpoints of the same settings and data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol, get_args

import torch
from pydantic import TypeAdapter
from torch import Tensor

from latentbench.artifacts.files import convert_read_errors, require_format
from latentbench.artifacts.paths import CHECKPOINT_FORMAT, CONFIG, checkpoint_path
from latentbench.artifacts.tensors import read_tensors, require_same_settings, require_tensors
from latentbench.config.base import Compute
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.config.models import EncoderModel, PriorKind
from latentbench.config.models import Model as ModelConfig
from latentbench.data.labels import LabelSet
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.errors import ArgumentError, ArtifactError, ConfigError, list_names, quote
from latentbench.inference.model import Model
from latentbench.models.networks.architectures import Shape
from latentbench.models.prior import PREFIX, Prior
from latentbench.models.registry import build_objective
from latentbench.runtime.device import move_network, select_device

_DEVICES = get_args(Compute.model_fields["device"].annotation)
_REMEDY = "train the experiment again"


class HasFolder(Protocol):
    """An experiment of `open_study`."""

    @property
    def folder(self) -> Path:
        """The folder with the experiment's results."""
        ...


def load_model(
    folder: str | os.PathLike[str] | HasFolder, *, epoch: int | None = None, device: str = "auto"
) -> Model:
    """Return the trained model of an experiment.

    >>> model = load_model("results/demo/vae")
    >>> model = load_model(open_study("results/demo")["vae"], epoch=5, device="cpu")

    Args:
        folder: results/STUDY/EXPERIMENT, or an experiment of `open_study`.
        epoch: The epoch of the checkpoint; None is the last.
        device: `auto` takes CUDA, then MPS, then the CPU; else `cpu`, `cuda` or `mps`.

    Raises:
        ArtifactError: There is no such checkpoint, or it is damaged.
        ConfigError: The device is unknown or not there.
    """
    if isinstance(folder, str | os.PathLike):
        path = Path(folder).expanduser()
    elif isinstance(getattr(folder, "folder", None), Path):
        path = folder.folder
    else:
        raise ArgumentError(
            f"The folder is of type {type(folder).__name__}; give results/STUDY/EXPERIMENT or an "
            "experiment of open_study."
        )
    if device not in _DEVICES:
        raise ConfigError(f"The device {quote(device)} is none of {', '.join(_DEVICES)}.")
    chosen = select_device(device)
    if not (path / CONFIG).is_file():
        raise ArtifactError(_describe_missing_config(path))
    config = read_config(path / CONFIG, ExperimentConfig)
    epochs = _checkpoint_epochs(path)
    last = config.training.checkpoint_epochs[-1]
    wanted = last if epoch is None else epoch
    if wanted not in epochs:
        found = ", ".join(map(str, epochs)) or "none"
        raise ArtifactError(
            f"{path} has no checkpoint of epoch {wanted}; the epochs with one are: {found}."
        )
    return load_checkpoint(config, path, wanted, device=chosen)


def _describe_missing_config(path: Path) -> str:
    """Return why a folder is no experiment, for a message."""
    if not path.is_dir():
        return f"{path} is no folder; give results/STUDY/EXPERIMENT."
    experiments = sorted(file.parent.name for file in path.glob(f"*/{CONFIG}"))
    if experiments:
        return f"{path} is a study; give one of its experiments: {list_names(experiments)}."
    return f"{path} has no {CONFIG}; give results/STUDY/EXPERIMENT."


def _checkpoint_epochs(results: Path) -> list[int]:
    """Return the epochs with a checkpoint."""
    pattern = checkpoint_path(results, 0).with_stem("epoch-*")
    epochs = []
    for path in pattern.parent.glob(pattern.name):
        number = path.stem.removeprefix("epoch-")
        if number.isdecimal():
            epochs.append(int(number))
    return sorted(epochs)


def load_checkpoint(
    config: ExperimentConfig,
    results: Path,
    epoch: int,
    *,
    device: torch.device,
    data_digest: str | None = None,
) -> Model:
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
        resize_spec = _read_resize_spec(metadata["preparation"], config)
    shape = Shape(config.image_size, config.channels, num_labels=len(labels.names))
    objective = build_objective(config.model, shape, seed=config.seed)
    of_prior = {name: weights.pop(name) for name in list(weights) if name.startswith(PREFIX)}
    require_tensors(weights, objective.weights(), path=path, remedy=_REMEDY)
    objective.load_weights(weights)
    priors = _read_priors(of_prior, config.model, objective.latent_dim, path)
    return Model(
        config=config,
        epoch=epoch,
        device=device,
        objective=move_network(objective, device),
        label_set=labels,
        priors=priors,
        resize_spec=resize_spec,
    )


def _read_resize_spec(found: Any, config: ExperimentConfig) -> ResizeSpec:
    """Return how the dataset's images were prepared; raise ValueError if it does not fit."""
    spec: ResizeSpec = TypeAdapter(ResizeSpec).validate_python(found)
    if (spec.image_size, spec.channels) != (config.image_size, config.channels):
        raise ValueError("the preparation is of images of another size or mode")
    return spec


def _read_priors(
    tensors: dict[str, Tensor], model: ModelConfig, latent_dim: int, path: Path
) -> dict[PriorKind, Prior]:
    """Return the fitted prior of a checkpoint, if the settings have one, and N(0, I)."""
    priors: dict[PriorKind, Prior] = {}
    if isinstance(model, EncoderModel) and model.prior != "standard":
        most = model.prior_components if model.prior == "mixture" else 1
        number = min(tensors.get(f"{PREFIX}weights", torch.empty(0)).numel(), most)
        expected = Prior.shapes(number, latent_dim)
    else:
        expected = {}
    require_tensors(tensors, expected, path=path, remedy=_REMEDY)
    if expected:
        with convert_read_errors(path):
            priors[model.prior_kind] = Prior.from_tensors(tensors)
    priors["standard"] = Prior.standard(latent_dim)
    return priors
