"""YAML of any kind gives params or one short sentence; values reach the schema as written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from latentbench.artifacts.dependencies import config_files
from latentbench.artifacts.files import yaml_text
from latentbench.config.load import parse, parse_params, read_params
from latentbench.config.params import KINDS, Params, StudyConfig
from latentbench.config.yaml_format import parse_yaml
from latentbench.errors import ConfigError

TINY = (Path(__file__).parents[1] / "params" / "tiny.yaml").read_text(encoding="utf-8")


def _refused(text: str | bytes) -> str:
    """Return the message for params that are wrong: one short, printable line."""
    with pytest.raises(ConfigError) as error:
        read_params(Path("params.yaml"), text=text)
    _check_message(error.value)
    return str(error.value)


def _check_message(error: ConfigError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 1_000


def _resolve_all(params: Params) -> None:
    """Resolve each entry within both budgets."""
    for budget in ("full", "small"):
        budgeted = params.model_copy(update={"budget": budget})
        for kind, section in KINDS.items():
            for name in getattr(budgeted, section):
                getattr(budgeted, kind)(name)
                budgeted.excerpt(kind, name)


@pytest.mark.parametrize(
    "text",
    [
        "007",
        "01234567",
        "12:30",
        "yes",
        "off",
        "2024-01-31",
        "0x1f",
        "1_000",
        "+49",
        "1e3x",
        "=",
        "9" * 30,
    ],
)
def test_plain_values_reach_text_as_written(text: str) -> None:
    names = f"title: {text}, group_id: {text}, authors: [{{name: {text}, student_id: {text}}}]"
    params = read_params(
        Path("params.yaml"), text=f"studies: {{s: {{{names}}}}}\ndatasets: {{}}\nexperiments: {{}}"
    )
    [study] = params.studies.values()
    [author] = study.authors
    values = (study.title, study.group_id, author.name, author.student_id)
    assert values == (text, text, text, text)


@pytest.mark.parametrize("name", ["007", "no", "2024-01-31", "0x1f"])
def test_plain_names_are_text(name: str) -> None:
    params = read_params(Path("params.yaml"), text=TINY.replace("tiny", name))
    assert params.experiment("vae").study == name


@pytest.mark.parametrize("value", ["2024", "1.10", "true", "0"])
def test_text_that_is_a_number_or_boolean_has_to_be_quoted(value: str) -> None:
    text = TINY.replace("title: Each objective, barely trained", f"title: {value}")
    assert "studies.tiny.title" in _refused(text)
    quoted = read_params(
        Path("params.yaml"), text=text.replace(f"title: {value}", f"title: '{value}'")
    )
    assert quoted.studies["tiny"].title == value


@pytest.mark.parametrize(("text", "flip"), [("yes", True), ("off", False), ("true", True)])
def test_booleans_have_the_words_of_yaml_1_1(text: str, flip: bool) -> None:
    parsed = read_params(
        Path("params.yaml"), text=TINY.replace("log_every: 2", f"log_every: 2, flip: {text}")
    )
    assert parsed.experiments["vae"].training.flip is flip


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("studies: {}\ndatasets: {}\nstudies: {}\n", "studies", (1, 3)),
        ("a:\n  vae: {}\n  gan: {}\n  'vae': {}\n", "vae", (2, 4)),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  y: 1\n  <<: *a\n", "<<", (3, 5)),
        ("a: [{b: {c: 1, c: 2}}]\n", "c", (1, 1)),
    ],
)
def test_a_key_given_twice_is_refused_with_both_lines(
    text: str, key: str, lines: tuple[int, int]
) -> None:
    message = _refused(text)
    assert repr(key) in message
    assert f"{lines[0]} and {lines[1]}" in message


def test_a_key_may_override_a_merged_one() -> None:
    content = parse_yaml("a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: [*b, {z: 4}], y: 5}")
    assert content["c"] == {"x": 3, "y": 5, "z": 4}


def _chain(first: str, link: str, length: int) -> str:
    """Return anchors a0, a1, ..., each of which has aliases of the one before."""
    lines = [f"a0: &a0 {first}"]
    for number in range(1, length):
        lines.append(f"a{number}: &a{number} {link.replace('*', f'*a{number - 1}')}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        _chain("[x, x]", "[*, *, *, *, *, *, *, *, *]", 40),
        _chain("{x: 1}", "{<<: [*, *, *, *, *, *, *, *, *]}", 40),
        "unknown:\n  " + _chain("[x, x]", "[*, *, *, *, *, *, *, *, *]", 6).replace("\n", "\n  "),
        _chain("[x]", "[*]", 2_000),
        "a: &a {b: *a}",
        "a: &a [*a]",
        "a: &a {<<: *a}",
        "{a: " * 3_000 + "1" + "}" * 3_000,
        "[" * 100_000,
        "- " * 3_000,
        "a: " + "9" * 5_000,
        "9" * 5_000 + ": 1",
        "a: !!int x",
        "a: !!int []",
        "a: !!float 1.x",
        "a: !!bool maybe",
        "a: !!null x",
        "a: !!timestamp x",
        "a: !!binary é",
        "a: !!omap [1]",
        "a: !!set {x}",
        "a: !!pairs x",
        "a: !!merge x",
        "a: !!str {b: 1}",
        "a: !!python/object/apply:os.system [exit]",
        f"a: !<{'x' * 100_000}> 1",
        "{[1]: 2}",
        "a: *b",
        "a: 1\n--- b",
        "a: \x07",
        "\ud800",
        "%YAML 9.9\n---\na: 1",
        f"{'k' * 100_000}: 1",
        "'a\\nb\x1b[31m': 1".replace("'", '"').replace("\x1b", "\\e"),
        b"\xff\xfe\x00",
        b"a: \xe9",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_hostile_yaml_is_refused_in_one_line(text: str | bytes) -> None:
    _refused(text)


@pytest.mark.parametrize("digits", [400, 5_000, 20, 30])
@pytest.mark.parametrize("key", ["training.epochs", "training.processes", "seed", "study"])
def test_huge_numbers_are_refused(digits: int, key: str) -> None:
    params = yaml.safe_load(TINY)
    *parents, last = key.split(".")
    section = params["experiments"]["vae"]
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = 10**digits
    with pytest.raises(ConfigError) as error:
        parse_params(params, where="params.yaml")
    assert f"experiments.vae.{key}" in str(error.value)
    assert len(str(error.value)) < 1_000


def test_every_integer_has_an_upper_bound() -> None:
    def integers(schema: Any) -> list[dict[str, Any]]:
        if isinstance(schema, list):
            return [found for item in schema for found in integers(item)]
        if not isinstance(schema, dict):
            return []
        own = [schema] if schema.get("type") == "integer" and "enum" not in schema else []
        return own + integers(list(schema.values()))

    found = integers(Params.model_json_schema())
    unbounded = [
        schema for schema in found if not {"maximum", "exclusiveMaximum", "const"} & set(schema)
    ]
    assert len(found) > 30
    # The two kinds of IDs are not computed with.
    assert unbounded == [{"type": "integer"}] * 2


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 16, 17, 32, 40, 100])
def test_the_small_budget_fits_the_processes(processes: int) -> None:
    raw = yaml.safe_load(TINY) | {"budget": "small"}
    raw["defaults"]["training"] |= {"processes": processes, "batch_size": 2 * processes * 30}
    training = parse_params(raw, where="params.yaml").experiment("vae").training
    assert training.batch_size % processes == 0
    if 32 % processes == 0 and processes < 32:
        assert training.batch_size == 32
    assert training.batch_size >= 2 * processes


@pytest.mark.parametrize("name", ["all", "train", "configure_stage", "handin", "handin_tiny"])
def test_a_study_has_no_name_of_another_target(name: str) -> None:
    message = _refused(TINY.replace("  tiny:\n", f"  {name}: {{title: Another}}\n  tiny:\n"))
    assert f"studies.{name} " in message


def test_a_name_is_short_enough_for_a_folder() -> None:
    assert "studies" in _refused(TINY.replace("tiny", "x" * 300))
    long = TINY.replace("tiny:", "tiny:\n    archive_name: '{study}{study}'").replace(
        "tiny", "x" * 200
    )
    assert "archive_name" in _refused(long)


PIECES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            *("null", "~", "yes", "1e400", ".nan", "-1", "0.5", "[]", "{}", "''", "10000000000"),
            *("!!int", "!!float x", "&a", "*a", "<<: *a", "? ", "- ", ": ", "\n", "\t", "%", "---"),
            *("{names!r}", "{group_id:>{x}}", "{", "}}", "\\", "\x1b[0m", "\u202e", "é", "猫"),
            *("9" * 5_000, "x" * 1_000, "glyphs", "dcgan", "tiny", "handin_tiny", "all", "class"),
        ]
    ),
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Return tiny.yaml with some of its words replaced, and lines repeated or removed."""
    lines = TINY.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        change = draw(st.sampled_from(["value", "word", "insert", "repeat", "remove"]))
        if change == "value":
            lines[at] = f"{lines[at].partition(':')[0]}: {draw(PIECES)}"
        elif change == "word":
            words = lines[at].split(" ")
            words[draw(st.integers(0, len(words) - 1))] = draw(PIECES)
            lines[at] = " ".join(words)
        elif change == "insert":
            lines.insert(at, " " * draw(st.integers(0, 6)) + draw(PIECES))
        elif change == "repeat":
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
        else:
            del lines[at]
    return "\n".join(lines)


@settings(max_examples=200)
@given(
    st.text(max_size=40)
    | st.from_regex(r"[-+]?[0-9.]{1,4}(e[-+]?[0-9]{1,3})?", fullmatch=True)
    | st.sampled_from(
        ["~", "null", "yes", "<<", "=", "1e5", "0o17", "12:30", "\x7f\x85\u2028", "🦊"]
    )
)
def test_text_is_read_back_as_it_was_written(text: str) -> None:
    raw = yaml.safe_load(TINY)
    raw["studies"]["tiny"] |= {"title": text or "x", "question": text, "group_id": text}
    try:
        params = parse_params(raw, where="params.yaml")
    except ConfigError:
        return
    [content] = config_files(params.study("tiny")).values()
    assert parse(StudyConfig, parse_yaml(content), where="study.yaml") == params.study("tiny")
    excerpt = yaml_text(params.excerpt("study", "tiny"))
    assert read_params(Path("params.yaml"), text=excerpt).study("tiny") == params.study("tiny")


def _reads_or_refuses(text: str | bytes) -> None:
    try:
        params = read_params(Path("params.yaml"), text=text)
    except ConfigError as error:
        _check_message(error)
    else:
        _resolve_all(params)


@settings(max_examples=150)
@given(mutated())
def test_changed_params_are_read_or_refused_in_one_line(text: str) -> None:
    _reads_or_refuses(text)


@settings(max_examples=100)
@given(st.text() | st.binary())
def test_any_text_is_read_or_refused_in_one_line(text: str | bytes) -> None:
    _reads_or_refuses(text)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(SCALARS, children, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(st.data())
def test_any_value_of_any_key_is_read_or_refused_in_one_line(data: st.DataObject) -> None:
    params: Any = yaml.safe_load(TINY)
    section, key = params, None
    while isinstance(section, dict) and section and (key is None or data.draw(st.booleans())):
        parent, key = section, data.draw(st.sampled_from(sorted(section)))
        section = parent[key]
    parent[data.draw(st.just(key) | SCALARS)] = data.draw(VALUES)
    try:
        parsed = parse_params(params, where="params.yaml")
    except ConfigError as error:
        _check_message(error)
    else:
        _resolve_all(parsed)
