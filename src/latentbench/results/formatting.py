"""Numbers and lists as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Protocol

NBSP = "\N{NO-BREAK SPACE}"  # keeps a number and its unit on one line


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


def escape_markdown(text: str) -> str:
    """Return user text so that Markdown shows every character as it is."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def join_words(words: Sequence[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def names_of(named: Iterable[Named]) -> str:
    """Return the names of experiments or runs: `a, b and c`."""
    return join_words([each.name for each in named])


def space_percent(text: str) -> str:
    """Return text with a non-breaking space before each percent sign."""
    return re.sub(r"(?<=\d)%", f"{NBSP}%", text)
