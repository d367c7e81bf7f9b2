"""Citations as text, for notebooks that are read on their own.

In the joined documents pandoc resolves citations, with links.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from latentbench.report.rendering.pandoc import convert

# `[see @one, section 2; @two]`, or `@one` within a sentence, also followed by `[section 2]`. Code
# and escaped characters, which foreign text consists of, are matched first, as no citation.
_CITATION = re.compile(
    r"(?s:(?P<code>`+).*?(?P=code))|\\.|(?P<citation>"
    r"\[[^\[\]\\]*@[\w-]+[^\[\]\\]*\]|(?<![\w@])@[\w-]+(?: \[[^\[\]\\]*\])?)"
)
_KEY = re.compile(r"@([\w-]*\w)")


def with_citations(notebook: Any, sources: Path) -> Any:
    """Return a copy with citations as text and a list of references at the end.

    Raises:
        ArtifactError: A cited work is not in the bibliography.
    """
    import nbformat

    resolved = copy.deepcopy(notebook)
    citations: set[Any] = set()
    for holder, key in _markdown(resolved):
        citations.update(found["citation"] for found in _CITATION.finditer(holder[key]))
    citations.discard(None)
    if not citations:
        return resolved
    found = sorted(citations)
    texts = dict(zip(found, _as_text(found, sources), strict=True))
    for holder, key in _markdown(resolved):
        holder[key] = _CITATION.sub(lambda found: texts.get(found[0], found[0]), holder[key])
    references = nbformat.v4.new_markdown_cell(_references(found, sources))  # type: ignore[no-untyped-call]
    references.id = "references"
    resolved.cells.append(references)
    return resolved


def _markdown(notebook: Any) -> Iterator[tuple[MutableMapping[str, str], str]]:
    """Yield every piece of Markdown as a mapping and its key."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell, "source"
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                yield output.data, "text/markdown"


def _as_text(citations: list[str], sources: Path) -> list[str]:
    options = ("--from=markdown", "--to=plain", "--wrap=none")
    text = convert("\n\n".join(citations), options, {"suppress-bibliography": True}, sources)
    return list(filter(None, text.splitlines()))


def _references(citations: list[str], sources: Path) -> str:
    keys = sorted(set(_KEY.findall(" ".join(citations))))
    nocite = f"@{', @'.join(keys)}"
    options = ("--from=markdown", "--to=commonmark-raw_html", "--wrap=none")
    return f"## References\n\n{convert('', options, {'nocite': nocite}, sources).strip()}"
