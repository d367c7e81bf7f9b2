"""Text, tables and figures of a notebook, numbered and with captions."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pandas as pd
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullFormatter

from latentbench.report.presentation.style import to_svg, use_house_style
from latentbench.results.formatting import Named, escape_markdown, names_of
from latentbench.results.study import Study
from latentbench.results.tables import Table, pipe_table

# Metadata of the output with question and authors: a report of several notebooks shows it once.
BYLINE = "byline"

ANIMATION = "image/webp"
# Output that report/interactive.js draws on the page, where a figure follows the reader's hand.
INTERACTIVE = "application/vnd.latentbench.interactive+json"
_SVG = "image/svg+xml"
_MARKDOWN = "text/markdown"


@dataclass(frozen=True)
class Drawing:
    """A figure and its alternative text; None if there is nothing to draw.

    `notes` are sentences on missing results. `continued` are further figures, if one page does not
    hold all. `interactive` is what the page shows instead, see `presentation.interactive.content`.
    """

    figure: Figure | None
    description: str = ""
    notes: Sequence[str] = ()
    continued: Sequence[Figure] = ()
    interactive: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls, figures: Sequence[Figure], what: str, models: Sequence[Named], notes: Sequence[str]
    ) -> Drawing:
        """Return figures of some models; the alternative text is `what` and their names."""
        return cls(figures[0], f"{what} {names_of(models)}.", notes, figures[1:])


@dataclass(frozen=True)
class Animation:
    """A WebP and its alternative text; None if there is none."""

    webp: bytes | None
    description: str = ""
    notes: Sequence[str] = ()


@dataclass
class Page:
    """The output of a notebook. Showing a figure or table again keeps its number.

    `chapter` is the number of the notebook in a report, empty for a notebook on its own. A page
    sets the style of all figures, also of those that pandas or pyplot draw.
    """

    chapter: str = ""
    _numbers: dict[str, list[str]] = field(default_factory=dict)
    _heading: str = ""  # waits until there is something below it
    _notes_shown: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        use_house_style()

    def title(self, study: Study, heading: str) -> None:
        """Show the heading of the notebook, the study's title, its question and its authors."""
        number = f"{self.chapter}. " if self.chapter else ""
        _display(_MARKDOWN, f"# {number}{heading}")
        parts = [f"**{escape_markdown(study.config.title)}**"]
        if study.config.question:
            parts.append(f"*{escape_markdown(study.config.question)}*")
        if study.config.authors:
            parts.append(escape_markdown("; ".join(map(str, study.config.authors))))
        display({_MARKDOWN: "\n\n".join(parts)}, raw=True, metadata={BYLINE: True})  # type: ignore[no-untyped-call]

    def section(self, heading: str, *, optional: bool = False) -> None:
        """Show a heading; an optional one only with the first content below it."""
        self._notes_shown = set()
        self._heading = heading
        if not optional:
            self._show_heading()

    def text(self, markdown: str) -> None:
        """Show a paragraph, if it is not empty."""
        if markdown:
            self._show_heading()
            _display(_MARKDOWN, markdown)

    def figure(self, name: str, drawing: Drawing | Figure | Axes, caption: str) -> None:
        """Show a figure above its caption; each continuation has a number of its own.

        Axes, such as `DataFrame.plot` returns, stand for their figure.
        """
        if not isinstance(drawing, Drawing):
            drawing = _as_drawing(drawing, caption)
        parts = [] if drawing.figure is None else [drawing.figure, *drawing.continued]
        for place, figure in enumerate(parts):
            self._show_heading()
            number = self._number("Figure", f"{name}, part {place + 1}")
            extra: dict[str, Any] = {}
            if drawing.interactive is not None:  # it stands for the continuations, too
                extra[INTERACTIVE] = drawing.interactive if place == 0 else {}
            _display(_SVG, to_svg(figure), extra=extra, alt=drawing.description)
            self.text(f"**{number}.** {caption}")
            caption = f"{self._number('Figure', f'{name}, part 1')}, continued."
        self._show_notes(drawing.notes)

    def animation(self, name: str, animation: Animation, caption: str) -> None:
        """Show an animation above its caption; the PDF leaves both out."""
        if animation.webp is not None:
            self._show_heading()
            content = base64.b64encode(animation.webp).decode()
            _display(ANIMATION, content, alt=animation.description)
            self.text(f"**{self._number('Animation', name)}.** {caption}")
        self._show_notes(animation.notes)

    def table(self, name: str, table: Table | pd.DataFrame, caption: str) -> None:
        """Show a table below its caption; a DataFrame without its index and literally."""
        if isinstance(table, pd.DataFrame):
            cells = table.rename(columns=str).astype(str).map(escape_markdown)
            table = Table(pipe_table(cells.rename(columns=escape_markdown), num_text=1))
        if table.markdown is not None:
            self.text(f"**{self._number('Table', name)}.** {caption}\n\n{table.markdown}")
        self._show_notes(table.notes)

    def _show_heading(self) -> None:
        if self._heading:
            _display(_MARKDOWN, f"## {self._heading}")
            self._heading = ""

    def _show_notes(self, notes: Sequence[str]) -> None:
        """Show each note once per section; none in an optional section without content."""
        new = [note for note in notes if note not in self._notes_shown]
        if new and not self._heading:
            self._notes_shown |= set(new)
            self.text("\n\n".join(f"*{note}*" for note in new))

    def _number(self, kind: str, name: str) -> str:
        names = self._numbers.setdefault(kind, [])
        if name not in names:
            names.append(name)
        chapter = f"{self.chapter}." if self.chapter else ""
        return f"{kind} {chapter}{names.index(name) + 1}"


def _as_drawing(plot: Figure | Axes, caption: str) -> Drawing:
    """Return a plot as a drawing, and keep pyplot from showing it a second time."""
    figure = plot if isinstance(plot, Figure) else plot.get_figure(root=True)
    assert figure is not None
    figure.set_layout_engine("constrained")
    for axis in chain.from_iterable((axes.xaxis, axes.yaxis) for axes in figure.axes):
        if isinstance(axis.get_major_formatter(), LogFormatter):  # whose labels are formulas
            axis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_minor_formatter(NullFormatter())
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)
    return Drawing(figure, caption)


def _display(
    kind: str, content: str, *, extra: Mapping[str, Any] | None = None, **metadata: str
) -> None:
    """Show an output; `extra` has it in further formats."""
    formats = {kind: content, **(extra or {})}
    display(formats, raw=True, metadata={kind: metadata} if metadata else {})  # type: ignore[no-untyped-call]
