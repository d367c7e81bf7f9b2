"""Numbers and lists as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Protocol

NBSP = "\N{NO-BREAK SPACE}"  # keeps a number and its unit on one line

_LINE_BREAK = re.compile(r"[\t-\r\x85\u2028\u2029]+")
# Control characters, those that reorder text, halves of surrogate pairs, and no characters.
_HIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
# Signs with a meaning in Markdown: not `,;:%(`, nor a hyphen, underscore or dot within a word.
_MARKUP = re.compile(
    r"[]!\"#$&'*+/<=>?@[\\^`{|}~]|(?<=\d)\)|(?<![^\W_])[-_]|[-_](?![^\W_])"
    r"|(?<![^\W_])\.|(?<=\d)\.(?!\w)|\.(?=[\s.])"
)


class Named(Protocol):
    """An experiment or a run."""

    @property
    def name(self) -> str:
        """The name in print."""


def decimals(values: Iterable[float]) -> int:
    """Return the decimal places that give the smallest number three significant digits."""
    sizes = [abs(value) for value in values if value]
    return min(max(2 - math.floor(math.log10(min(sizes))), 0), 6) if sizes else 2


def duration(seconds: float) -> str:
    """Return `3.2 s`, `48 s`, `3 min 05 s` or `2 h 07 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f}{NBSP}s"
    if seconds < 59.5:
        return f"{seconds:.0f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min{NBSP}{rest:02d}{NBSP}s"
    return f"{minutes // 60}{NBSP}h{NBSP}{minutes % 60:02d}{NBSP}min"


def short_duration(seconds: float) -> str:
    """Return a time below a second as `42 µs`, `3.1 ms` or `870 ms`, a longer one as `duration`."""
    for size, unit in ((1e-3, "µs"), (1.0, "ms")):
        value = 1e3 * seconds / size
        if float(f"{value:.2g}") < 1000:
            return f"{value:.0f}{NBSP}{unit}" if value >= 10 else f"{value:.2g}{NBSP}{unit}"
    return duration(seconds)


def percent(fraction: float, places: int = 1) -> str:
    """Return 0.997 as `99.7 %`."""
    return f"{100 * fraction:.{places}f}{NBSP}%"


def count(value: float) -> str:
    """Return `930`, `12.3 k`, `1.00 M` or `205 G`: three significant digits."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if round(value / size, 3) >= 1:  # 999,999 is 1.00 M, not 1,000 k
            return f"{value / size:#.3g}".rstrip(".") + f"{NBSP}{unit}"
    return f"{value:.0f}"


def term_label(term: str) -> str:
    """Return a loss term as a curve's label: `generator_loss` as `generator`."""
    return term.removesuffix("_loss").replace("_", " ")


def one_line(text: str) -> str:
    """Return text on one line, with invisible characters and those that reorder it as escapes.

    Text of such characters alone is in quotes, so that it does not vanish.
    """
    shown = _HIDDEN.sub(_escape_character, _LINE_BREAK.sub(" ", text)).strip()
    return shown if shown or not text else repr(text)


def escape_markdown(text: str) -> str:
    """Return foreign text as Markdown that shows every character as it is.

    Pandoc makes HTML and typst from it. Every string that is not the project's own goes through
    this function or `code_markdown` before it becomes part of a Markdown text; figures show their
    strings as they are (see `report.presentation.style`).
    """
    return _MARKUP.sub(r"\\\g<0>", one_line(text))


def code_markdown(text: str) -> str:
    """Return foreign text as Markdown that shows it as code."""
    line = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def _escape_character(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def join_words(words: Sequence[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def names_of(named: Iterable[Named]) -> str:
    """Return the names of experiments or runs as plain text: `a, b and c`."""
    return join_words([each.name for each in named])


def join_markdown(names: Iterable[str]) -> str:
    """Return foreign names as Markdown: `a, b and c`."""
    return join_words(list(map(escape_markdown, names)))


def space_percent(text: str) -> str:
    """Return text with a non-breaking space before each percent sign."""
    return re.sub(r"(?<=\d)%", f"{NBSP}%", text)
