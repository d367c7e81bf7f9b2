"""The result files of a study as frozen objects; what no stage has written yet is None or empty."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from latentbench.artifacts import paths
from latentbench.artifacts.dependencies import OF_EXPERIMENTS
from latentbench.artifacts.files import read_csv
from latentbench.artifacts.metrics import METRICS, PRDC, Metric, feature_column
from latentbench.config.load import read_config, read_yaml
from latentbench.config.params import StudyConfig
from latentbench.errors import ArtifactError
from latentbench.report.presentation.formatting import NBSP, listed
from latentbench.report.results.files import (
    Array,
    read_numbers,
    read_optional,
    read_optional_arrays,
    read_troubles,
)

# What history.csv counts or watches; every other column is a term of the loss.
_NO_LOSS = {
    "epoch",
    "step",
    "images",
    "seconds",
    "images_per_second",
    "peak_memory_mb",
    "diversity",
    "active_units",
}
_NO_LOSS |= {"mse", "bits_per_dimension", "gradient"}


@dataclass(frozen=True)
class Score:
    """A metric's mean over the sampling seeds and its standard deviation, None where there was one seed."""

    mean: float
    std: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """What was measured after an epoch; `seconds` is the training time up to it."""

    epoch: int
    seconds: float | None
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class Experiment:
    """All that one experiment left. `index` is its place among those on its dataset and decides its color."""

    name: str
    index: int
    folder: Path
    settings: Mapping[str, Any] | None
    history: tuple[Mapping[str, float], ...]
    troubles: Mapping[int, str]
    layers: Sequence[Mapping[str, str]]
    checkpoints: tuple[Checkpoint, ...]
    metrics: Mapping[str, Any] | None
    provenance: Mapping[str, Any] | None
    exploration: Mapping[str, Any] | None
    # By stage, what it took (artifacts.provenance.Cost).
    costs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # By split, of how many images reconstructions are compared: those that every model of the dataset was given.
    num_compared: Mapping[str, int] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        return str((self.settings or {}).get("dataset", ""))

    @property
    def floor(self) -> Mapping[str, float]:
        """Metrics of real images that no model saw, against the same reference."""
        return {
            key: value
            for key, value in ((self.metrics or {}).get("test_scores") or {}).items()
            if value is not None
        }

    @property
    def loss_terms(self) -> list[str]:
        return loss_terms(self.history[0]) if self.history else []

    def score(self, metric: str) -> Score | None:
        """Of the last checkpoint; None where it was not measured or is not a number."""
        return _last_score(self.checkpoints, metric)

    def sample_sizes(self, metric: str) -> Mapping[str, Any]:
        """Of a Fréchet distance: `num_samples`, `distances` and what they tend to, `infinite`; else empty."""
        sizes: Mapping[str, Any] = ((self.metrics or {}).get("sample_sizes") or {}).get(
            metric
        ) or {}
        return sizes

    @property
    def halves(self) -> Mapping[str, float]:
        """Metrics between two halves of the training images, and their `num_images`."""
        return (self.metrics or {}).get("train_halves") or {}

    def reconstruction(self, split: str) -> Mapping[str, float]:
        """Over the compared images of a split: `num_images`, `mse`, `psnr`, `ssim`; empty where not measured."""
        number = self.num_compared.get(split)
        names = {measure: f"{split}_{measure}" for measure in ("mse", "psnr", "ssim")}
        if number is None or not _has(self.explored, list(names.values())):
            return {}
        means = {
            measure: float(self.explored[name][:number].mean()) for measure, name in names.items()
        }
        return {"num_images": number} | means

    def num_reconstructed(self, split: str) -> int | None:
        """How many images of a split the model was given, the first in an order that all models share."""
        measured = ((self.exploration or {}).get("reconstruction") or {}).get(split) or {}
        return measured.get("num_images")

    @cached_property
    def examined(self) -> Mapping[str, Array]:
        """The arrays of evaluation by name, read once; images are uint8 (..., height, width, channel)."""
        return read_optional_arrays(self.folder / paths.EVALUATION_ARRAYS)

    @cached_property
    def explored(self) -> Mapping[str, Array]:
        """The arrays of exploration by name, read once; images are uint8 (..., height, width, channel)."""
        return read_optional_arrays(self.folder / paths.LATENT_ARRAYS)


@dataclass(frozen=True)
class RunGroup:
    """What is ranked and drawn as one: an experiment, or the mean over its repeats.

    Scores of repeats have the standard deviation over the trainings, those of one training that over sampling seeds.
    """

    members: tuple[Experiment, ...]

    @property
    def name(self) -> str:
        """Of repeats what their names have in common, and how many they are."""
        return f"{self.stem} ({self.seeds})" if self.seeds else self.stem

    @property
    def seeds(self) -> str:
        """How many repeats it is; empty of one training."""
        return f"{len(self.members)}{NBSP}seeds" if len(self.members) > 1 else ""

    @property
    def stem(self) -> str:
        """The name alone."""
        if len(self.members) == 1:
            return self.members[0].name
        names = [member.name for member in self.members]
        same = itertools.takewhile(
            lambda letters: len(set(letters)) == 1, zip(*names, strict=False)
        )
        common = "".join(letters[0] for letters in same)
        return common.rstrip("-_0123456789") or names[0]

    @property
    def index(self) -> int:
        return self.members[0].index

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Those that all members have."""
        if len(self.members) == 1:
            return self.members[0].checkpoints
        by_epoch = [
            {checkpoint.epoch: checkpoint for checkpoint in member.checkpoints}
            for member in self.members
        ]
        common = [epoch for epoch in by_epoch[0] if all(epoch in each for each in by_epoch)]
        return tuple(_mean_checkpoint([each[epoch] for each in by_epoch]) for epoch in common)

    def score(self, metric: str) -> Score | None:
        return _last_score(self.checkpoints, metric)


@dataclass(frozen=True)
class Study:
    config: StudyConfig
    experiments: tuple[Experiment, ...]

    @property
    def files(self) -> list[Path]:
        """The study's settings, and the records of its experiments' results, which name these by their SHA-256."""
        records = [
            e.folder / paths.record_name(stage)
            for e in self.experiments
            for stage in OF_EXPERIMENTS
        ]
        return [
            self.experiments[0].folder.parent / paths.STUDY,
            *(path for path in records if path.is_file()),
        ]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that some experiment was measured by."""
        return [metric for metric in METRICS if any(e.score(metric.key) for e in self.experiments)]

    @property
    def overlap_extractor(self) -> str | None:
        """Over whose features precision, recall, density and coverage are told."""
        for metric in METRICS:
            if any(e.score(feature_column(PRDC[0], metric.extractor)) for e in self.experiments):
                return metric.extractor
        return None

    def by_dataset(self, among: Sequence[Experiment] | None = None) -> dict[str, list[Experiment]]:
        """Only experiments on the same dataset can be compared. `among` are those in question, if not all."""
        if among is not None:
            groups = {
                dataset: [e for e in members if e in among]
                for dataset, members in self.by_dataset().items()
            }
            return {dataset: members for dataset, members in groups.items() if members}
        if len(self.config.datasets) == 1:
            return {self.config.datasets[0]: list(self.experiments)}
        groups = {}
        for experiment in self.experiments:
            groups.setdefault(experiment.dataset, []).append(experiment)
        return groups

    def repeats(self) -> list[tuple[Experiment, ...]]:
        """Experiments that differ in their seed alone, two or more together."""
        alike: dict[str, list[Experiment]] = {}
        for experiment in self.experiments:
            if experiment.settings:
                same = {
                    key: value
                    for key, value in experiment.settings.items()
                    if key not in ("name", "seed")
                }
                alike.setdefault(repr(sorted(same.items())), []).append(experiment)
        return [tuple(members) for members in alike.values() if len(members) > 1]

    def run_groups(self, experiments: Sequence[Experiment]) -> list[RunGroup]:
        """The experiments, repeats together where the first of them stands."""
        together = {members[0].name: members for members in self.repeats()}
        others = {member.name for members in together.values() for member in members[1:]}
        return [RunGroup(together.get(e.name, (e,))) for e in experiments if e.name not in others]

    def with_files(
        self, what: str, stage: str, found: Callable[[Experiment], Any]
    ) -> tuple[list[Experiment], list[str]]:
        """The experiments for which `found` is true, and a sentence on those for which it is not."""
        present = [experiment for experiment in self.experiments if found(experiment)]
        missing = [experiment.name for experiment in self.experiments if experiment not in present]
        if not missing:
            return present, []
        return present, [
            f"There is no {what} of {listed(missing)} yet; `latentbench {stage}` writes it."
        ]

    def with_evaluation(
        self, *arrays: str, facts: Sequence[str] = ()
    ) -> tuple[list[Experiment], list[str]]:
        """The experiments whose evaluation left all of these, and a sentence on those of which it left no arrays.

        Not every model can be asked everything: what an evaluated one lacks goes without a word.
        """
        _, notes = self.with_files(paths.EVALUATION_ARRAYS, "evaluate", lambda e: e.examined)
        return [
            e for e in self.experiments if _has(e.examined, arrays) and _has(e.metrics, facts)
        ], notes

    def with_latent(
        self, *arrays: str, facts: Sequence[str] = ()
    ) -> tuple[list[Experiment], list[str]]:
        """The same of exploration."""
        _, notes = self.with_files(paths.LATENT_ARRAYS, "explore", lambda e: e.explored)
        return [
            e for e in self.experiments if _has(e.explored, arrays) and _has(e.exploration, facts)
        ], notes


def loss_terms(columns: Iterable[str]) -> list[str]:
    """Those of the columns of history.csv or iterations.csv that are terms of the loss."""
    watched = ("train_", "test_", "accuracy_", "learning_rate/")
    return [
        column
        for column in columns
        if column not in _NO_LOSS
        and not column.startswith(watched)
        and not column.endswith("_gradient")
    ]


def mean_score(scores: Sequence[Score]) -> Score:
    """Over two or more trainings, with the standard deviation over them."""
    means = [score.mean for score in scores]
    return Score(statistics.mean(means), statistics.stdev(means))


def open_study(folder: Path) -> Study:
    """Read results/STUDY.

    Raises ArtifactError where there is nothing to compare or a file is damaged.
    """
    if not (folder / paths.STUDY).is_file():
        raise ArtifactError(
            f"{folder / paths.STUDY} is missing; write it with `latentbench configure --study`."
        )
    config = read_config(folder / paths.STUDY, StudyConfig)
    if not config.experiments:
        raise ArtifactError(
            f"{folder / paths.STUDY} lists no experiments; give one in params.yaml the key `study: {config.name}`."
        )
    if not any((folder / name).is_dir() for name in config.experiments):
        raise ArtifactError(
            f"{folder} has no results of {', '.join(config.experiments)}; train an experiment first."
        )
    experiments = tuple(_read_experiment(folder / name) for name in config.experiments)
    compared = {
        dataset: _num_compared(experiments, dataset) for dataset in {e.dataset for e in experiments}
    }
    groups = Study(config, experiments).by_dataset().values()
    places = {experiment.name: place for group in groups for place, experiment in enumerate(group)}
    return Study(
        config,
        tuple(
            replace(e, index=places[e.name], num_compared=compared[e.dataset]) for e in experiments
        ),
    )


def _last_score(checkpoints: Sequence[Checkpoint], metric: str) -> Score | None:
    found = checkpoints[-1].scores.get(metric) if checkpoints else None
    return found if found is not None and math.isfinite(found.mean) else None


def _mean_checkpoint(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The same epoch of several trainings."""
    seconds = [checkpoint.seconds for checkpoint in checkpoints if checkpoint.seconds is not None]
    common = [
        key
        for key in checkpoints[0].scores
        if all(key in checkpoint.scores for checkpoint in checkpoints)
    ]
    scores = {
        key: mean_score([checkpoint.scores[key] for checkpoint in checkpoints]) for key in common
    }
    return Checkpoint(checkpoints[0].epoch, statistics.mean(seconds) if seconds else None, scores)


def _read_experiment(folder: Path) -> Experiment:
    history = read_numbers(folder / paths.HISTORY)
    seconds = {row["epoch"]: row.get("seconds") for row in history}
    rows = read_numbers(folder / paths.METRICS)
    found = {stage: read_optional(folder / paths.record_name(stage)) for stage in OF_EXPERIMENTS}
    records = {stage: record for stage, record in found.items() if record}
    return Experiment(
        name=folder.name,
        index=0,  # known once all are read
        folder=folder,
        settings=read_yaml(folder / paths.CONFIG) if (folder / paths.CONFIG).is_file() else None,
        history=tuple(history),
        troubles=read_troubles(folder / paths.HISTORY),
        layers=read_csv(folder / paths.ARCHITECTURE)
        if (folder / paths.ARCHITECTURE).is_file()
        else [],
        checkpoints=tuple(
            Checkpoint(int(row["epoch"]), seconds.get(row["epoch"]), _scores(row)) for row in rows
        ),
        metrics=read_optional(folder / paths.LAST_METRICS),
        provenance=records.get("train"),
        exploration=read_optional(folder / paths.LATENT_FACTS),
        costs={stage: record["cost"] for stage, record in records.items() if record.get("cost")},
    )


def _num_compared(experiments: Sequence[Experiment], dataset: str) -> dict[str, int]:
    """By split, the fewest images that any of the dataset's models was given."""
    numbers = {
        split: [
            number
            for e in experiments
            if e.dataset == dataset and (number := e.num_reconstructed(split))
        ]
        for split in paths.SPLITS
    }
    return {split: min(given) for split, given in numbers.items() if given}


def _has(found: Mapping[str, Any] | None, names: Sequence[str]) -> bool:
    return all((found or {}).get(name) is not None for name in names)


def _scores(row: Mapping[str, float]) -> dict[str, Score]:
    """Every column that has one of its spread beside it."""
    scores = {}
    for key, value in row.items():
        if f"{key}_std" in row:
            std = row[f"{key}_std"]
            scores[key] = Score(value, std if math.isfinite(std) else None)
    return scores
