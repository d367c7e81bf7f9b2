"""Download published files, or copy them from a mirror, and check their checksum.

Unlike torchvision's downloads, an interrupted one is resumed, mirrors are tried first, and a file
gets its name only when its checksum is right.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import requests

from latentbench.artifacts.files import atomic_write, convert_disk_errors
from latentbench.artifacts.progress import log, track
from latentbench.data.image_archive import expand_user
from latentbench.data.raw_files import convert_damage
from latentbench.errors import DownloadError

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30


class _Failed(Exception):
    """One mirror or host did not provide the file."""


@dataclass(frozen=True)
class OfficialFile:
    """A published file, its URLs, and its checksum by the `algorithm` of hashlib."""

    name: str
    checksum: str
    urls: Sequence[str]
    algorithm: str = "md5"


def download_file(
    file: OfficialFile,
    folder: Path,
    *,
    mirror: str | None,
    verify: bool,
    remedy: str = "put the official file into a folder and set `mirror` to this folder",
) -> str:
    """Copy or download the file into `folder` unless it is there, and return its checksum.

    Args:
        file: The file.
        folder: Where to put it.
        mirror: A directory or URL, tried before the file's own URLs.
        verify: Whether to require the published checksum. If not, the file in the mirror directory
            is taken as it is.
        remedy: What the error advises where there is no network.

    Raises:
        DownloadError: Neither the mirror nor a host has the file. It lists every attempt.
    """
    mirror_url, mirror_folder = None, None
    if mirror is not None and "://" in mirror:
        mirror_url = f"{mirror.rstrip('/')}/{file.name}"
    elif mirror is not None:
        mirror_folder = expand_user(mirror, key="mirror")
    if not verify and mirror_folder is not None:
        unverified = _find_unverified(file.name, mirror_folder)
        file = replace(file, checksum=_checksum(unverified, file.algorithm), urls=[])
    target = folder / file.name
    if target.is_file() and _checksum(target, file.algorithm) == file.checksum:
        return file.checksum
    failures: list[str] = []
    for source in (mirror_folder, mirror_url, *file.urls):
        if source is None:
            continue
        if failures:
            log(f"{failures[-1]}; trying {source}.")
        try:
            if isinstance(source, Path):
                _copy(file, source, target)
            else:
                _download(source, file, target)
            return file.checksum
        except _Failed as error:
            failures.append(str(error))
    raise DownloadError(
        f"{file.name} could not be downloaded ({'; '.join(failures)}). Check the network, or "
        f"{remedy}."
    )


def _find_unverified(name: str, mirror: Path) -> Path:
    path = _find(name, mirror)
    if path is None:
        raise DownloadError(f"{name} is not in the mirror {mirror}; put it there.")
    return path


def _find(name: str, folder: Path) -> Path | None:
    """Return the first file of this name in the folder or below it."""
    for path in sorted(folder.rglob(name)):
        if path.is_file():
            return path
    return None


def _copy(file: OfficialFile, mirror: Path, target: Path) -> None:
    """Copy the file from a directory; raise _Failed if it is not there or has a wrong checksum."""
    source = _find(file.name, mirror)
    if source is None:
        raise _Failed(f"mirror {mirror} has no such file")
    _require_checksum(source, file, str(source))
    with atomic_write(target) as partial:
        shutil.copyfile(source, partial)


def _download(url: str, file: OfficialFile, target: Path) -> None:
    """Download the file, resuming an interrupted download; raise _Failed if it cannot be had."""
    part = target.with_name(f"{target.name}.part")
    with convert_disk_errors(target):
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            _append(url, part)
        except requests.RequestException as error:
            raise _Failed(f"{url} did not respond ({_reason(error)})") from None
        try:
            _require_checksum(part, file, url)
        except _Failed:
            part.unlink()  # resuming from wrong bytes would fail again
            raise
        part.replace(target)


def _append(url: str, part: Path) -> None:
    """Download what `part` does not have yet."""
    size = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={size}-"} if size else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # `part` is complete
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        chunks = int(response.headers.get("Content-Length", 0)) // CHUNK_BYTES + 1
        blocks = response.iter_content(CHUNK_BYTES)
        with part.open("ab" if resumed else "wb") as output:
            for block in track(blocks, part.stem, total=chunks, unit="MiB"):
                output.write(block)


def _require_checksum(path: Path, file: OfficialFile, source: str) -> None:
    found = _checksum(path, file.algorithm)
    if found != file.checksum:
        name = {"md5": "MD5", "sha256": "SHA-256"}[file.algorithm]
        raise _Failed(f"{source} has the {name} {found} instead of {file.checksum}")


def _checksum(path: Path, algorithm: str) -> str:
    with convert_damage(path), path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code if error.response is not None else 'error'}"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__
