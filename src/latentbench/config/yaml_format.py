"""Read and write YAML in which a plain value is what it looks like.

YAML 1.1, which PyYAML reads, takes 007 for 7, 12:30 for 750 and `no` for false. Here a plain value
is a number only if it is written in decimals without leading zeros, and a Boolean only if it is
`true` or `false`, as in YAML 1.2. Every other value is text, which the schema may convert.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor

from latentbench.errors import quote, reason, shorten

# libyaml takes a quarter of the time.
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_MAX_DEPTH = 100
# Values after each alias is replaced by what it stands for: at most, and per value as written.
_MAX_VALUES = 1_000_000
_MAX_VALUES_PER_WRITTEN = 100

_TAG = "tag:yaml.org,2002:"
# Pattern, first characters and conversion of the plain values that are not text.
_PLAIN: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "null": (r"~|null|Null|NULL|", "~nN", lambda _: None),
    "bool": (
        r"true|True|TRUE|false|False|FALSE",
        "tTfF",
        lambda text: text.lower() == "true",
    ),
    # Integers that Python writes the same way, so that no digit of an ID is lost.
    "int": (r"0|-?[1-9][0-9]{0,17}", "-0123456789", int),
    "float": (
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?",
        "-+.0123456789",
        float,
    ),
    "merge": (r"<<", "<", str),
}


class _CheckedComposer(Composer):  # type: ignore[misc]
    """Composes nodes; refuses duplicate keys, recursion, deep nesting and alias bombs.

    It merges `<<` as soon as a mapping is complete, so a chain of merges needs no recursion.
    """

    def __init__(self, stream: str) -> None:
        _BASE.__init__(self, stream)
        self.anchors: dict[str, yaml.Node] = {}  # what Composer.__init__ sets
        self._open = 0
        self._written = 0
        # Depth of each complete node, and its number of values.
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node."""
        event = self.peek_event()
        self._written += 1
        self._open += 1
        self._check_size(self._open, 0, event.start_mark)
        node: yaml.Node = super().compose_node(parent, index)
        self._open -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._measure(node)
        elif node not in self._sizes:
            raise _refusal(
                f"the alias *{quote(event.anchor)} is inside of its own anchor", event.start_mark
            )
        if isinstance(event, yaml.MappingStartEvent):
            _check_keys(node)
            pairs = node.value
            self.flatten_mapping(node)
            if node.value is not pairs:
                self._measure(node)
        return node

    def _measure(self, node: yaml.Node) -> None:
        """Record the size of a node whose children are complete."""
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            for pair in node.value:
                children.extend(pair)
        depth, values = 0, 1
        for child in children:
            child_depth, child_values = self._sizes[child]
            depth = max(depth, child_depth)
            values += child_values
        self._check_size(depth + 1, values, node.start_mark)
        self._sizes[node] = (depth + 1, values)

    def _check_size(self, depth: int, values: int, mark: Any) -> None:
        if depth > _MAX_DEPTH:
            raise _refusal(f"more than {_MAX_DEPTH} values are nested in each other", mark)
        if values > max(_MAX_VALUES, _MAX_VALUES_PER_WRITTEN * self._written):
            raise _refusal(f"aliases stand for more than {_MAX_VALUES:,} values", mark)


class _Loader(_CheckedComposer, _BASE):  # type: ignore[misc]
    """Constructs text, collections and the values of `_PLAIN`; refuses all other tags."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        f"{_TAG}str": SafeConstructor.construct_yaml_str,
        f"{_TAG}seq": SafeConstructor.construct_yaml_seq,
        f"{_TAG}map": SafeConstructor.construct_yaml_map,
        None: SafeConstructor.construct_undefined,
    }


class Dumper(_DUMPER):  # type: ignore[misc]
    """Writes YAML that this loader and readers of YAML 1.1 read alike: other text is in quotes."""


def parse_yaml(text: str) -> Any:
    """Return the content of a YAML text; raise ValueError, which names the line, if it is wrong."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"{place}{shorten(problem)}") from None
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise ValueError(reason(error)) from None


def _check_keys(node: yaml.Node) -> None:
    """Raise an error that names both lines if a mapping has a key twice."""
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        identity = (key.tag, key.value)
        if identity in lines:
            first, second = lines[identity], key.start_mark.line + 1
            raise _refusal(
                f"the key {quote(key.value)} is in lines {first} and {second}; rename or remove "
                "one of the two",
                key.start_mark,
            )
        lines[identity] = key.start_mark.line + 1


def _refusal(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _register(kind: str, pattern: str, first: str, convert: Callable[[str], Any]) -> None:
    """Let the loader read this kind of plain value, also after its explicit tag.

    The dumper puts text in quotes that would be one.
    """
    expression = re.compile(rf"(?:{pattern})\Z")

    def construct(loader: SafeConstructor, node: yaml.ScalarNode) -> Any:
        text = loader.construct_scalar(node)
        if not expression.match(text):
            raise _refusal(f"{quote(text)} is not of the type !!{kind}", node.start_mark)
        return convert(text)

    firsts = [*first, ""] if expression.match("") else list(first)
    for side in (_Loader, Dumper):
        side.add_implicit_resolver(f"{_TAG}{kind}", expression, firsts)
    if kind != "merge":
        _Loader.add_constructor(f"{_TAG}{kind}", construct)


for _kind, _description in _PLAIN.items():
    _register(_kind, *_description)
