"""Runs a notebook in a kernel of its own and takes out of it what changes from run to run."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from latentbench.artifacts.progress import log
from latentbench.errors import ArtifactError

_KERNEL = "latentbench"


def execute(template: Path, results: Path, output: Path, *, chapter: str) -> Any:
    """The template's cells, run in `output` by a fresh kernel of this interpreter.

    Raises ArtifactError where a cell fails.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    # Relative, so that the same results give the same notebook wherever the project lies.
    relative = Path(os.path.relpath(results, output)).as_posix()
    with _own_kernel():
        try:
            notebook = papermill.execute_notebook(
                str(template),
                None,
                parameters={"results": relative, "chapter": chapter},
                kernel_name=_KERNEL,
                language="python",
                cwd=str(output),
                progress_bar=False,
                record_timing=False,
            )
        except PapermillExecutionError as error:
            reason = f"{error.ename}: {error.evalue.rstrip('.')}"
            raise ArtifactError(
                f"{template}, cell {error.exec_count}, failed with {reason}; correct the notebook or what it reads."
            ) from None
    return _normalized(notebook)


@contextmanager
def _own_kernel() -> Iterator[None]:
    """For the duration, a kernel of the running interpreter, outside the user's own Jupyter."""
    with tempfile.TemporaryDirectory(prefix="latentbench-") as folder:
        home = Path(folder)
        spec = {
            "argv": [
                sys.executable,
                "-m",
                "ipykernel_launcher",
                "-f",
                "{connection_file}",
                "--log-level=ERROR",
            ],
            "display_name": _KERNEL,
            "language": "python",
            "env": {"IPYTHONDIR": str(home / "ipython")},
        }
        kernel = home / "kernels" / _KERNEL / "kernel.json"
        kernel.parent.mkdir(parents=True)
        kernel.write_text(json.dumps(spec), encoding="utf-8")
        with _environment(
            JUPYTER_PATH=folder,
            JUPYTER_RUNTIME_DIR=str(home / "runtime"),
            JUPYTER_PLATFORM_DIRS="1",
        ):
            yield


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _normalized(notebook: Any) -> Any:
    """The notebook without what changes from run to run: times, counts, random names, libraries' messages."""
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = {"kernelspec": python, "language_info": {"name": "python"}}
    # Papermill puts the parameters it was given under the cell with their defaults: one of the two is enough.
    notebook.cells = [
        cell for cell in notebook.cells if "parameters" not in cell.metadata.get("tags", [])
    ]
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [output for output in cell.outputs if not _relayed(output)]
    return notebook


def _relayed(output: Any) -> bool:
    """Whether this went to standard error; it then goes to this process's, being no part of the report."""
    if output.output_type == "stream" and output.name == "stderr":
        log(output.text.rstrip())
        return True
    if output.output_type == "execute_result":
        output.execution_count = None
    return False
