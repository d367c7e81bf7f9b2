"""Reads params.yaml and resolved configs, and turns every fault into a sentence: key, value, what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from latentbench.config.base import Section
from latentbench.config.params import Params
from latentbench.errors import ConfigError

SectionT = TypeVar("SectionT", bound=Section)

_FROM_TEXT: dict[str, Callable[[str], int | float | bool]] = {
    "int_type": int,
    "float_type": float,
    "bool_type": {"true": True, "false": False}.__getitem__,
}


def read_yaml(path: Path, *, text: str | None = None) -> Any:
    """The content of a YAML file, or of `text` that came in its stead."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8") if text is None else text)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; give the path of a params file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {where}.") from None


def read_params(path: Path, *, text: str | None = None) -> Params:
    """params.yaml, validated as a whole; `text` replaces the file's content (what an engine resolved)."""
    return parse_params(read_yaml(path, text=text), where=str(path))


def parse_params(raw: Any, *, where: str) -> Params:
    """Params from plain dicts and lists: defaults merged, types checked, names looked up."""
    raw = _with_defaults(raw)
    params = parse(Params, raw, where=where)
    for name, experiment in params.experiments.items():
        for key, section in (("dataset", params.datasets), ("study", params.studies)):
            value = getattr(experiment, key)
            if value not in section:
                raise ConfigError(
                    f"{where}: experiments.{name}.{key} names {value!r}, which is not under "
                    f"{'studies' if key == 'study' else 'datasets'} "
                    f"({', '.join(section) or 'none there'}); add it or correct the name."
                )
        dataset, condition = params.datasets[experiment.dataset], experiment.model.condition
        if isinstance(condition, list) and not dataset.has_attributes:
            raise ConfigError(
                f"{where}: experiments.{name}.model.condition asks for {condition[0]}, but {experiment.dataset} has no "
                "attributes; give a folder a table of `attributes`, or ask by `class`."
            )
        try:
            experiment.model.require_size(dataset.image_size)
        except ValueError as error:
            raise ConfigError(f"{where}: experiments.{name}.model {error}.") from None
    return params


def read_config(path: Path, kind: type[SectionT]) -> SectionT:
    """A resolved config that `configure` wrote."""
    return parse(kind, read_yaml(path), where=str(path))


def parse(kind: type[SectionT], raw: Any, *, where: str) -> SectionT:
    if not isinstance(raw, dict):
        raise ConfigError(f"{where} must be a mapping of keys to values, not {type(raw).__name__}.")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        # `2e-4` is text to YAML 1.1, and Snakemake's --config gives nested values as text.
        if _values_from_text(raw, error.errors()):
            return parse(kind, raw, where=where)
        raise ConfigError(_sentence(kind, error.errors(), where)) from None


def _with_defaults(raw: Any) -> Any:
    """Lay each experiment over a copy of `defaults`, mappings key by key."""
    if not isinstance(raw, dict) or not isinstance(raw.get("experiments"), dict):
        return raw
    defaults = raw.get("defaults") or {}
    experiments = {
        name: _merged(defaults, own)
        if isinstance(own, dict) and isinstance(defaults, dict)
        else own
        for name, own in raw["experiments"].items()
    }
    return {**raw, "experiments": experiments}


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    merged = {
        key: _merged(value, above[key]) if key in above else value for key, value in below.items()
    }
    return merged | {key: value for key, value in above.items() if key not in below}


def _values_from_text(raw: Any, errors: list[ErrorDetails]) -> bool:
    """Replace, in place, text that reads as the number or truth that a key wants; say whether anything changed."""
    changed = False
    for error in errors:
        convert, value = _FROM_TEXT.get(error["type"]), error["input"]
        if convert is None or not isinstance(value, str):
            continue
        try:
            converted = convert(value)
        except (ValueError, KeyError):
            continue
        *parents, key = error["loc"]
        holder = _walk(raw, parents)
        if isinstance(holder, dict | list) and _get(holder, key) == value:
            holder[key] = converted  # type: ignore[index]
            changed = True
    return changed


def _walk(raw: Any, parts: list[int | str]) -> Any:
    """Follow a pydantic location; the names of union branches in it are not keys and are passed over."""
    for part in parts:
        below = _get(raw, part)
        raw = raw if below is None else below
    return raw


def _get(holder: Any, key: int | str) -> Any:
    if isinstance(holder, dict):
        return holder.get(key)
    if isinstance(holder, list) and isinstance(key, int) and key < len(holder):
        return holder[key]
    return None


def _sentence(kind: type[BaseModel], errors: list[ErrorDetails], where: str) -> str:
    error = errors[0]
    more = f" ({len(errors) - 1} more like this.)" if len(errors) > 1 else ""
    key = ".".join(str(part) for part in _keys(error)) or "the file"
    return f"{where}: {key} {_complaint(kind, error)}.{more}"


def _keys(error: ErrorDetails) -> list[int | str]:
    """The location without what pydantic adds to it: `[key]` and the tags of unions."""
    parts = [part for part in error["loc"] if part != "[key]"]
    tags = {
        "glyphs",
        "folder",
        "mnist",
        "fashion_mnist",
        "emnist",
        "cifar10",
        "celeba",
        "autoencoder",
        "vae",
        "dcgan",
        "cgan",
        "wgan_gp",
    }
    # A tag stands right after the key of its union: datasets.NAME.TAG.… or …model.TAG.…
    kept: list[int | str] = []
    for index, part in enumerate(parts):
        after_dataset = (index == 2 and parts[0] == "datasets") or (
            index == 1 and parts[0] == "dataset"
        )
        after_model = index > 0 and parts[index - 1] == "model"
        if part in tags and (after_dataset or after_model):
            continue
        kept.append(part)
    return kept


def _complaint(kind: type[BaseModel], error: ErrorDetails) -> str:  # noqa: PLR0911
    value = error["input"]
    shown = repr(value) if len(repr(value)) < 60 else type(value).__name__
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            key = str(error["loc"][-1])
            near = difflib.get_close_matches(key, _known_keys(kind), n=1)
            return "is not a known key; " + (
                f"use {near[0]!r} if that was meant" if near else "remove it"
            )
        case "missing":
            return "is missing; it has no default"
        case "literal_error":
            return f"must be {context['expected']}, not {shown}"
        case "union_tag_invalid":
            tag = str(context["discriminator"]).strip("'")
            return f"has {tag} {context['tag']!r}, but it must be one of {context['expected_tags']}"
        case "union_tag_not_found":
            return f"needs the key {context['discriminator']}"
        case "value_error":
            return str(context["error"])
        case "string_pattern_mismatch":
            return f"has {shown}, which must match {context['pattern']}"
        case _:
            return f"has {shown}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _known_keys(kind: type[BaseModel]) -> list[str]:
    schema = kind.model_json_schema()
    sections = [schema, *schema.get("$defs", {}).values()]
    return sorted({key for section in sections for key in section.get("properties", {})})
