"""Pandoc, which converts every document of the report."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentbench.errors import ArtifactError

BIBLIOGRAPHY = "references.bib"


def convert(text: str, options: Sequence[str], metadata: Mapping[str, Any], sources: Path) -> str:
    """Return text as pandoc converts it, with citations from the bibliography in `sources`.

    Raises:
        ArtifactError: Pandoc fails, or a cited work is not in the bibliography.
    """
    import pypandoc

    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(dict(metadata), file)
        file.flush()
        command = [pypandoc.get_pandoc_path(), f"--metadata-file={file.name}", *options]
        command += ["--citeproc", f"--bibliography={sources / BIBLIOGRAPHY}"]
        ran = subprocess.run(
            command, input=text, capture_output=True, text=True, encoding="utf-8", check=False
        )
    message = " ".join(ran.stderr.split())
    # A missing work is only a warning, and a question mark in the text.
    if ran.returncode != 0 or "not found" in message:
        raise ArtifactError(
            f"pandoc could not render the report ({message}); check the files in {sources}."
        )
    return ran.stdout
