"""What the search of an experiment selected, and the settings of trainings that use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentbench.artifacts.dependencies import differences, sections_text, settings_of
from latentbench.artifacts.files import damaged, read_manifest, write_manifest
from latentbench.artifacts.paths import SELECTED
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_yaml
from latentbench.config.params import Params
from latentbench.errors import ArtifactError, DivergenceError


def write_selection(
    path: Path, config: ExperimentConfig, trials: Sequence[Mapping[str, Any]], **facts: Any
) -> None:
    """Write selected.json; `trials` have `values` and `mean`, of which the lowest is selected.

    The mean of a trial that diverged is None. Raises DivergenceError if all did.
    """
    finite = [trial for trial in trials if trial["mean"] is not None]
    if not finite:
        raise DivergenceError(
            f"{config.name}: all trials of its search diverged. Search other values, such as lower "
            "learning rates."
        )
    best = min(finite, key=lambda trial: trial["mean"])
    content = {
        "settings": settings_of("select", config.model_dump(mode="json")),
        "values": best["values"],
        "trials": list(trials),
    }
    write_manifest(path, content | facts)


def merge_selection(text: str, path: Path) -> str:
    """Return a config file of a training with the values of a selection in its model's settings.

    Raises:
        ArtifactError: The selection was made for another model.
    """
    config = read_yaml(Path("the config"), text=text)
    selection = _read(path)
    _require_same(path, selection["settings"].get("model"), config.get("model"))
    config["model"] |= selection["values"]
    return sections_text(config)


def resolve_training(params: Params, name: str, study: Path) -> ExperimentConfig:
    """Return a training of the params with the values that its experiment's search selected.

    `study` is results/STUDY.

    Raises:
        ArtifactError: The search was not made, or with other settings.
        ConfigError: There is no such training.
    """
    config = params.experiment(name)
    if not config.search:
        return config
    experiment = name.partition("/")[0]
    path = study / experiment / SELECTED
    if not path.is_file():
        raise ArtifactError(
            f"{path} is missing: the settings of {name} are those that its search selects. Run "
            f"`latentbench search` first."
        )
    selection = _read(path)
    expected = settings_of("select", params.experiment(experiment).model_dump(mode="json"))
    _require_same(path, selection["settings"], expected)
    return config.model_copy(update={"model": config.model_with(selection["values"])})


def _read(path: Path) -> dict[str, Any]:
    selection = read_manifest(path)
    for key in ("settings", "values"):
        if not isinstance(selection.get(key), dict):
            raise damaged(path, f"it has no {key}")
    return selection


def _require_same(path: Path, found: object, expected: object) -> None:
    different = differences(found, expected)
    if different:
        raise ArtifactError(
            f"{path} was made with other settings: {different[0]}. Run `latentbench search` again."
        )
