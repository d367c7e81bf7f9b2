"""Run notebooks in a kernel of their own, with results that are the same each time."""

from __future__ import annotations

import copy
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from latentbench.artifacts.files import convert_read_errors
from latentbench.artifacts.progress import log
from latentbench.errors import ArtifactError

_KERNEL = "latentbench"


def read_notebook(path: Path) -> Any:
    """Return a notebook; raise ArtifactError if it is missing or damaged."""
    import nbformat

    with convert_read_errors(path):
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def notebook_text(notebook: Any) -> str:
    """Return the text of a notebook's file."""
    import nbformat

    text: str = nbformat.writes(nbformat.from_dict(notebook))  # type: ignore[no-untyped-call]
    return text + "\n"


def execute(template: Path, folder: Path, parameters: Mapping[str, Any]) -> Any:
    """Return the notebook, run in a folder by a fresh kernel of this interpreter.

    The values of `parameters` replace those of its cell with the tag `parameters`.

    Raises:
        ArtifactError: A cell fails.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    with _kernel():
        try:
            notebook = papermill.execute_notebook(
                str(template),
                None,
                parameters=dict(parameters),
                kernel_name=_KERNEL,
                language="python",
                cwd=str(folder),
                progress_bar=False,
                record_timing=False,
            )
        except PapermillExecutionError as error:
            reason = f"{error.ename}: {error.evalue.rstrip('.')}"
            raise ArtifactError(
                f"{template}, cell {error.exec_count}, failed with {reason}; "
                "correct the notebook or what it reads."
            ) from None
    return _without_changes(notebook)


def with_parameters(notebook: Any, parameters: Mapping[str, Any]) -> Any:
    """Return a copy of a notebook that was run, with other values of some of its parameters."""
    changed = copy.deepcopy(notebook)
    cell = next(cell for cell in changed.cells if cell.cell_type == "code")
    lines = cell.source.splitlines()
    for place, line in enumerate(lines):
        name = line.partition(" = ")[0]
        if name in parameters:
            lines[place] = f"{name} = {json.dumps(parameters[name])}"
    cell.source = "\n".join(lines)
    return changed


@contextmanager
def _kernel() -> Iterator[None]:
    """Provide a kernel of this interpreter, apart from the user's own Jupyter."""
    with tempfile.TemporaryDirectory(prefix="latentbench-") as folder:
        home = Path(folder)
        launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {
            "argv": [*launch, "--log-level=ERROR"],
            "display_name": _KERNEL,
            "language": "python",
            "env": {"IPYTHONDIR": str(home / "ipython")},
        }
        kernel = home / "kernels" / _KERNEL / "kernel.json"
        kernel.parent.mkdir(parents=True)
        kernel.write_text(json.dumps(spec), encoding="utf-8")
        before = os.environ.copy()
        os.environ["JUPYTER_PATH"] = folder
        os.environ["JUPYTER_RUNTIME_DIR"] = str(home / "runtime")
        os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _without_changes(notebook: Any) -> Any:
    """Return the notebook without times, counts and random names, which differ in every run."""
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = {"kernelspec": python, "language_info": {"name": "python"}}
    # Papermill adds a cell with the parameters; the template's cell with their defaults goes.
    cells = notebook.cells
    notebook.cells = [each for each in cells if "parameters" not in each.metadata.get("tags", [])]
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = _joined([each for each in cell.outputs if not _is_log(each)])
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    """Return outputs with texts joined that were printed one after another.

    The kernel sends them together or apart, depending on the time between them. Of an image in
    several formats, only PNG is kept.
    """
    joined: list[Any] = []
    for output in outputs:
        is_text = output.output_type == "stream"
        if is_text and joined and joined[-1].output_type == "stream":
            joined[-1].text += output.text
            continue
        if "image/png" in output.get("data", {}):
            output.data = {"image/png": output.data["image/png"]}
        if output.output_type == "execute_result":  # pandoc reads none without a count
            output.output_type = "display_data"
            del output["execution_count"]
        joined.append(output)
    return joined


def _is_log(output: Any) -> bool:
    """Log what a cell wrote to standard error, which is no part of the report."""
    if output.output_type == "stream" and output.name == "stderr":
        log(output.text.rstrip())
        return True
    return False
