"""The models of a study that are explored together, their dataset, and pictures to start from."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, get_native_id
from typing import Any

import numpy as np

from latentbench.app.progress import Inversions
from latentbench.artifacts.files import file_sha256, read_manifest
from latentbench.artifacts.paths import record_name
from latentbench.artifacts.provenance import require_recorded
from latentbench.data.image_grid import Images
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.data.prepared import PreparedDataset, open_dataset
from latentbench.errors import ArtifactError, LatentbenchError
from latentbench.inference.checkpoints import load_model
from latentbench.inference.latents import Latents
from latentbench.inference.model import Model
from latentbench.results.experiment import Experiment
from latentbench.results.study import open_study

# Values of labels by name: 1 for a class or an attribute, values between to mix classes.
Labels = Mapping[str, float]

_MAX_CACHED = 256  # latents of pictures
_NICE = 10  # of inversions, from 0 (as other processes) to 19
_SAVED_SIDE = 128  # pixels, about, of an image in a saved picture


@dataclass(frozen=True, eq=False)
class Picture:
    """A real picture, prepared as the dataset's images are; equal to itself alone.

    `image` is uint8 (height, width, channel). `code` is the Python expression with which the API
    gets it. `labels` are those of the dataset; None if they are unknown.
    """

    name: str
    image: Images
    code: str
    labels: Labels | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of the pixels."""
        return hashlib.sha256(np.ascontiguousarray(self.image).tobytes()).hexdigest()


@dataclass
class Explorer:
    """The trained models of a study with the same dataset, by name in the study's order.

    `data` is None where the prepared dataset is missing; `notes` name what is missing and why.
    Models in `unexplored` have no directions and no map.
    """

    folder: Path
    dataset: str
    models: dict[str, Model]
    experiments: dict[str, Experiment]
    data: PreparedDataset | None = None
    data_folder: Path = Path("data/prepared")
    device: str = "auto"
    notes: list[str] = field(default_factory=list)
    unexplored: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._latents: OrderedDict[tuple[Any, ...], Latents] = OrderedDict()
        self._locks = {name: Lock() for name in self.models}
        # One inversion at a time, of all visitors, and sliders go before it.
        self.inverter = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="inversion", initializer=yield_to_other_threads
        )

    @property
    def spec(self) -> ResizeSpec:
        """The size and mode of the dataset's images."""
        return next(iter(self.models.values())).resize_spec

    @property
    def scale(self) -> int:
        """The side of the square that a pixel becomes in saved pictures."""
        return max(1, _SAVED_SIDE // self.spec.image_size)

    @property
    def num_test(self) -> int:
        """The number of test images."""
        return 0 if self.data is None else self.data.manifest.test.num_images

    def label_names(self, names: Iterable[str]) -> list[str]:
        """Return the classes and attributes that some of these models are conditioned on."""
        found: dict[str, None] = {}
        for name in names:
            found.update(dict.fromkeys(self.models[name].label_names))
        return list(found)

    def labels_for(self, name: str, labels: Labels | None) -> dict[str, float] | None:
        """Return those labels that a model has; None for an unconditional model or no labels."""
        known = self.models[name].label_names
        if labels is None or not known:
            return None
        return {key: value for key, value in labels.items() if key in known}

    def some_labels(self, name: str, *labels: Labels | None) -> dict[str, float] | None:
        """Return the first labels that a model has, by default those of its first class.

        None for an unconditional model.
        """
        model = self.models[name]
        if not model.label_names:
            return None
        for each in labels:
            if each is not None and (found := self.labels_for(name, each)) is not None:
                return found
        first = model.label_set.vectors[0]
        pairs = zip(model.label_names, first, strict=True)
        return {key: float(value) for key, value in pairs if value}

    def test_picture(self, row: int) -> Picture:
        """Return a test image with its class and attributes."""
        assert self.data is not None
        labels: dict[str, float] = {}
        manifest = self.data.manifest
        if manifest.class_names and (index := int(self.data.labels("test")[row])) >= 0:
            labels[manifest.class_names[index]] = 1.0
        if manifest.attribute_names:
            values = self.data.attributes("test")[row]
            for name, value in zip(manifest.attribute_names, values, strict=True):
                if value:
                    labels[name] = 1.0
        image = np.asarray(self.data.images("test")[row])
        return Picture(f"test image {row}", image, f'data.images("test")[{row}]', labels)

    def is_known(self, name: str, picture: Picture, labels: Labels | None) -> bool:
        """Return whether the latents of a picture are at hand: encoded at once, or inverted."""
        return self.models[name].has_encoder or self.key(name, picture, labels) in self._latents

    def find_latents(
        self,
        name: str,
        picture: Picture,
        labels: Labels | None = None,
        running: Inversions | None = None,
    ) -> Latents:
        """Return the latents (1, latent_dim) of a picture: its code, or by inversion.

        A conditional model gets the picture's labels or, if these are unknown, `labels`. `running`
        counts the steps of the inversion.

        Raises:
            Cancelled: `running` was cancelled.
        """
        model = self.models[name]
        own = self.some_labels(name, picture.labels, labels)
        key = self.key(name, picture, labels)
        with self._locks[name]:
            found = self._latents.get(key)
            if found is not None:
                return found
            if running is not None:
                running.require_not_cancelled()
            if model.has_encoder:
                found = model.encode(picture.image, labels=own)
            else:
                progress = running.track if running is not None else False
                found = model.invert(picture.image, labels=own, progress=progress)
            self._latents[key] = found
        while len(self._latents) > _MAX_CACHED:
            self._latents.popitem(last=False)
        return found

    def arrays(self, name: str) -> Mapping[str, Any]:
        """Return the arrays of exploration; empty where a model was not explored."""
        return {} if name in self.unexplored else self.experiments[name].latent_arrays

    def directions(self, name: str) -> list[str]:
        """Return the attributes along whose directions a model's latents can move."""
        if "attribute_directions" not in self.arrays(name):
            return []
        rows = self.experiments[name].latent.get("directions") or []
        return [str(row["attribute"]) for row in rows]

    def key(self, name: str, picture: Picture, labels: Labels | None) -> tuple[Any, ...]:
        """Return what the latents of a picture depend on."""
        own = self.some_labels(name, picture.labels, labels)
        return name, picture.digest, tuple((own or {}).items())


def open_explorers(results: Path, data: Path, *, device: str = "auto") -> dict[str, Explorer]:
    """Return an explorer per dataset of a study, with the models that have a checkpoint.

    Raises:
        ArtifactError: The study or all of its models are missing.
    """
    study = open_study(results)
    explorers: dict[str, Explorer] = {}
    notes: list[str] = []
    for dataset, experiments in study.by_dataset().items():
        models: dict[str, Model] = {}
        for experiment in experiments:
            try:
                models[experiment.name] = load_model(experiment.folder, device=device)
            except LatentbenchError as error:
                notes.append(str(error))
        if not models:
            continue
        explorer = Explorer(
            results,
            dataset,
            models,
            {each.name: each for each in experiments},
            data_folder=data,
            device=device,
        )
        try:
            explorer.data = open_dataset(data / dataset)
        except LatentbenchError as error:
            explorer.notes.append(f"There are no test images: {error}")
        for name in models:
            note = _note_on_exploration(explorer.experiments[name])
            if note:
                explorer.unexplored.add(name)
                explorer.notes.append(note)
        explorers[dataset] = explorer
    if not explorers:
        raise ArtifactError(
            f"{results} has no trained model to explore; train one first. "
            f"{notes[0] if notes else ''}".rstrip()
        )
    for explorer in explorers.values():
        explorer.notes += notes
    return explorers


def yield_to_other_threads() -> None:
    """Give the calling thread a lower priority than the others of this process.

    Only Linux has priorities of threads.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICE)


def _note_on_exploration(experiment: Experiment) -> str:
    """Return why the arrays of exploration cannot be used; nothing if they can."""
    name, record = experiment.name, experiment.folder / record_name("explore")
    if not experiment.latent:
        return f"{name} is not explored yet, so it has no directions and no map of codes."
    try:
        require_recorded([record])
        inputs = read_manifest(record)["inputs"] if record.is_file() else {}
        for path, sha256 in inputs.items():
            if path.endswith(".safetensors") and file_sha256(record.parent / path) != sha256:
                return f"{name} was explored before its last training; run explore again."
    except (LatentbenchError, OSError) as error:
        return f"{name} has no directions and no map of codes: {error}"
    return ""


def models_with(explorer: Explorer, names: Sequence[str], array: str) -> list[str]:
    """Return the models whose exploration has an array."""
    return [name for name in names if array in explorer.arrays(name)]
