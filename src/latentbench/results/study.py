"""The results of a study as pandas DataFrames, and the arrays of its experiments.

>>> study = open_study("results/demo")
>>> study.metrics.query("metric == 'fd_classifier' and epoch == epoch.max()")
>>> study["vae"].latent_arrays["samples"].shape
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from latentbench.artifacts import paths
from latentbench.artifacts.dependencies import OF_EXPERIMENTS
from latentbench.artifacts.metrics import (
    EXTRACTOR_NAMES,
    METRICS,
    NAMES,
    PRDC,
    Metric,
    feature_column,
)
from latentbench.artifacts.provenance import require_recorded
from latentbench.config.load import read_config
from latentbench.config.params import StudyConfig
from latentbench.errors import ArtifactError
from latentbench.results import frames
from latentbench.results.experiment import Experiment, RunGroup, has_all, read_experiments
from latentbench.results.formatting import count, duration


@dataclass(frozen=True)
class Study:
    """A study: its experiments as objects (iterate, or `study["vae"]`), its numbers as DataFrames.

    An object is the first training of an experiment, which alone is explored. `trainings` has its
    repeats, too, as far as they were evaluated. Frames hold what the stages have written so far:
    metrics, history, costs and scores of all trainings, with columns `experiment`, `training` and
    `seed`, and the rest of the first. Rows stand in the order of params.yaml.
    """

    config: StudyConfig
    folder: Path
    members: tuple[Experiment, ...]
    repeats: tuple[Experiment, ...] = ()

    def _repr_html_(self) -> str:
        """Return the title, the question and the table of experiments, for notebooks."""
        question = f"<p>{escape(self.config.question)}</p>" if self.config.question else ""
        shown = self.experiments[["dataset", "model", "latent_dim", "parameters", "seconds"]]
        for key, name in NAMES.items():
            values = {each.name: each.evaluation.get(key) for each in self}
            shown = shown.assign(**{f"{name}, last epoch": pd.Series(values, dtype=float)})
        table = shown.rename(columns={"seconds": "training"}).dropna(axis="columns", how="all")
        for column, as_text in (("parameters", count), ("training", duration)):
            if column in table:
                table[column] = table[column].map(as_text, na_action="ignore")
        text = table.to_html(float_format="{:.3g}".format, index_names=False, na_rep="")
        return f"<h4>{escape(self.config.title)}</h4>{question}{text}"

    def __iter__(self) -> Iterator[Experiment]:
        return iter(self.members)

    def __getitem__(self, name: str) -> Experiment:
        for experiment in self.members:
            if experiment.name == name:
                return experiment
        raise KeyError(f"{name} is none of {', '.join(each.name for each in self.members)}")

    @cached_property
    def trainings(self) -> tuple[Experiment, ...]:
        """All trainings: each experiment followed by its repeats that were evaluated."""
        found = []
        for experiment in self.members:
            found.append(experiment)
            found += [
                repeat
                for repeat in self.repeats
                if repeat.experiment == experiment.name and repeat.evaluation
            ]
        return tuple(found)

    def trainings_of(self, experiment: Experiment) -> RunGroup:
        """Return the trainings of one experiment, without others that differ in the seed alone."""
        own = [each for each in self.trainings if each.experiment == experiment.name]
        return RunGroup(tuple(own))

    def notes_on_repeats(self) -> list[str]:
        """Return a note on the repeats that were not evaluated yet."""
        missing = [each.in_markdown for each in self.repeats if not each.evaluation]
        if not missing:
            return []
        return [f"{', '.join(missing)}: no metrics.json yet. Run `latentbench evaluate`."]

    def first_trainings(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a frame that are of the first training of each experiment."""
        return frame[frame["training"] == frame["experiment"]]

    @cached_property
    def experiments(self) -> pd.DataFrame:
        """Indexed by experiment: its dataset, run, seed, model, size and cost.

        `run` is the same for experiments that differ in their seed alone. `parameters` counts
        weights, `seconds` is training time, `peak_memory_mb` the most memory of the training,
        `images` counts those that it saw and `cpu_seconds` is its processor time: means over its
        trainings.
        """
        runs = {m.name: group.name for group in self.run_groups() for m in group.members}
        return frames.experiments(self.members, runs, frames.sizes(self.trainings))

    @cached_property
    def settings(self) -> pd.DataFrame:
        """Resolved settings as text, indexed by experiment; columns such as `model.width`.

        `seed` has those of all trainings.
        """
        rows = {}
        for each in self:
            row = frames.flatten(each.settings)
            if row:
                row["seed"] = ", ".join(str(own.seed) for own in self.trainings_of(each).members)
            rows[each.name] = row
        return pd.DataFrame(rows).T.drop(columns="repeats", errors="ignore")

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row per training, checkpoint, prior and metric.

        `mean` and `std` are over `n` sets of samples. Latents are drawn from the `prior`.
        """
        return frames.metrics(self.trainings)

    @cached_property
    def own_metrics(self) -> pd.DataFrame:
        """The rows of `metrics` of each experiment's own prior, that of its settings."""
        return self.of_prior(self.metrics, None)

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row per training and epoch: the columns of history.csv."""
        return frames.history(self.trainings)

    @cached_property
    def interval_losses(self) -> pd.DataFrame:
        """A row per training, epoch, split and interval of time: the loss of a diffusion model."""
        return frames.interval_losses(self.history)

    @cached_property
    def iterations(self) -> pd.DataFrame:
        """A row per experiment and logged step: the columns of iterations.csv."""
        return frames.iterations(self.members)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row per experiment and layer: the columns of architecture.csv."""
        return frames.layers(self.members)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """A row per training and stage: wall_seconds, cpu_seconds and peak_memory_mb."""
        return frames.costs(self.trainings)

    @cached_property
    def sampling(self) -> pd.DataFrame:
        """A row per training and number of sampling steps: seconds per image, and distances.

        `seconds` are wall time of a batch on `device`, and `evaluations` of networks are per image.
        Models that sample in one step have one row, whose `steps` are NaN.
        """
        return frames.sampling(self.trainings)

    @cached_property
    def sampling_costs(self) -> pd.DataFrame:
        """A row per experiment and number of sampling steps: means of `sampling` over trainings."""
        return frames.mean_sampling(self.sampling)

    @cached_property
    def searches(self) -> pd.DataFrame:
        """A row per trial of a search: values, mean and std of the distance to validation images.

        `is_selected` is true for the trial whose values the reported trainings have.
        """
        return frames.searches(self.members)

    @cached_property
    def reconstruction(self) -> pd.DataFrame:
        """A row per experiment and split: mse, psnr and ssim over `num_images` images.

        They are the images that every model of the dataset was given.
        """
        return frames.reconstruction(self.members)

    @cached_property
    def likelihoods(self) -> pd.DataFrame:
        """A row per training of a VAE and prior: bounds on the log-likelihood of test images."""
        return frames.likelihoods(self.trainings)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row per training, prior and quantity after the last epoch: mean, and std where known.

        The prior is empty where the quantity does not depend on it.
        """
        return frames.scores(self.metrics, frames.sizes(self.trainings), self.reconstruction)

    def load(self) -> None:
        """Check every file but checkpoints, and read every table, so that errors come at once.

        Raises:
            ArtifactError: A file is damaged, or has changed since its stage wrote it.
        """
        require_recorded(self.files[1:], skip=".safetensors")
        for table in ("scores", "history", "iterations", "layers", "costs", "likelihoods"):
            getattr(self, table)
        len(self.sampling)

    def of_prior(self, rows: pd.DataFrame, prior: str | None) -> pd.DataFrame:
        """Return the rows of a prior, or of each experiment's own, and those without one."""
        own = rows["experiment"].map({each.name: each.prior for each in self})
        return rows[rows["prior"].eq("") | rows["prior"].eq(prior or own)]

    def by_prior(self, run: RunGroup) -> list[RunGroup]:
        """Return a run under each prior that its samples were measured with, its own first."""
        names = {member.name for member in run.members}
        measured = set(self.metrics.loc[self.metrics["training"].isin(names), "prior"])
        own = run.members[0].prior
        others = sorted(measured - {own})
        return [replace(run, prior=prior) for prior in (own, *others)] if others else [run]

    @property
    def has_fitted_priors(self) -> bool:
        """Whether samples of some model were measured under several priors."""
        return any(len(self.by_prior(run)) > 1 for run in self.run_groups())

    @property
    def measured_metrics(self) -> list[Metric]:
        """Distances that some experiment was measured by, the most important first."""
        measured = set(self.scores["quantity"])
        return [metric for metric in METRICS if metric.key in measured]

    @property
    def prdc_extractor(self) -> str | None:
        """The extractor whose precision, recall, density and coverage the report shows."""
        measured = set(self.scores["quantity"])
        for metric in METRICS:
            if feature_column(PRDC[0], metric.extractor) in measured:
                return metric.extractor
        return None

    @property
    def prdc_extractor_name(self) -> str:
        """The name of `prdc_extractor` in a sentence; empty where there is none."""
        if self.prdc_extractor is None:
            return ""
        name = EXTRACTOR_NAMES[self.prdc_extractor]
        return "the classifier" if self.prdc_extractor == "classifier" else name

    @property
    def files(self) -> list[Path]:
        """The study's settings and the records of its results, which name these by SHA-256."""
        records = [
            experiment.folder / paths.record_name(stage)
            for experiment in self.trainings
            for stage in OF_EXPERIMENTS
        ]
        searched = [self.folder / name / paths.SELECT_RECORD for name in self.config.searches]
        return [self.folder / paths.STUDY, *filter(Path.is_file, [*records, *searched])]

    @property
    def has_repeats(self) -> bool:
        """Whether some trainings differ in their seed alone."""
        return len(self.run_groups()) < len(self.trainings)

    @property
    def has_several_datasets(self) -> bool:
        """Whether models of more than one dataset are compared."""
        return len(self.by_dataset()) > 1

    @property
    def has_classes(self) -> bool:
        """Whether the images of some dataset have classes, as far as it was explored."""
        return any(each.latent.get("class_names") for each in self)

    @property
    def has_conditional(self) -> bool:
        """Whether some model is conditional."""
        return any(each.model.get("condition") for each in self)

    @property
    def has_class_means(self) -> bool:
        """Whether the mean codes of classes were decoded.

        Only unconditional models with an encoder have them.
        """
        facts = [each.latent for each in self]
        return any(
            len(each.get("means") or []) > 1 and not each.get("label_names") for each in facts
        )

    def by_dataset(self, among: Sequence[Experiment] | None = None) -> dict[str, list[Experiment]]:
        """Return experiments by dataset: only those of one dataset can be compared."""
        groups: dict[str, list[Experiment]] = {}
        chosen = {each.name for each in (self.members if among is None else among)}
        for experiment in self.members:
            if experiment.name in chosen:
                groups.setdefault(experiment.dataset, []).append(experiment)
        return groups

    def split_by_dataset(self) -> dict[str, Study]:
        """Return a study of the experiments of each dataset."""
        parts = {}
        for dataset, members in self.by_dataset().items():
            repeats = tuple(each for each in self.repeats if each.dataset == dataset)
            parts[dataset] = replace(self, members=tuple(members), repeats=repeats)
        return parts

    def run_groups(self, experiments: Sequence[Experiment] | None = None) -> list[RunGroup]:
        """Return experiments with their repeats, each group where its first member stands."""
        together: dict[str, list[Experiment]] = {}
        for experiment in self.members:
            group = together.setdefault(experiment.settings_without_seed, [])
            group += self.trainings_of(experiment).members
        chosen = {each.name for each in (self.members if experiments is None else experiments)}
        return [
            RunGroup(tuple(members)) for members in together.values() if members[0].name in chosen
        ]

    def runs_by_dataset(self) -> dict[str, list[RunGroup]]:
        """Return what is ranked together: experiments by dataset, repeats as one."""
        return {dataset: self.run_groups(members) for dataset, members in self.by_dataset().items()}

    def checkpoints(self, run: RunGroup, metric: str) -> pd.DataFrame:
        """Return epoch, seconds, mean and std of a metric at the checkpoints of a run.

        For repeats: over trainings, at the checkpoints that all of them have.
        """
        names = [member.name for member in run.members]
        own = self.of_prior(self.metrics, run.prior)
        rows = own[own["training"].isin(names) & (own["metric"] == metric)]
        return frames.checkpoints(rows, self.history, num_trainings=len(names))

    def with_files(
        self, what: str, stage: str, found: Callable[[Experiment], Any]
    ) -> tuple[list[Experiment], list[str]]:
        """Return the experiments for which `found` is true, and a note on the others."""
        present = [experiment for experiment in self.members if found(experiment)]
        missing = [each.in_markdown for each in self.members if each not in present]
        if not missing:
            return present, []
        return present, [f"{', '.join(missing)}: no {what} yet. Run `latentbench {stage}`."]

    def with_rows(
        self, frame: pd.DataFrame, what: str, stage: str
    ) -> tuple[list[Experiment], list[str]]:
        """Return the experiments that have rows in a frame, and a note on the others."""
        names = set(frame["experiment"]) if len(frame) else set()
        return self.with_files(what, stage, lambda experiment: experiment.name in names)

    def with_evaluation(
        self, *arrays: str, facts: Sequence[str] = ()
    ) -> tuple[list[Experiment], list[str]]:
        """Return the experiments whose evaluation has these arrays and facts.

        The note is on experiments that were not evaluated; what a model cannot have is no gap.
        """
        _, notes = self.with_files(
            paths.EVALUATION_ARRAYS, "evaluate", lambda each: each.evaluation_arrays
        )
        found = [
            each
            for each in self.members
            if has_all(each.evaluation_arrays, arrays) and has_all(each.evaluation, facts)
        ]
        return found, notes

    def with_latent(
        self, *arrays: str, facts: Sequence[str] = ()
    ) -> tuple[list[Experiment], list[str]]:
        """Return the experiments whose exploration has these arrays and facts, and a note."""
        _, notes = self.with_files(paths.LATENT_ARRAYS, "explore", lambda each: each.latent_arrays)
        found = [
            each
            for each in self.members
            if has_all(each.latent_arrays, arrays) and has_all(each.latent, facts)
        ]
        return found, notes

    def with_interactive(
        self, *arrays: str, facts: Sequence[str] = ()
    ) -> tuple[list[Experiment], list[str]]:
        """Return the experiments that have these arrays of interactive figures, and a note."""
        present, notes = self.with_latent(facts=facts)
        return [each for each in present if has_all(each.interactive_arrays, arrays)], notes


def open_study(folder: str | Path) -> Study:
    """Read results/STUDY.

    Raises:
        ArtifactError: There is nothing to compare, or a file is damaged.
    """
    folder = Path(folder).expanduser()
    if not (folder / paths.STUDY).is_file():
        raise ArtifactError(
            f"{folder / paths.STUDY} is missing; give results/STUDY, or write it with `latentbench "
            "configure --study`."
        )
    config = read_config(folder / paths.STUDY, StudyConfig)
    if not config.experiments:
        raise ArtifactError(
            f"{folder / paths.STUDY} lists no experiments; "
            f"give one in params.yaml the key `study: {config.name}`."
        )
    if not any((folder / name).is_dir() for name in config.experiments):
        names = ", ".join(config.experiments)
        raise ArtifactError(f"{folder} has no results of {names}; train an experiment first.")
    return Study(config, folder, *read_experiments(config, folder))
