"""Citations in the words of a notebook that is read by itself; joined documents have pandoc's own, with links."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from latentbench.report.rendering.pandoc import convert

# `[see @one, section 2; @two]`, or `@one` as part of a sentence, with `[section 2]` behind it.
_CITATION = re.compile(r"\[[^\[\]]*@[\w-]+[^\[\]]*\]|(?<![\w@\\])@[\w-]+(?: \[[^\[\]]*\])?")
_KEY = re.compile(r"@([\w-]*\w)")


def with_citations(notebook: Any, sources: Path) -> Any:
    """A copy in which citations are words, and the works that they name are listed at the end.

    Raises ArtifactError where a work is not in the bibliography.
    """
    import nbformat

    resolved = copy.deepcopy(notebook)
    found = sorted(
        {
            citation
            for holder, key in _texts(resolved)
            for citation in _CITATION.findall(holder[key])
        }
    )
    if not found:
        return resolved
    words = dict(zip(found, _in_words(found, sources), strict=True))
    for holder, key in _texts(resolved):
        holder[key] = _CITATION.sub(lambda match: words[match[0]], holder[key])
    references = nbformat.v4.new_markdown_cell(_references(found, sources))  # type: ignore[no-untyped-call]
    references.id = "references"
    resolved.cells.append(references)
    return resolved


def _texts(notebook: Any) -> Iterator[tuple[MutableMapping[str, str], str]]:
    """Every piece of Markdown, as a mapping and its key."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell, "source"
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                yield output.data, "text/markdown"


def _in_words(citations: list[str], sources: Path) -> list[str]:
    options = ("--from=markdown", "--to=plain", "--wrap=none")
    text = convert("\n\n".join(citations), options, {"suppress-bibliography": True}, sources)
    return [line for line in text.splitlines() if line]


def _references(citations: list[str], sources: Path) -> str:
    keys = sorted({key for citation in citations for key in _KEY.findall(citation)})
    options = ("--from=markdown", "--to=commonmark-raw_html", "--wrap=none")
    listed = convert("", options, {"nocite": ", ".join(f"@{key}" for key in keys)}, sources)
    return f"## References\n\n{listed.strip()}"
