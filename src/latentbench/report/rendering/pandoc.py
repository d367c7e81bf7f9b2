"""Runs pandoc, which converts every document here."""

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
    """`text` as the options say, its citations by the project's bibliography; `sources` is the report folder.

    Raises ArtifactError where pandoc fails or a cited work is not in the bibliography.
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
    complaint = " ".join(ran.stderr.split())
    # Of a missing work pandoc warns only, and prints a question mark.
    if ran.returncode != 0 or "not found" in complaint:
        raise ArtifactError(
            f"pandoc could not render the report ({complaint}); check the files in {sources}."
        )
    return ran.stdout
