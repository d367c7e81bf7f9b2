"""Read params.yaml and resolved configs; report each fault with its key, value and remedy."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from latentbench.config.base import Section
from latentbench.config.datasets import DATASETS
from latentbench.config.experiments import Experiment
from latentbench.config.models import MODELS
from latentbench.config.params import Params
from latentbench.config.renamed import find_renamed_key
from latentbench.errors import ConfigError

SectionT = TypeVar("SectionT", bound=Section)

_CONVERTIBLE = {"int_type", "float_type", "bool_type"}  # errors that converting text may mend


def read_yaml(path: Path, *, text: str | None = None) -> Any:
    """Return the content of a YAML file, or of `text` if it is given instead of the file's."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8") if text is None else text)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        details = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {details}.") from None


def read_params(path: Path, *, text: str | None = None) -> Params:
    """Return params.yaml, validated; `text` is used instead of the file's content if given."""
    return parse_params(read_yaml(path, text=text), where=str(path))


def parse_params(raw: Any, *, where: str) -> Params:
    """Return params from plain dicts and lists: merge defaults, check types, look up names.

    Raises ConfigError, whose message starts with `where`.
    """
    renamed = find_renamed_key(raw)
    if renamed is not None:
        location, new_name = renamed
        raise ConfigError(f"{where}: {location} is now {new_name}. Rename the key.")
    params = parse(Params, _merge_defaults(raw), where=where)
    for name, experiment in params.experiments.items():
        try:
            _check_experiment(experiment, params)
        except ValueError as error:
            raise ConfigError(f"{where}: experiments.{name}.{error}.") from None
    return params


def read_config(path: Path, kind: type[SectionT]) -> SectionT:
    """Return a resolved config that `configure` wrote."""
    return parse(kind, read_yaml(path), where=str(path))


def parse(kind: type[SectionT], raw: Any, *, where: str) -> SectionT:
    """Return plain dicts and lists as a section of this kind.

    Types are strict, with one exception: text may stand for a number or a Boolean. YAML 1.1 reads
    `2e-4` as text, and Snakemake's --config gives nested values as text.
    Raises ConfigError, whose message starts with `where`.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{where} must be a mapping of keys to values, not {type(raw).__name__}.")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if not _is_convertible_text(fault)]
    if faults:
        raise ConfigError(_message(kind, faults, where))
    try:
        return kind.model_validate(raw, strict=False)
    except ValidationError as error:
        raise ConfigError(_message(kind, error.errors(), where)) from None


def _check_experiment(experiment: Experiment, params: Params) -> None:
    """Raise ValueError if the experiment does not fit its study or its dataset."""
    _check_name("dataset", experiment.dataset, params.datasets)
    _check_name("study", experiment.study, params.studies)
    dataset, condition = params.datasets[experiment.dataset], experiment.model.condition
    if isinstance(condition, list) and not dataset.has_attributes:
        raise ValueError(
            f"model.condition lists {condition[0]}, but {experiment.dataset} has no attributes; "
            "add a table of `attributes` to the dataset, or use condition: class"
        )
    try:
        experiment.model.check_image_size(dataset.image_size)
    except ValueError as error:
        raise ValueError(f"model {error}") from None


def _check_name(key: str, name: str, section: dict[str, Any]) -> None:
    if name not in section:
        known = ", ".join(section) or "none"
        raise ValueError(
            f"{key} is {name!r}, which is not defined; choose one of these or define it: {known}"
        )


def _merge_defaults(raw: Any) -> Any:
    """Return the params with each experiment merged over a copy of `defaults`."""
    if not isinstance(raw, dict) or not isinstance(raw.get("experiments"), dict):
        return raw
    defaults = raw.get("defaults") or {}
    merged = {}
    for name, experiment in raw["experiments"].items():
        both = isinstance(defaults, dict) and isinstance(experiment, dict)
        merged[name] = _merge(defaults, experiment) if both else experiment
    return {**raw, "experiments": merged}


def _merge(base: Any, overrides: Any) -> Any:
    """Return `base` with `overrides`, merging nested mappings key by key."""
    if not (isinstance(base, dict) and isinstance(overrides, dict)):
        return overrides
    merged = dict(base)
    for key, value in overrides.items():
        merged[key] = _merge(base[key], value) if key in base else value
    return merged


def _is_convertible_text(error: ErrorDetails) -> bool:
    return error["type"] in _CONVERTIBLE and isinstance(error["input"], str)


def _message(kind: type[BaseModel], errors: list[ErrorDetails], where: str) -> str:
    """Return the first error as a sentence, and the number of the others."""
    error = errors[0]
    key = ".".join(map(str, _key_path(error["loc"]))) or "the file"
    more = f" ({len(errors) - 1} more errors.)" if len(errors) > 1 else ""
    return f"{where}: {key} {_describe(kind, error)}.{more}"


def _key_path(location: tuple[int | str, ...]) -> list[int | str]:
    """Return a pydantic location without what is no key: `[key]`, and the tags of unions.

    A tag follows the key of its union: datasets.NAME.TAG, dataset.TAG or model.TAG.
    """
    path: list[int | str] = []
    for part in location:
        is_dataset = path == ["dataset"] or (len(path) == 2 and path[0] == "datasets")
        is_model = path[-1:] == ["model"]
        is_tag = (is_dataset and part in DATASETS) or (is_model and part in MODELS)
        if part != "[key]" and not is_tag:
            path.append(part)
    return path


def _describe(kind: type[BaseModel], error: ErrorDetails) -> str:  # noqa: PLR0911
    """Return what is wrong with a key, and what it must be instead."""
    value, context = error["input"], error.get("ctx", {})
    shown = repr(value) if len(repr(value)) < 60 else type(value).__name__
    match error["type"]:
        case "extra_forbidden":
            similar = difflib.get_close_matches(str(error["loc"][-1]), _known_keys(kind), n=1)
            remedy = f"replace it by {similar[0]!r}" if similar else "remove it"
            return f"is not a known key; {remedy}"
        case "missing":
            return "is missing; it has no default"
        case "literal_error":
            return f"must be {context['expected']}, not {shown}"
        case "union_tag_invalid":
            key = str(context["discriminator"]).strip("'")
            return f"has {key} {context['tag']!r}, but it must be one of {context['expected_tags']}"
        case "union_tag_not_found":
            return f"needs the key {context['discriminator']}"
        case "value_error":
            return str(context["error"])
        case "string_pattern_mismatch":
            return f"has {shown}, which must match {context['pattern']}"
        case _:
            return f"has {shown}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _known_keys(kind: type[BaseModel]) -> list[str]:
    """Return the keys of all sections of this kind, for suggestions."""
    schema = kind.model_json_schema()
    keys: set[str] = set()
    for section in (schema, *schema.get("$defs", {}).values()):
        keys.update(section.get("properties", {}))
    return sorted(keys)
