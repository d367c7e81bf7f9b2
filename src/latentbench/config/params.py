"""The schema of params.yaml, and the step from it to one resolved config per experiment, dataset and study."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from latentbench.config.base import Name, Section
from latentbench.config.datasets import AnyDataset, DatasetConfig
from latentbench.config.experiments import Defaults, Experiment, ExperimentConfig
from latentbench.errors import ConfigError


class Study(Section):
    """A question, its experiments (those that name it) and its report."""

    title: str = Field(min_length=1)
    question: str = ""
    authors: list[str] = Field(default=[])


class StudyConfig(Study):
    """A study resolved: what `configure --study` writes and the report reads."""

    name: Name
    experiments: list[Name]
    datasets: list[Name]


class Params(Section):
    """The whole of params.yaml."""

    studies: dict[Name, Study]
    datasets: dict[Name, AnyDataset]
    experiments: dict[Name, Experiment]
    defaults: Defaults = Defaults()

    def experiment(self, name: str) -> ExperimentConfig:
        """The experiment with its defaults filled in and its checkpoints listed."""
        experiment = _named(self.experiments, "experiment", name)
        dataset = self.datasets[experiment.dataset]
        settings = experiment.model_dump()
        settings["training"]["checkpoints"] = experiment.training.checkpoint_epochs
        return ExperimentConfig(name=name, image_size=dataset.image_size, channels=dataset.channels, **settings)

    def dataset(self, name: str) -> DatasetConfig:
        return DatasetConfig(name=name, dataset=_named(self.datasets, "dataset", name))

    def study(self, name: str) -> StudyConfig:
        study = _named(self.studies, "study", name)
        members = {key: value for key, value in self.experiments.items() if value.study == name}
        return StudyConfig(
            name=name,
            experiments=list(members),
            datasets=sorted({member.dataset for member in members.values()}),
            **study.model_dump(),
        )


def _named(section: dict[str, Any], kind: str, name: str) -> Any:
    if name not in section:
        raise ConfigError(f"There is no {kind} {name!r}; params.yaml has {', '.join(section) or 'none'}.")
    return section[name]
