"""Read params.yaml and resolved configs; report each fault with its key, value and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from latentbench.config.base import Section
from latentbench.config.datasets import DATASETS
from latentbench.config.experiments import Experiment
from latentbench.config.models import MODELS
from latentbench.config.params import RULES, WALKTHROUGH, Params
from latentbench.config.renamed import find_renamed_key
from latentbench.config.yaml_format import parse_yaml
from latentbench.errors import ConfigError, list_names, quote, reason, shorten

SectionT = TypeVar("SectionT", bound=Section)

# Faults of a value that is text; converting the text may mend them.
_CONVERTIBLE = {"int_type", "float_type", "bool_type"}
_EXPECTED = {
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "list_type": "a list",
    "string_type": "text",
}
_NULLS = {"null", "Null", "NULL", "~"}
_LONGEST_KEY = 80


def read_yaml(path: Path, *, text: str | bytes | None = None) -> Any:
    """Return the content of a YAML file, or of `text` if it is given instead of the file's."""
    try:
        content = path.read_bytes() if text is None else text
        return parse_yaml(content if isinstance(content, str) else content.decode())
    except FileNotFoundError:
        raise ConfigError(f"{_shown_path(path)} does not exist; check the path.") from None
    except OSError as error:
        raise ConfigError(
            f"{_shown_path(path)} cannot be read ({reason(error)}); check the path and its "
            "permissions."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{_shown_path(path)} is not UTF-8 ({reason(error)}); save it as UTF-8."
        ) from None
    except ValueError as error:
        raise ConfigError(f"{_shown_path(path)} is not valid YAML, {error}.") from None


def read_params(path: Path, *, text: str | bytes | None = None) -> Params:
    """Return params.yaml, validated; `text` is used instead of the file's content if given."""
    return parse_params(read_yaml(path, text=text), where=_shown_path(path))


def read_overridden_params(paths: Sequence[Path], overrides: Mapping[str, Any]) -> Params:
    """Return the params of several files, each laid over those before it, and overrides on top.

    Snakemake gives the nested values of --config as text, which is converted like other text. Among
    these, `null` is None.
    """
    layers: Any = {}
    for path in paths:
        layer = read_yaml(path)
        if not isinstance(layer, dict):
            return parse_params(layer, where=_shown_path(path))
        layers = _merge(layers, layer)
    where = ", ".join(_shown_path(path) for path in paths)
    return parse_params(_merge(layers, _read_nulls(overrides)), where=where)


def parse_params(raw: Any, *, where: str) -> Params:
    """Return params from plain dicts and lists: merge defaults, check types, look up names.

    Raises ConfigError, whose message starts with `where`.
    """
    renamed = find_renamed_key(raw)
    if renamed is not None:
        location, new_name = renamed
        raise ConfigError(f"{where}: {location} is now {new_name}. Rename the key.")
    params = parse(Params, _merge_defaults(raw), where=where)
    for name, study in params.studies.items():
        _check_study_name(name, params, where)
        try:
            study.archive_file_name(name)
            _check_walkthrough(name, params)
        except ValueError as error:
            raise ConfigError(f"{where}: studies.{name} {error}.") from None
    for name, experiment in params.experiments.items():
        try:
            _check_experiment(experiment, params)
        except ValueError as error:
            raise ConfigError(f"{where}: experiments.{name}.{error}.") from None
    return params


def read_config(path: Path, kind: type[SectionT]) -> SectionT:
    """Return a resolved config that `configure` wrote."""
    return parse(kind, read_yaml(path), where=_shown_path(path))


def parse(kind: type[SectionT], raw: Any, *, where: str) -> SectionT:
    """Return plain dicts and lists as a section of this kind.

    Types are strict, with one exception: text may stand for a number or a Boolean, such as `yes`.
    Snakemake's --config gives nested values as text.
    Raises ConfigError, whose message starts with `where`.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{where} must be a mapping of keys to values, not {_shown(raw)}.")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        faults = [fault for fault in _faults(error) if not _is_convertible_text(fault)]
    if faults:
        raise ConfigError(_message(kind, raw, faults, where))
    try:
        return kind.model_validate(raw, strict=False)
    except ValidationError as error:
        raise ConfigError(_message(kind, raw, _faults(error), where)) from None


def _check_experiment(experiment: Experiment, params: Params) -> None:
    """Raise ValueError if the experiment does not fit its study or its dataset."""
    _check_name("dataset", experiment.dataset, params.datasets)
    _check_name("study", experiment.study, params.studies)
    dataset, condition = params.datasets[experiment.dataset], experiment.model.condition
    if isinstance(condition, list) and not dataset.has_attributes:
        raise ValueError(
            f"model.condition lists {quote(condition[0])}, but {experiment.dataset} has no "
            "attributes; add a table of `attributes` to the dataset, or use condition: class"
        )
    if experiment.search and not dataset.has_validation:
        raise ValueError(
            f"search needs validation images, but {experiment.dataset} has none; set "
            f"datasets.{experiment.dataset}.validation_fraction, for example to 0.1"
        )
    try:
        experiment.model.check_image_size(dataset.image_size)
    except ValueError as error:
        raise ValueError(f"model {error}") from None


def _check_name(key: str, name: str, section: dict[str, Any]) -> None:
    if name not in section:
        raise ValueError(
            f"{key} is {quote(name)}, which is not defined; choose one of these or define it: "
            f"{list_names(section)}"
        )


def _check_study_name(name: str, params: Params, where: str) -> None:
    """Raise ConfigError if Snakemake has a rule of this name, which is not that study's."""
    if name in RULES:
        raise ConfigError(
            f"{where}: studies.{name} has the name of a rule of the workflow. Rename the study."
        )
    packed = name.removeprefix("handin_")
    if packed != name and packed in params.studies:
        raise ConfigError(
            f"{where}: studies.{name} has the name that Snakemake uses to pack the study {packed}. "
            "Rename one of the two."
        )


def _check_walkthrough(name: str, params: Params) -> None:
    """Raise ValueError if the study lists a walkthrough that could train none of its models."""
    models = [each.model for each in params.experiments.values() if each.study == name]
    if WALKTHROUGH not in params.studies[name].notebooks or not models:
        return
    if not any(model.walkthrough_passes for model in models):
        raise ValueError(
            f"has notebooks with {WALKTHROUGH}, which has no training loop for "
            f"{quote(models[0].name)}; remove it, or add another model"
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


def _read_nulls(value: Any) -> Any:
    """Return the value with None for each text that is null in YAML."""
    if isinstance(value, Mapping):
        return {key: _read_nulls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_read_nulls(item) for item in value]
    return None if isinstance(value, str) and value in _NULLS else value


def _faults(error: ValidationError) -> list[ErrorDetails]:
    """Return the errors, without those of defaults that depend on a faulty setting."""
    return [each for each in error.errors() if each["type"] != "default_factory_not_called"]


def _is_convertible_text(error: ErrorDetails) -> bool:
    return error["type"] in _CONVERTIBLE and isinstance(error["input"], str)


def _message(kind: type[BaseModel], raw: Any, errors: list[ErrorDetails], where: str) -> str:
    """Return the first error as a sentence, and the number of the others."""
    error = errors[0]
    key = ".".join(map(_shown_key, _key_path(error["loc"], raw))) or "the file"
    more = f" ({len(errors) - 1} more errors.)" if len(errors) > 1 else ""
    return f"{where}: {key} {_describe(kind, error)}.{more}"


def _key_path(location: tuple[int | str, ...], raw: Any) -> list[int | str]:
    """Return a pydantic location without what is no key: `[key]`, and the tags of unions.

    A tag follows the key of its union: datasets.NAME.TAG, dataset.TAG or model.TAG. If the members
    are no sections, it is the name of a type.
    """
    path: list[int | str] = []
    value = raw
    for part in location:
        is_dataset = path == ["dataset"] or (len(path) == 2 and path[0] == "datasets")
        is_model = path[-1:] == ["model"]
        is_tag = (is_dataset and part in DATASETS) or (is_model and part in MODELS)
        is_type = value is not None and not isinstance(value, dict) and _is_type(part)
        if part == "[key]" or is_tag or is_type:
            continue
        path.append(part)
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
    return path


def _is_type(part: int | str) -> bool:
    """Return whether a part of a location is pydantic's name of a type: `int` or `list[str]`."""
    return part in {"int", "str"} or "[" in str(part)


def _describe(kind: type[BaseModel], error: ErrorDetails) -> str:  # noqa: PLR0911
    """Return what is wrong with a key, and what it must be instead."""
    value, context = error["input"], error.get("ctx", {})
    shown = _shown(value)
    if expected := _EXPECTED.get(error["type"]):
        in_quotes = expected == "text" and isinstance(value, int | float)
        remedy = "; put it in quotes" if in_quotes else ""
        return f"must be {expected}, not {shown}{remedy}"
    match error["type"]:
        case "extra_forbidden":
            key = str(error["loc"][-1])[:_LONGEST_KEY]
            similar = difflib.get_close_matches(key, _known_keys(kind), n=1)
            remedy = f"replace it by {similar[0]!r}" if similar else "remove it"
            return f"is not a known key; {remedy}"
        case "missing":
            return "is missing; it has no default"
        case "literal_error":
            return f"must be {context['expected']}, not {shown}"
        case "union_tag_invalid":
            key = str(context["discriminator"]).strip("'")
            tags = context["expected_tags"]
            return f"has {key} {quote(context['tag'])}, but it must be one of {tags}"
        case "union_tag_not_found":
            return f"needs the key {context['discriminator']}"
        case "value_error":
            return str(context["error"])
        case "string_pattern_mismatch":
            return f"has {shown}, which must match {context['pattern']}"
        case _:
            return f"has {shown}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _shown(value: Any) -> str:
    """Return a value for a message, however large it is."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 256:
        return "an integer of more than 77 digits"
    return shorten(repr(value))


def _shown_key(key: object) -> str:
    text = str(key)
    return text if text.isprintable() and 0 < len(text) <= _LONGEST_KEY else quote(text)


def _shown_path(path: Path) -> str:
    return str(path) if str(path).isprintable() else quote(path)


def _known_keys(kind: type[BaseModel]) -> list[str]:
    """Return the keys of all sections of this kind, for suggestions."""
    schema = kind.model_json_schema()
    keys: set[str] = set()
    for section in (schema, *schema.get("$defs", {}).values()):
        keys.update(section.get("properties", {}))
    return sorted(keys)
