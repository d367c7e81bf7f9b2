"""Numbers and lists as a reader wants them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Protocol


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """The name."""


NBSP = "\N{NO-BREAK SPACE}"  # keeps a number and its unit on one line


def decimals(values: Iterable[float]) -> int:
    """Decimal places that give the smallest of the numbers three significant digits."""
    sizes = [abs(value) for value in values if value]
    return min(max(2 - math.floor(math.log10(min(sizes))), 0), 6) if sizes else 2


def duration(seconds: float) -> str:
    """`3.2 s`, `48 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f}{NBSP}s"
    if seconds < 59.5:
        return f"{seconds:.0f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min{NBSP}{rest:02d}{NBSP}s"
    return f"{minutes // 60}{NBSP}h{NBSP}{minutes % 60:02d}{NBSP}min"


def percent(share: float, places: int = 1) -> str:
    """`99.7 %`"""
    return f"{100 * share:.{places}f}{NBSP}%"


def count(value: float) -> str:
    """`930`, `12.3 k`, `1.00 M`, `205 G`: three significant digits."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if round(value / size, 3) >= 1:  # what would be written 1,000 k is 1.00 M
            return f"{value / size:#.3g}".rstrip(".") + f"{NBSP}{unit}"
    return f"{value:.0f}"


def term_label(term: str) -> str:
    """A term of the loss as it stands at a line's end: without what all of them are."""
    return term.removesuffix("_loss").replace("_", " ")


def escape_markdown(text: str) -> str:
    """Words of the user's, so that Markdown shows every sign as it is."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def join_words(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def space_percent(text: str) -> str:
    """Percentages of other stages' sentences as the report writes them."""
    return re.sub(r"(?<=\d)%", f"{NBSP}%", text)


def names_of(experiments: Iterable[Named]) -> str:
    """Return the names of experiments or runs: `a, b and c`."""
    return join_words([experiment.name for experiment in experiments])
