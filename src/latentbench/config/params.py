"""The schema of params.yaml, and how its entries are resolved into configs."""

from __future__ import annotations

import re
import unicodedata
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from latentbench.config.base import Count, Name, Section
from latentbench.config.budgets import Budget, small_dataset, small_experiment
from latentbench.config.datasets import AnyDataset, DatasetConfig
from latentbench.config.experiments import (
    Defaults,
    Experiment,
    ExperimentConfig,
    training_names,
)
from latentbench.config.renamed import RENAMED_PLACEHOLDERS
from latentbench.errors import ConfigError, list_names, quote, reason, shorten

# Kinds of entries that are resolved into a config file each, and their sections.
Kind = Literal["dataset", "experiment", "study"]
KINDS: dict[Kind, str] = {"dataset": "datasets", "experiment": "experiments", "study": "studies"}

# The rules of the workflow. A study has a rule of its own, which must not have one of these names.
RULES = {
    "all",
    "configure_dataset",
    "configure_experiment",
    "configure_search",
    "configure_selected_experiment",
    "configure_selected_stage",
    "configure_stage",
    "configure_study",
    "evaluate",
    "explore",
    "fetch",
    "handin",
    "prepare",
    "reference",
    "report",
    "select",
    "train",
    "train_trial",
    "walkthrough",
}

# The chapters of a report. Each is a notebook of this name in report/.
Notebook = Literal["comparison", "latent", "training", "data", "background", "walkthrough"]
# The chapter that shows the whole process in code, which has a stage of its own.
WALKTHROUGH: Notebook = "walkthrough"
# The chapters of a study that does not list them, in order: results first.
NOTEBOOKS: tuple[Notebook, ...] = ("comparison", "latent", "training", "data", "background")
GLANCE = "glance"  # the notebook that every report opens with

# Unicode's names of letters that look like one or two of ASCII.
_LATIN = re.compile(r"LATIN (CAPITAL|SMALL) (?:LETTER|LIGATURE) ([A-Z]{1,2})(?: WITH .*)?")
_MAX_NAME_BYTES = 200  # of the 255 that file systems have for a name


def _read_identifier(raw: Any) -> Any:
    """Return a whole number as text, other values as they are."""
    return str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw


Identifier = Annotated[str, BeforeValidator(_read_identifier, json_schema_input_type=int | str)]


class Author(Section):
    """An author of a report."""

    name: str = Field(min_length=1, description="The name, in any script.")
    student_id: Identifier | None = Field(default=None, description="The student's ID.")

    def __str__(self) -> str:
        return self.name if self.student_id is None else f"{self.name} ({self.student_id})"


class Published(Section):
    """A published value of a metric, which an experiment is held against."""

    # Those of networks that all papers share, not of a classifier that is trained here.
    metric: Literal["fid", "kid", "fd_dinov2", "kd_dinov2", "cmmd"] = Field(
        default="fid", description="The metric, a column of `metrics.csv`."
    )
    value: float = Field(description="Its published value.")
    source: str = Field(min_length=1, description="Who published it, and how it was measured.")


def _parse_author(raw: Any) -> Any:
    """Return a bare name as an author without a student ID."""
    return {"name": raw} if isinstance(raw, str) else raw


class Study(Section):
    """A question, answered by a report on the experiments that name this study."""

    title: str = Field(min_length=1, description="The report's title.")
    question: str = Field(default="", description="What the report answers, on its first page.")
    authors: list[
        Annotated[Author, BeforeValidator(_parse_author, json_schema_input_type=str | Author)]
    ] = Field(default=[], description="Names, or names with student IDs.")
    group_id: Identifier | None = Field(default=None, description="ID of the authors' group.")
    notebooks: Annotated[list[Notebook], Field(min_length=1)] = Field(
        default=list(NOTEBOOKS), description="Chapters of the report, in order."
    )
    published: dict[Name, Published] = Field(
        default={},
        description="Published values by experiment, for a table with those measured here.",
    )
    archive_name: str = Field(
        default="{study}",
        description="Name of the zip to hand in. Placeholders: {study}, {group_id}, {names} and "
        "{student_ids} of the authors.",
    )

    @property
    def all_notebooks(self) -> list[str]:
        """All notebooks of the report: what is seen at a glance, then the chapters."""
        return [GLANCE, *self.notebooks]

    @model_validator(mode="after")
    def _check_notebooks(self) -> Study:
        if len(set(self.notebooks)) != len(self.notebooks):
            raise ValueError("has the same notebook twice; list each once")
        return self

    @model_validator(mode="after")
    def _check_archive_name(self) -> Study:
        self.archive_file_name("study")
        return self

    def archive_file_name(self, study: str) -> str:
        """Return the name of the zip, without characters that file systems may refuse.

        Raises ValueError if `archive_name` has a placeholder that is unknown or has no value.
        """
        values = self._placeholder_values() | {"study": study}
        for placeholder in sorted(_placeholders(self.archive_name)):
            if placeholder in RENAMED_PLACEHOLDERS:
                raise ValueError(
                    f"uses {{{placeholder}}} in archive_name, which is now "
                    f"{{{RENAMED_PLACEHOLDERS[placeholder]}}}; rename the placeholder"
                )
            if placeholder not in values:
                known = ", ".join(f"{{{key}}}" for key in sorted(values))
                unknown = shorten(placeholder, 80)
                raise ValueError(f"uses {{{unknown}}} in archive_name; use only {known}")
            if not values[placeholder]:
                raise ValueError(
                    f"uses {{{placeholder}}} in archive_name, but has no value for it; add the "
                    f"authors or the group_id, or remove {{{placeholder}}}"
                )
        name = _as_file_name(self.archive_name.removesuffix(".zip").format(**values))
        if not name.strip("."):
            raise ValueError(
                f"has archive_name: {quote(self.archive_name)}, which has no letter or digit that "
                "a file name can have; add some"
            )
        if len(name.encode()) > _MAX_NAME_BYTES:
            raise ValueError(
                f"has archive_name: {quote(self.archive_name)}, which gives a file name of "
                f"{len(name.encode())} bytes; shorten it to {_MAX_NAME_BYTES}"
            )
        return f"{name}.zip"

    def _placeholder_values(self) -> dict[str, str]:
        """Return the values of this study's placeholders; empty without one."""
        ids = [author.student_id for author in self.authors if author.student_id is not None]
        return {
            "group_id": self.group_id or "",
            "names": "_".join(author.name for author in self.authors),
            "student_ids": "_".join(ids),
        }


def _placeholders(pattern: str) -> set[str]:
    """Return the names in braces; raise ValueError if the braces do not match or have more."""
    names = set()
    try:
        for _, name, format_spec, conversion in Formatter().parse(pattern):
            if format_spec or conversion:
                raise ValueError(f"there is more than a name in {{{name}}}")
            if name is not None:
                names.add(name)
        return names
    except ValueError as error:
        raise ValueError(
            f"has archive_name: {quote(pattern)}, whose braces are wrong ({reason(error)}); "
            "correct them"
        ) from None


def _as_file_name(text: str) -> str:
    """Return the letters, digits, dots, hyphens and underscores of a text.

    File systems and mail programs may refuse others. Latin letters lose their accents.
    """
    name = ""
    for letter in unicodedata.normalize("NFKC", text):
        is_vowel_sign = unicodedata.category(letter)[0] == "M" and not name[-1:].isascii()
        if letter.isalnum() or letter in "._-" or is_vowel_sign:
            name += _plain_letter(letter)
    return name


def _plain_letter(letter: str) -> str:
    """Return a Latin letter in ASCII, such as O for Ø, AE for Æ and ss for ß, others unchanged."""
    latin = _LATIN.fullmatch(unicodedata.name(letter, ""))
    if latin:
        return latin[2] if latin[1] == "CAPITAL" else latin[2].lower()
    folded = letter.casefold()
    return folded if folded.isascii() and not letter.isascii() else letter


class StudyConfig(Study):
    """A resolved study: written by `configure --study`, read by the report."""

    name: Name
    budget: Budget = "full"
    experiments: list[Name]
    datasets: list[Name]
    repeats: dict[Name, Count] = Field(
        default={}, description="Number of trainings of experiments that have several."
    )

    searches: dict[Name, Count] = Field(
        default={}, description="Number of trials of experiments whose settings are searched."
    )

    @property
    def trials(self) -> list[str]:
        """The names of the trials of all searches."""
        names = []
        for experiment, number in self.searches.items():
            names += [f"{experiment}/search/{place}" for place in range(1, number + 1)]
        return names

    @property
    def trainings(self) -> list[str]:
        """The names of the reported trainings, each experiment's together, its first one first."""
        names = []
        for experiment in self.experiments:
            names += training_names(experiment, self.repeats.get(experiment, 1))
        return names


class Params(Section):
    """The whole of params.yaml."""

    budget: Budget = Field(
        default="full",
        description="`small` runs a study in minutes, for a first look: fewer images, epochs, "
        "channels and samples.",
    )
    studies: dict[Name, Study]
    datasets: dict[Name, AnyDataset]
    experiments: dict[Name, Experiment]
    defaults: Defaults = Defaults()

    def experiment(self, name: str) -> ExperimentConfig:
        """Return a training, resolved: within the budget, with a list of checkpoints.

        The name of an experiment is that of its first training; `vae/repeats/1` is a further one,
        and `vae/search/1` a trial of its search. What the search selects is in its results
        (`artifacts.selection`).
        """
        first = name.partition("/")[0]
        experiment = self._within_budget(_entry(self.experiments, "experiment", first))
        dataset = self.datasets[experiment.dataset]
        settings = experiment.model_dump()
        settings["training"]["checkpoints"] = experiment.training.checkpoint_epochs
        config = ExperimentConfig(
            name=first, image_size=dataset.image_size, channels=dataset.channels, **settings
        )
        if name == first:
            return config
        others = {each.name: each for each in (*config.further_trainings(), *config.trials())}
        if name not in others:
            raise ConfigError(
                f"There is no training {quote(name)}; {first} has {list_names([first, *others])}."
            )
        return others[name]

    def dataset(self, name: str) -> DatasetConfig:
        """Return the dataset, resolved: within the budget."""
        dataset = _entry(self.datasets, "dataset", name)
        if self.budget == "small":
            dataset = small_dataset(dataset)
        return DatasetConfig(name=name, dataset=dataset)

    def study(self, name: str) -> StudyConfig:
        """Return the study, resolved: with lists of its experiments and their datasets."""
        study = _entry(self.studies, "study", name)
        experiments, datasets, repeats, searches = [], set(), {}, {}
        for key, experiment in self.experiments.items():
            if experiment.study == name:
                experiments.append(key)
                datasets.add(experiment.dataset)
                resolved = self._within_budget(experiment)
                if resolved.repeats > 1:
                    repeats[key] = resolved.repeats
                if resolved.search:
                    searches[key] = len(resolved.combinations())
        unknown = study.published.keys() - set(experiments)
        if unknown:
            raise ConfigError(
                f"params.yaml: studies.{name}.published names {list_names(sorted(unknown))}, but "
                f"the study's experiments are {list_names(experiments)}. Correct the name."
            )
        return StudyConfig(
            name=name,
            budget=self.budget,
            experiments=experiments,
            datasets=sorted(datasets),
            repeats=repeats,
            searches=searches,
            **study.model_dump(),
        )

    def _within_budget(self, experiment: Experiment) -> Experiment:
        return small_experiment(experiment) if self.budget == "small" else experiment

    def excerpt(self, kind: Kind, name: str) -> dict[str, Any]:
        """Return params with this entry and those that it names only, with all defaults."""
        names: dict[str, list[str]] = {"studies": [], "datasets": [], "experiments": []}
        names[KINDS[kind]] = [name]
        if kind == "experiment":
            experiment = _entry(self.experiments, kind, name)
            names |= {"studies": [experiment.study], "datasets": [experiment.dataset]}
        if kind == "study":
            study = self.study(name)
            names |= {"datasets": study.datasets, "experiments": study.experiments}
        excerpt: dict[str, Any] = {"budget": self.budget}
        for section, listed in names.items():
            entries = getattr(self, section)
            excerpt[section] = {each: entries[each].model_dump(mode="json") for each in listed}
        return excerpt


def _entry(section: dict[str, Any], kind: str, name: str) -> Any:
    if name not in section:
        raise ConfigError(
            f"There is no {kind} {quote(name)}; params.yaml has {list_names(section)}."
        )
    return section[name]
