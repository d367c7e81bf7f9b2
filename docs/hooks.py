"""Pages of the site that are made when it is built, so that they never differ from their source.

`settings.md` comes from the JSON schema of params.yaml. `changelog.md` and `contributing.md` are
those of the repository.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "params.schema.json"
ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md")
# What a browser loads with a page. Links that a reader follows may lead anywhere.
FOREIGN = re.compile(
    r"<(?:script|img|iframe|source|link(?![^>]*\brel=[\"']?(?:canonical|prev|next)))\b[^>]*"
    r"\b(?:src|href)=[\"']?(?:https?:)?//"
)
# Counts have this limit, which is of no use to a reader.
NO_LIMIT = 10**9

Schema = dict[str, Any]


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages; mkdocs calls this when it has found the others."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "settings.md", content=settings_page(read_schema())))
    for name in ROOT_PAGES:
        content = root_page((ROOT / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, name.lower(), content=content))
    return files


def on_post_page(output: str, page: Any, config: Any) -> str:  # noqa: ARG001
    """Refuse a page that loads something from another host; mkdocs calls this for each."""
    if FOREIGN.search(output):
        from mkdocs.exceptions import PluginError

        raise PluginError(f"{page.file.src_uri} loads a file from another host; put it into docs/.")
    return output


def read_schema() -> Schema:
    """Return the JSON schema of params.yaml, as `latentbench schema` prints it."""
    schema: Schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return schema


def root_page(text: str) -> str:
    """Return a file of the root with links from within docs/."""
    text = text.replace("](docs/", "](")
    for name in ROOT_PAGES:
        text = text.replace(f"]({name})", f"]({name.lower()})")
    return text


def settings_page(schema: Schema) -> str:
    """Return the page of all settings, with a table for each section of params.yaml."""
    definitions = schema["$defs"]
    experiment = definitions["Experiment"]
    lines = [
        "# Settings",
        "",
        "Every key of a params file, from its schema (`latentbench schema`). Editors with a YAML "
        "language server show the same while you type. A file needs `studies`, `datasets` and "
        "`experiments`; keys without a default are marked as required.",
        "",
        *_table({"properties": {"budget": schema["properties"]["budget"]}}),
        *_section("studies.NAME", definitions["Study"], level=2),
        *_section("authors", definitions["Author"], level=3),
        *_section("published.EXPERIMENT", definitions["Published"], level=3),
        *_union("datasets.NAME", "source", schema["properties"]["datasets"], definitions),
        *_section("reference", definitions["Reference"], level=3),
        *_section("experiments.NAME", experiment, level=2),
        *_union("model", "name", experiment["properties"]["model"], definitions),
    ]
    for key in ("training", "evaluation", "latent", "compute", "resources"):
        lines += _section(key, definitions[key.capitalize()], level=2)
    lines += [
        "",
        "## defaults",
        "",
        "Settings of every experiment that does not have its own: "
        + ", ".join(f"`{key}`" for key in definitions["Defaults"]["properties"])
        + ".",
        "",
    ]
    return "\n".join(lines)


def _section(heading: str, definition: Schema, *, level: int) -> list[str]:
    description = _one_line(definition.get("description", ""))
    return ["", f"{'#' * level} {heading}", "", description, "", *_table(definition)]


def _union(heading: str, tag: str, field: Schema, definitions: Schema) -> list[str]:
    """Return the settings that all members of a union share, then each member's others."""
    if "patternProperties" in field:
        [field] = field["patternProperties"].values()
    members = {}
    for member in field["oneOf"]:
        name = member["$ref"].rpartition("/")[2]
        members[name] = definitions[name]
    common = _common_properties(list(members.values()))
    del common[tag]
    values = ", ".join(f"`{value}`" for value in field["discriminator"]["mapping"])
    lines = ["", f"## {heading}", "", f"`{tag}` is one of {values}. All have:", ""]
    lines += _table({"properties": common})
    for member in members.values():
        tags = ", ".join(_values(member["properties"][tag])).replace("`", "")
        own = _own_properties(member, common, tag)
        lines += ["", f"### {heading.removesuffix('.NAME')}: {tags}", ""]
        lines += [_one_line(member["description"]), ""]
        lines += _table({"properties": own, "required": member.get("required", [])})
    return lines


def _common_properties(members: list[Schema]) -> Schema:
    """Return the properties that all members have, each as most of them have it."""
    common = {}
    for key in members[0]["properties"]:
        if all(key in member["properties"] for member in members):
            variants = [member["properties"][key] for member in members]
            signatures = [_signature(variant) for variant in variants]
            most = max(signatures, key=signatures.count)
            described = [each for each in variants if _signature(each) == most]
            described.sort(key=lambda each: "description" not in each)
            common[key] = described[0]
    return common


def _own_properties(member: Schema, common: Schema, tag: str) -> Schema:
    """Return a member's properties that the others lack, or that have other values or defaults."""
    own = {}
    for key, value in member["properties"].items():
        if key == tag or (key in common and _signature(value) == _signature(common[key])):
            continue
        inherited = common.get(key, {}).get("description", "")
        own[key] = {"description": inherited} | value
    return own


def _signature(field: Schema) -> str:
    """Return what a field accepts and its default, as text to compare."""
    words = ("title", "description")
    return json.dumps({key: value for key, value in field.items() if key not in words})


def _table(definition: Schema) -> list[str]:
    """Return a row per property: key, values, default and meaning."""
    required = definition.get("required", [])
    if not definition["properties"]:
        return ["No settings of its own."]
    lines = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    for key, value in definition["properties"].items():
        default = "required" if key in required else _default(value)
        values = ", ".join(_values(value))
        meaning = _one_line(value.get("description", ""))
        cells = [f"`{key}`", values, default, meaning]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return lines


def _values(field: Schema) -> list[str]:
    """Return the values that a field may have, as words for a table."""
    if "discriminator" in field:
        return ["see below"]
    alternatives = field.get("anyOf") or field.get("oneOf")
    if alternatives:
        values: list[str] = []
        for alternative in alternatives:
            values += [value for value in _values(alternative) if value not in values]
        return values
    if "enum" in field or "const" in field:
        return [f"`{value}`" for value in field.get("enum") or [field["const"]]]
    return [_kind(field)]


def _kind(field: Schema) -> str:
    """Return a field's type in words, or a link to the section that it has."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2].lower()
        return "[author](#authors)" if name == "author" else f"[{name}](#{name})"
    if field["type"] == "array":
        items = " or ".join(_values(field["items"])) if field.get("items") else "values"
        return f"list of {items}"
    if field["type"] == "object":
        return "keys with lists of values"
    words = {"boolean": "`true`, `false`", "null": "`null`", "string": "text"}
    return words.get(field["type"]) or f"{field['type']}{_limits(field)}"


def _limits(field: Schema) -> str:
    """Return the range of a number, such as ` ≥ 1` or ` from 1 to 4`."""
    low, high = field.get("minimum"), _unless_huge(field.get("maximum"))
    if low is not None and high is not None:
        return f" from {low} to {high}"
    parts = []
    for sign, limit in (
        ("≥", low),
        (">", field.get("exclusiveMinimum")),
        ("≤", high),
        ("<", _unless_huge(field.get("exclusiveMaximum"))),
    ):
        if limit is not None:
            parts.append(f" {sign} {limit}")
    return ",".join(parts)


def _unless_huge(limit: float | None) -> float | None:
    return None if limit is None or limit >= NO_LIMIT else limit


def _default(field: Schema) -> str:
    """Return the default as code; nothing for a section, whose own table has its defaults."""
    if "default" not in field or isinstance(field["default"], dict):
        return ""
    default = field["default"]
    if default == "":
        return "empty"
    if isinstance(default, str) and re.fullmatch("[0-9a-f]{64}", default):
        return "the published file's"
    return f"`{json.dumps(default, ensure_ascii=False)}`".replace('"', "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
