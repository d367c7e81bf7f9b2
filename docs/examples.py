"""Docstrings of the Python reference: their lines after >>> become code, for Griffe."""

from __future__ import annotations

import re
from typing import Any

import griffe

# Lines of an example, which start with >>> or continue a line with ...
EXAMPLE = re.compile(r"(?:^ *(?:>>>|\.\.\.) .*\n?)+", re.MULTILINE)


def fence_examples(text: str) -> str:
    """Return a docstring whose examples are fenced as code, without the prompt."""

    def fence(found: re.Match[str]) -> str:
        code = re.sub(r"^ *(?:>>>|\.\.\.) ", "", found[0].rstrip("\n"), flags=re.MULTILINE)
        return f"```python\n{code}\n```\n"

    return EXAMPLE.sub(fence, text)


class Examples(griffe.Extension):
    """Fences the examples of every docstring that Griffe reads."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = fence_examples(obj.docstring.value)
