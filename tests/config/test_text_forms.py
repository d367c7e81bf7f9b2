"""Values of `snakemake --config` arrive as text: every type of every key has a text form."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from latentbench.config.load import parse_params, read_overridden_params
from latentbench.config.params import Params
from latentbench.errors import ConfigError

BASE: dict[str, Any] = {"studies": {"s": {"title": "A study"}}, "datasets": {}, "experiments": {}}


def _candidates(schema: dict[str, Any], definitions: dict[str, Any]) -> list[Any]:
    """Return values that the schema of a key allows, at least one of each type."""
    if "$ref" in schema:
        return _candidates(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return [value for part in schema["anyOf"] for value in _candidates(part, definitions)]
    if "items" in schema:
        return [[value] for value in _candidates(schema["items"], definitions)]
    values = {
        "integer": [max(8, schema.get("minimum", 0))],
        "number": [0.25, 1e-05, 2],
        "boolean": [True, False],
        "null": [None],
        "string": ["a" * 64, "2024", "007"],
        "object": [],
    }
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum") or values.get(schema.get("type", ""), [])


def _settings(
    schema: dict[str, Any], definitions: dict[str, Any], path: tuple[str, ...]
) -> list[tuple[tuple[str, ...], Any]]:
    """Return the path and a value of each key below a section, for each of its values."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, part in schema.get("properties", {}).items():
        name = part.get("$ref", "").rpartition("/")[2]
        if definitions.get(name, {}).get("properties"):
            found += _settings(definitions[name], definitions, (*path, key))
        else:
            found += [((*path, key), value) for value in _candidates(part, definitions)]
    return found


def _documents() -> list[tuple[str, dict[str, Any]]]:
    """Return params in which one key has one of its values, for each key and type of the schema."""
    schema = Params.model_json_schema()
    definitions = schema["$defs"]
    base = copy.deepcopy(BASE)
    found = _settings(definitions["Study"], definitions, ("studies", "s"))
    found += _settings(definitions["Defaults"], definitions, ("defaults",))
    found += [(("budget",), "small")]
    found += [(("studies", "s", "authors"), [{"name": "Ada", "student_id": 8}, "Émile"])]
    [datasets] = schema["properties"]["datasets"]["patternProperties"].values()
    for source, reference in datasets["discriminator"]["mapping"].items():
        dataset = definitions[reference.rpartition("/")[2]]
        base["datasets"][source] = {"source": source}
        for key in set(dataset["required"]) - {"source"}:
            base["datasets"][source][key] = _candidates(dataset["properties"][key], definitions)[0]
        found += _settings(dataset, definitions, ("datasets", source))
    experiment = definitions["Experiment"]
    for name, reference in experiment["properties"]["model"]["discriminator"]["mapping"].items():
        base["experiments"][name] = {"study": "s", "dataset": "celeba", "model": {"name": name}}
        model = definitions[reference.rpartition("/")[2]]
        found += _settings(model, definitions, ("experiments", name, "model"))
    found += _settings(experiment, definitions, ("experiments", "vae"))
    documents = []
    for path, value in found:
        document = copy.deepcopy(base)
        section = document
        for part in path[:-1]:
            section = section.setdefault(part, {})
        section[path[-1]] = value
        documents.append((".".join(path), document))
    return documents


def _as_text(value: Any) -> Any:
    """Return the value with text for each scalar, as Snakemake reads --config."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return value if isinstance(value, str) else json.dumps(value)


def test_every_type_of_every_key_has_a_text_form(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("{}\n")
    accepted = set()
    documents = _documents()
    for key, document in documents:
        try:
            expected = parse_params(document, where="params.yaml")
        except ConfigError:
            with pytest.raises(ConfigError):
                read_overridden_params([file], _as_text(document))
            continue
        accepted.add(key)
        found = read_overridden_params([file], _as_text(document))
        assert found.model_dump(mode="json") == expected.model_dump(mode="json"), key
    assert len(accepted) > 100
    assert {"datasets.mnist.image_size", "experiments.dcgan.model.spectral_norm"} <= accepted
