"""The files of a training, and groups of trainings that differ in their seed alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from latentbench.artifacts import paths
from latentbench.artifacts.metrics import NAMES
from latentbench.config.load import read_yaml
from latentbench.config.models import is_generative
from latentbench.config.params import StudyConfig
from latentbench.results.files import Array, read_facts, read_optional_arrays, read_record
from latentbench.results.formatting import escape_markdown

# Settings of the model in a notebook's table.
_SHOWN_SETTINGS = (
    *("name", "architecture", "latent_dim", "width", "condition", "prior", "loss"),
    *("sampling_steps", "guidance"),
)


@dataclass(frozen=True)
class Experiment:
    """What the stages wrote for a training of an experiment; empty where none has run yet.

    `name` is unique: the first training has the name of its experiment, a further one is
    `vae/repeats/1`. `index` is the place among the experiments of the same dataset and decides the
    color.
    `settings` is the resolved config, `evaluation` metrics.json, `latent` explore.json,
    `provenance` the record of its training and `selection` what its search selected.
    """

    name: str
    folder: Path
    dataset: str
    index: int
    settings: Mapping[str, Any] = field(repr=False)
    evaluation: Mapping[str, Any] = field(repr=False)
    latent: Mapping[str, Any] = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False)
    selection: Mapping[str, Any] = field(repr=False, default_factory=dict)

    def _repr_html_(self) -> str:
        """Return a table of the model and of its last metrics, for notebooks."""
        rows = {"dataset": self.dataset, "seed": self.seed, "folder": self.folder.as_posix()}
        for key in _SHOWN_SETTINGS:
            if self.model.get(key) is not None:
                rows[f"model.{key}"] = self.model[key]
        for key, name in NAMES.items():
            value = self.evaluation.get(key)
            if value is not None:
                rows[f"{name}, last epoch"] = f"{value:.4g}"
        cells = []
        for name, value in rows.items():
            cells.append(f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>")
        return f"<h4>{escape(self.name)}</h4><table>{''.join(cells)}</table>"

    @property
    def experiment(self) -> str:
        """The name of the experiment that this is a training of."""
        return self.name.partition("/")[0]

    @property
    def is_repeat(self) -> bool:
        """Whether this is a further training, whose latent space is not explored."""
        return self.name != self.experiment

    @property
    def seed(self) -> int | None:
        """The seed of the training; None where there are no settings."""
        return self.settings.get("seed")

    @property
    def in_markdown(self) -> str:
        """The name as Markdown."""
        return escape_markdown(self.name)

    @property
    def model(self) -> Mapping[str, Any]:
        """The settings of the model."""
        return self.settings.get("model") or {}

    @property
    def latent_dim(self) -> int | None:
        """The dimension of its latents, the size of an image where no setting has another."""
        if not self.settings:
            return None
        size = self.settings["channels"] * self.settings["image_size"] ** 2
        return int(self.model.get("latent_dim", size))

    @property
    def prior(self) -> str:
        """The kind of the distribution that latents are drawn from; `standard` is N(0, I)."""
        return str(self.model.get("prior", "standard"))

    @property
    def is_generative(self) -> bool:
        """Whether its decoder knows latents like those that are drawn."""
        return self.decodes(self.prior)

    def decodes(self, prior: str) -> bool:
        """Return whether its decoder knows latents from a prior."""
        return is_generative({**self.model, "prior": prior})

    def prior_name(self, prior: str) -> str:
        """Return a prior in print: `N(0, I)`, `a Gaussian` or `a mixture of 30`."""
        components = self.evaluation.get("prior_components") or self.model.get("prior_components")
        names = {"standard": "N(0, I)", "gaussian": "a Gaussian"}
        return names.get(prior, f"a mixture of {components}")

    @property
    def floor(self) -> Mapping[str, float]:
        """Metrics of real test images against the same reference, with `KEY_std` as they have."""
        floor = self.evaluation.get("test_scores") or {}
        return {key: value for key, value in floor.items() if value is not None}

    @property
    def halves(self) -> Mapping[str, float]:
        """Metrics between two halves of the training images, as in `floor`.

        `num_images` are in each half, `num_splits` were measured.
        """
        return self.evaluation.get("train_halves") or {}

    def sample_sizes(self, metric: str) -> Mapping[str, Any]:
        """Return `num_samples`, `distances` and their limit `infinite` of a Fréchet distance.

        The line to the limit is fitted to at least `fitted_from` samples; None is no line.
        """
        return (self.evaluation.get("sample_sizes") or {}).get(metric) or {}

    def num_reconstructed(self, split: str) -> int | None:
        """Return how many images of a split were reconstructed; all models share their order."""
        return ((self.latent.get("reconstruction") or {}).get(split) or {}).get("num_images")

    @property
    def has_ode(self) -> bool:
        """Whether latents are noise of the size of an image, which an ODE maps to the image."""
        return bool(self.latent.get("method") == "ODE")

    @cached_property
    def evaluation_arrays(self) -> Mapping[str, Array]:
        """The arrays of evaluation by name; images are uint8 (..., height, width, channel)."""
        return read_optional_arrays(self.folder / paths.EVALUATION_ARRAYS)

    @cached_property
    def latent_arrays(self) -> Mapping[str, Array]:
        """The arrays of exploration by name; images are uint8 (..., height, width, channel)."""
        return read_optional_arrays(self.folder / paths.LATENT_ARRAYS)

    @cached_property
    def interactive_arrays(self) -> Mapping[str, Array]:
        """The arrays of exploration for figures with a slider; as `latent_arrays`."""
        return read_optional_arrays(self.folder / paths.INTERACTIVE_ARRAYS)

    @property
    def settings_without_seed(self) -> str:
        """What repeats have in common, as a key; the name where there are no settings."""
        if not self.settings:
            return self.name
        own = ("name", "seed", "repeats")
        shared = {key: self.settings[key] for key in self.settings if key not in own}
        return json.dumps(shared, sort_keys=True)


@dataclass(frozen=True)
class RunGroup:
    """Trainings that differ in their seed alone, ranked and drawn as one; mostly a single one.

    `prior` is the distribution of the latents of its samples, where these were measured under more
    than one. None is the own prior of the settings.
    """

    members: tuple[Experiment, ...]
    prior: str | None = None

    @property
    def name(self) -> str:
        """The stem, with the number of seeds where there are several."""
        return f"{self.stem} ({self.seeds})" if self.seeds else self.stem

    @property
    def in_markdown(self) -> str:
        """The name as Markdown."""
        return escape_markdown(self.name)

    @property
    def seeds(self) -> str:
        """`3 seeds`, or nothing for a single training."""
        return f"{len(self.members)}\N{NO-BREAK SPACE}seeds" if len(self.members) > 1 else ""

    @property
    def stem(self) -> str:
        """What the names of the members have in common, and the prior if there are several."""
        first = self.members[0].name
        names = list(dict.fromkeys(member.experiment for member in self.members))
        if len(names) > 1:
            common = os.path.commonprefix(names)  # noqa: RUF071 (names, not paths)
            first = common.rstrip("-_0123456789") or first
        return f"{first} from {self.prior_name}" if self.prior else first

    @property
    def prior_name(self) -> str:
        """The prior in print: `N(0, I)`."""
        return self.members[0].prior_name(self.prior or self.members[0].prior)

    @property
    def is_generative(self) -> bool:
        """Whether the decoder knows latents like those that are drawn: its samples count."""
        return self.members[0].decodes(self.prior or self.members[0].prior)

    @property
    def explored(self) -> list[Experiment]:
        """The members whose latent space is explored: those that are no repeats."""
        return [member for member in self.members if not member.is_repeat]

    @property
    def index(self) -> int:
        """The place of the first member among the experiments of its dataset."""
        return self.members[0].index


def read_experiments(
    config: StudyConfig, folder: Path
) -> tuple[tuple[Experiment, ...], tuple[Experiment, ...]]:
    """Return the first training of each experiment of results/STUDY, and all repeats.

    Raises:
        ArtifactError: A file is damaged.
    """
    members: list[Experiment] = []
    repeats: list[Experiment] = []
    places: dict[str, int] = {}
    only = config.datasets[0] if len(config.datasets) == 1 else ""
    for name in config.trainings:
        path = folder / name / paths.CONFIG
        settings = read_yaml(path) if path.is_file() else {}
        if name not in config.experiments:
            first = members[-1]
            repeats.append(
                _read_experiment(folder / name, name, first.dataset, first.index, settings)
            )
            continue
        dataset = str(settings.get("dataset", only))
        index = places.setdefault(dataset, 0)
        places[dataset] += 1
        members.append(_read_experiment(folder / name, name, dataset, index, settings))
    return tuple(members), tuple(repeats)


def _read_experiment(
    folder: Path, name: str, dataset: str, index: int, settings: Mapping[str, Any]
) -> Experiment:
    """Return what the stages wrote into the folder of a training."""
    return Experiment(
        name=name,
        folder=folder,
        dataset=dataset,
        index=index,
        settings=settings,
        evaluation=read_facts(folder / paths.LAST_METRICS),
        latent=read_facts(folder / paths.LATENT_FACTS),
        provenance=read_record(folder / paths.PROVENANCE),
        selection=read_record(folder / paths.SELECTED) if settings.get("search") else {},
    )


def has_all(found: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Return whether every name has a value."""
    return all(found.get(name) is not None for name in names)
