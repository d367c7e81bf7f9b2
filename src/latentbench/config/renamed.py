"""Keys of params.yaml that have a new name, so that an old file gets an error that names it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Locations, where * is any name or index, and what to write instead.
RENAMED_KEYS = {
    "studies.*.handin": "archive_name",
    "studies.*.number": "group_id",
    "studies.*.authors.*.number": "student_id",
    "datasets.*.test_share": "test_fraction",
    "experiments.*.model.objective": "model.name",
    "experiments.*.model.network": "model.architecture",
    "experiments.*.model.hidden": "model.hidden_dims",
    "experiments.*.model.attention": "model.attention_resolution",
    "experiments.*.model.initialisation": "model.initialization",
    "experiments.*.training.grid": "training.sample_grid",
    "experiments.*.evaluation.neighbours": "evaluation.num_neighbors",
    "experiments.*.latent.num_mapped": "latent.num_projected",
    "experiments.*.resources.minutes": "resources.runtime_minutes",
    "defaults.training.grid": "training.sample_grid",
    "defaults.evaluation.neighbours": "evaluation.num_neighbors",
    "defaults.latent.num_mapped": "latent.num_projected",
    "defaults.resources.minutes": "resources.runtime_minutes",
}

# Placeholders of `archive_name`.
RENAMED_PLACEHOLDERS = {"number": "group_id", "numbers": "student_ids"}


def find_renamed_key(params: Any) -> tuple[str, str] | None:
    """Return the location of the first key with a new name, and that name; None without one."""
    for pattern, new_name in RENAMED_KEYS.items():
        for location in _matches(params, pattern.split(".")):
            return location, new_name
    return None


def _matches(value: Any, pattern: list[str]) -> Iterator[str]:
    """Yield the locations below `value` that match the pattern."""
    first, *rest = pattern
    if isinstance(value, dict):
        keys = list(value) if first == "*" else [first]
        children = {key: value[key] for key in keys if key in value}
    elif isinstance(value, list) and first == "*":
        children = dict(enumerate(value))
    else:
        return
    for key, child in children.items():
        if not rest:
            yield str(key)
            continue
        for location in _matches(child, rest):
            yield f"{key}.{location}"
