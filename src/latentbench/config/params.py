"""The schema of params.yaml, and the step from it to one resolved config per experiment, dataset and study."""

from __future__ import annotations

import re
import unicodedata
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from latentbench.config.base import Name, Section
from latentbench.config.budgets import Budget, small_dataset, small_experiment
from latentbench.config.datasets import AnyDataset, DatasetConfig
from latentbench.config.experiments import Defaults, Experiment, ExperimentConfig
from latentbench.errors import ConfigError

# What is resolved into a file of its own.
Kind = Literal["dataset", "experiment", "study"]
KINDS: dict[Kind, str] = {"dataset": "datasets", "experiment": "experiments", "study": "studies"}

# The chapters of a report, in their order: the notebooks of these names under report/.
Notebook = Literal["background", "data", "training", "latent", "comparison"]
NOTEBOOKS: tuple[Notebook, ...] = ("background", "data", "training", "latent", "comparison")

# The name of what is handed in, without its suffix: what file systems and mail programs all take.
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


class Author(Section):
    """Who signs a report."""

    name: str = Field(min_length=1)
    student_id: int | str | None = Field(default=None, description="The student's ID.")

    def __str__(self) -> str:
        return self.name if self.student_id is None else f"{self.name} ({self.student_id})"


def _author(raw: Any) -> Any:
    """A bare name is an author without a student ID."""
    return {"name": raw} if isinstance(raw, str) else raw


class Study(Section):
    """A question, its experiments (those that name it) and its report."""

    title: str = Field(min_length=1)
    question: str = ""
    authors: list[
        Annotated[Author, BeforeValidator(_author, json_schema_input_type=str | Author)]
    ] = Field(default=[])
    group_id: int | str | None = Field(default=None, description="ID of the authors' group.")
    notebooks: Annotated[list[Notebook], Field(min_length=1)] = Field(
        default=list(NOTEBOOKS), description="The chapters of its report, in this order."
    )
    archive_name: str = Field(
        default="{study}",
        description="Name of the zip to hand in. {study}, {group_id}, {names} and {student_ids} are replaced by the "
        "study's name, its group's ID, and its authors' names and student IDs.",
    )

    @model_validator(mode="after")
    def _chapters_once(self) -> Study:
        if len(set(self.notebooks)) != len(self.notebooks):
            raise ValueError("names a notebook twice; list each once")
        return self

    @model_validator(mode="after")
    def _archive_name_is_a_pattern(self) -> Study:
        self.archive_file_name("study")
        return self

    def archive_file_name(self, study: str) -> str:
        """The name of the zip, without letters that a file system could refuse."""
        known = {
            "study": study,
            "group_id": self.group_id,
            "names": "_".join(author.name for author in self.authors),
            "student_ids": "_".join(
                str(author.student_id) for author in self.authors if author.student_id is not None
            ),
        }
        try:
            asked = {
                field
                for _, field, _, _ in Formatter().parse(self.archive_name)
                if field is not None
            }
        except ValueError as error:
            raise ValueError(
                f"has archive_name: {self.archive_name!r}, which is not a pattern ({error})"
            ) from None
        for field in sorted(asked):
            if field not in known:
                raise ValueError(
                    f"has {{{field}}} in archive_name, which is none of {', '.join(sorted(known))}"
                )
            if known[field] in (None, ""):
                raise ValueError(
                    f"has {{{field}}} in archive_name but does not say it; add it or drop it from the pattern"
                )
        name = _PLAIN.sub(
            "",
            unicodedata.normalize("NFKD", self.archive_name.removesuffix(".zip").format(**known)),
        )
        if not name.strip("."):
            raise ValueError(
                f"has archive_name: {self.archive_name!r}, of which no letter can stand in a file's name"
            )
        return f"{name}.zip"


class StudyConfig(Study):
    """A study resolved: what `configure --study` writes and the report reads."""

    name: Name
    budget: Budget = "full"
    experiments: list[Name]
    datasets: list[Name]


class Params(Section):
    """The whole of params.yaml."""

    budget: Budget = Field(
        default="full",
        description="`small` runs a study in minutes, for a first look: fewer images, epochs, channels and samples.",
    )
    studies: dict[Name, Study]
    datasets: dict[Name, AnyDataset]
    experiments: dict[Name, Experiment]
    defaults: Defaults = Defaults()

    def experiment(self, name: str) -> ExperimentConfig:
        """The experiment with its defaults filled in and its checkpoints listed."""
        experiment = _named(self.experiments, "experiment", name)
        if self.budget == "small":
            experiment = small_experiment(experiment)
        dataset = self.datasets[experiment.dataset]
        settings = experiment.model_dump()
        settings["training"]["checkpoints"] = experiment.training.checkpoint_epochs
        return ExperimentConfig(
            name=name, image_size=dataset.image_size, channels=dataset.channels, **settings
        )

    def dataset(self, name: str) -> DatasetConfig:
        dataset = _named(self.datasets, "dataset", name)
        return DatasetConfig(
            name=name, dataset=small_dataset(dataset) if self.budget == "small" else dataset
        )

    def study(self, name: str) -> StudyConfig:
        study = _named(self.studies, "study", name)
        members = {key: value for key, value in self.experiments.items() if value.study == name}
        return StudyConfig(
            name=name,
            budget=self.budget,
            experiments=list(members),
            datasets=sorted({member.dataset for member in members.values()}),
            **study.model_dump(),
        )

    def excerpt(self, kind: Kind, name: str) -> dict[str, Any]:
        """The params file of this entry and what it is resolved with alone, every default written out."""
        names: dict[str, list[str]] = {"studies": [], "datasets": [], "experiments": []}
        names[KINDS[kind]] = [name]
        if kind == "experiment":
            experiment = _named(self.experiments, kind, name)
            names |= {"studies": [experiment.study], "datasets": [experiment.dataset]}
        if kind == "study":
            study = self.study(name)
            names |= {"datasets": study.datasets, "experiments": study.experiments}
        entries = {
            section: {each: getattr(self, section)[each].model_dump(mode="json") for each in listed}
            for section, listed in names.items()
        }
        return {"budget": self.budget, **entries}


def _named(section: dict[str, Any], kind: str, name: str) -> Any:
    if name not in section:
        raise ConfigError(
            f"There is no {kind} {name!r}; params.yaml has {', '.join(section) or 'none'}."
        )
    return section[name]
