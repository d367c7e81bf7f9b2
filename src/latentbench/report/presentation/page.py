"""Puts text, tables and figures into a notebook's output, numbered and with their captions."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from IPython.display import display
from matplotlib.figure import Figure

from latentbench.report.presentation.formatting import escape_markdown
from latentbench.report.presentation.style import to_svg
from latentbench.results.study import Study


@dataclass(frozen=True)
class Drawing:
    """A figure with the words for those who cannot see it; None where there is nothing to draw.

    `notes` are sentences on what is missing. `continued` are further figures, where one page does not hold all.
    """

    figure: Figure | None
    description: str = ""
    notes: Sequence[str] = ()
    continued: Sequence[Figure] = ()


@dataclass(frozen=True)
class Table:
    """A Markdown pipe table; None where there is nothing to tabulate."""

    markdown: str | None
    notes: Sequence[str] = ()


# Marks an output that says whose work the notebook is: where notebooks are joined it stands once.
BYLINE = "byline"

ANIMATION = "image/webp"


@dataclass(frozen=True)
class Animation:
    """A WebP with the words for those who cannot see it; None where there is none."""

    webp: bytes | None
    description: str = ""
    notes: Sequence[str] = ()


@dataclass
class Page:
    """Numbers figures and tables as they are first shown; showing one again keeps its number.

    `chapter` is its number in a report of several notebooks, or empty.
    """

    chapter: str = ""
    _shown: dict[str, list[str]] = field(
        default_factory=lambda: {"Figure": [], "Table": [], "Animation": []}
    )
    _heading: str = ""  # waits for something to stand over
    _said: set[str] = field(default_factory=set)  # notes of this section

    def title(self, study: Study, heading: str) -> None:
        """The heading of the notebook, and what it is part of."""
        config = study.config
        _display("text/markdown", f"# {f'{self.chapter}. ' * bool(self.chapter)}{heading}")
        parts = [f"**{escape_markdown(config.title)}**"] + [
            f"*{escape_markdown(config.question)}*"
        ] * bool(config.question)
        parts += [escape_markdown("; ".join(map(str, config.authors)))] * bool(config.authors)
        display({"text/markdown": "\n\n".join(parts)}, raw=True, metadata={BYLINE: True})  # type: ignore[no-untyped-call]

    def section(self, heading: str, *, optional: bool = False) -> None:
        """A heading. An optional one is shown with the first text, figure or table under it, and without any not at
        all: not every model can be asked everything."""
        self._said = set()
        self._heading = heading
        if not optional:
            self._open()

    def text(self, markdown: str) -> None:
        if markdown:
            self._open()
            _display("text/markdown", markdown)

    def _open(self) -> None:
        if self._heading:
            _display("text/markdown", f"## {self._heading}")
            self._heading = ""

    def figure(self, name: str, drawing: Drawing, caption: str) -> None:
        """The figure with its caption under it; what continues it has a number of its own."""
        if drawing.figure is not None:
            self._open()
            first = self._number("Figure", name)
            self._picture(drawing.figure, drawing.description, f"**{first}.** {caption}")
            for part, figure in enumerate(drawing.continued, start=2):
                number = self._number("Figure", f"{name}, part {part}")
                self._picture(figure, drawing.description, f"**{number}.** {first}, continued.")
        self._notes(drawing.notes)

    def _picture(self, figure: Figure, description: str, caption: str) -> None:
        _display("image/svg+xml", to_svg(figure), alt=description)
        self.text(caption)

    def animation(self, name: str, animation: Animation, caption: str) -> None:
        """The moving picture with its caption under it; paper leaves it out."""
        if animation.webp is not None:
            self._open()
            content = base64.b64encode(animation.webp).decode()
            _display(ANIMATION, content, alt=animation.description)
            self.text(f"**{self._number('Animation', name)}.** {caption}")
        self._notes(animation.notes)

    def table(self, name: str, table: Table, caption: str) -> None:
        """The table with its caption above it."""
        if table.markdown is not None:
            self.text(f"**{self._number('Table', name)}.** {caption}\n\n{table.markdown}")
        self._notes(table.notes)

    def _notes(self, notes: Sequence[str]) -> None:
        """Once in a section, of which every part may miss the same; none where an optional section has no part."""
        new = [note for note in notes if note not in self._said]
        if new and not self._heading:
            self._said |= set(new)
            self.text("\n\n".join(f"*{note}*" for note in new))

    def _number(self, kind: str, name: str) -> str:
        shown = self._shown[kind]
        if name not in shown:
            shown.append(name)
        return f"{kind} {f'{self.chapter}.' * bool(self.chapter)}{shown.index(name) + 1}"


def _display(kind: str, content: str, **metadata: str) -> None:
    display({kind: content}, raw=True, metadata={kind: metadata} if metadata else {})  # type: ignore[no-untyped-call]
