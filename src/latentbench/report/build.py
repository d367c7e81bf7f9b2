"""Executes the notebook and renders the page: both are written whole, or an earlier report stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from latentbench.artifacts.files import write_text
from latentbench.artifacts.progress import say
from latentbench.errors import ArtifactError
from latentbench.report.results import open_study

_KERNEL = "latentbench"


def build_report(results: Path, template: Path, output: Path) -> None:
    """Write output/comparison.ipynb, named as the template is, and output/index.html.

    The page's style.css, page.html and page.lua lie beside the template. Same results, same bytes.
    Raises ArtifactError where there is nothing to report on or the notebook fails.
    """
    # A study that cannot be read is told before a kernel starts.
    study = open_study(results)
    parts = [template, *(template.parent / name for name in ("page.html", "page.lua", "style.css"))]
    for part in parts:
        if not part.is_file():
            raise ArtifactError(f"{part} is missing; give the notebook in the project's report folder as --template.")
    say(f"Rendering the report of {study.config.name}: {len(study.experiments)} experiments")
    notebook = _normalised(_execute(template, results, output))
    page = _render(notebook, template.parent)
    write_text(output / template.name, notebook)
    write_text(output / "index.html", page)
    say(f"{output / 'index.html'} is written.")


def _execute(template: Path, results: Path, output: Path) -> Any:
    """The template's cells run in a fresh kernel of this interpreter."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    output.mkdir(parents=True, exist_ok=True)
    # Relative, so that the same results give the same notebook wherever the project lies.
    relative = os.path.relpath(results, output)
    with _own_kernel():
        try:
            return papermill.execute_notebook(
                str(template),
                None,
                parameters={"results": Path(relative).as_posix()},
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
        with _environment(JUPYTER_PATH=folder, JUPYTER_RUNTIME_DIR=str(home / "runtime"), JUPYTER_PLATFORM_DIRS="1"):
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


def _normalised(notebook: Any) -> str:
    """The notebook without what changes from run to run: times, counts, random names, libraries' messages."""
    import nbformat

    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = {"kernelspec": python, "language_info": {"name": "python"}}
    # Papermill puts the parameters it was given under the cell with their defaults: one of the two is enough.
    notebook.cells = [cell for cell in notebook.cells if "parameters" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [output for output in cell.outputs if not _relayed(output)]
    text: str = nbformat.writes(nbformat.from_dict(notebook))  # type: ignore[no-untyped-call]
    return text + "\n"


def _relayed(output: Any) -> bool:
    """Whether this went to standard error; it then goes to this process's, being no part of the report."""
    if output.output_type == "stream" and output.name == "stderr":
        say(output.text.rstrip())
        return True
    if output.output_type == "execute_result":
        output.execution_count = None
    return False


def _render(notebook: str, sources: Path) -> str:
    """The notebook as one HTML file that holds all it shows."""
    import pypandoc

    command = [
        pypandoc.get_pandoc_path(),
        *("--from=ipynb", "--to=html5", "--standalone", "--embed-resources", "--mathml", "--section-divs"),
        *("--toc", "--toc-depth=2", "--syntax-highlighting=none", "--columns=10000"),
        f"--template={sources / 'page.html'}",
        f"--css={sources / 'style.css'}",
        f"--lua-filter={sources / 'page.lua'}",
    ]
    rendered = subprocess.run(command, input=notebook, capture_output=True, text=True, encoding="utf-8", check=False)
    if rendered.returncode != 0:
        reason = " ".join(rendered.stderr.split())
        raise ArtifactError(f"pandoc could not render the report ({reason}); check the files in {sources}.")
    return rendered.stdout
