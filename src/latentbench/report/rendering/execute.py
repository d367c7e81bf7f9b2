"""Running a notebook in a kernel of its own, with a result that is the same each time."""

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
    """Return the notebook, run in the folder `output` by a fresh kernel of this interpreter.

    Raises:
        ArtifactError: A cell fails.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    # A relative path gives the same notebook wherever the project is.
    relative = Path(os.path.relpath(results, output)).as_posix()
    with _kernel():
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
                f"{template}, cell {error.exec_count}, failed with {reason}; "
                "correct the notebook or what it reads."
            ) from None
    return _without_changes(notebook)


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
            cell.outputs = [output for output in cell.outputs if not _is_log(output)]
    return notebook


def _is_log(output: Any) -> bool:
    """Log what a cell wrote to standard error, which is no part of the report."""
    if output.output_type == "stream" and output.name == "stderr":
        log(output.text.rstrip())
        return True
    if output.output_type == "execute_result":
        output.execution_count = None
    return False
