"""The source of the project as an sdist."""

from __future__ import annotations

import tempfile
from pathlib import Path

from latentbench.errors import ArtifactError, reason


def build_sdist(project: Path) -> tuple[str, bytes]:
    """Return the name and the content of the sdist of the project in a folder.

    It has what pyproject.toml lists, without times: the same source gives the same bytes. Nothing
    is downloaded.

    Raises:
        ArtifactError: The folder has no pyproject.toml, or it is damaged.
    """
    from hatchling.builders.sdist import SdistBuilder

    if not (project / "pyproject.toml").is_file():
        raise ArtifactError(
            f"{project / 'pyproject.toml'} is missing; give the project's folder as --project."
        )
    with tempfile.TemporaryDirectory(prefix="latentbench-") as folder:
        try:
            [path] = SdistBuilder(str(project)).build(directory=folder, versions=["standard"])
        except (ValueError, TypeError) as error:
            raise ArtifactError(
                f"{project / 'pyproject.toml'} is damaged ({reason(error)}); restore it."
            ) from error
        archive = Path(path)
        return archive.name, archive.read_bytes()
