"""Download published files, or copy them from a mirror, and check their MD5.

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
    """A published file, its MD5 and its URLs."""

    name: str
    md5: str
    urls: Sequence[str]


def download_file(file: OfficialFile, folder: Path, *, mirror: str | None, verify: bool) -> str:
    """Copy or download the file into `folder` unless it is there, and return its MD5.

    Args:
        file: The file.
        folder: Where to put it.
        mirror: A directory or URL, tried before the file's own URLs.
        verify: Whether to require the published MD5. If not, the file in the mirror directory is
            taken as it is.

    Raises:
        DownloadError: Neither the mirror nor a host has the file. It lists every attempt.
    """
    mirror_url, mirror_folder = None, None
    if mirror is not None and "://" in mirror:
        mirror_url = f"{mirror.rstrip('/')}/{file.name}"
    elif mirror is not None:
        mirror_folder = expand_user(mirror, key="mirror")
    if not verify and mirror_folder is not None:
        file = replace(file, md5=_md5(_find_unverified(file.name, mirror_folder)), urls=[])
    target = folder / file.name
    if target.is_file() and _md5(target) == file.md5:
        return file.md5
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
            return file.md5
        except _Failed as error:
            failures.append(str(error))
    raise DownloadError(
        f"{file.name} could not be downloaded ({'; '.join(failures)}). Check the network, or put "
        "the official file into a folder and set `mirror` to this folder."
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
    """Copy the file from a directory; raise _Failed if it is not there or has a wrong MD5."""
    source = _find(file.name, mirror)
    if source is None:
        raise _Failed(f"mirror {mirror} has no such file")
    _check_md5(source, file, str(source))
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
            _check_md5(part, file, url)
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


def _check_md5(path: Path, file: OfficialFile, source: str) -> None:
    digest = _md5(path)
    if digest != file.md5:
        raise _Failed(f"{source} has the MD5 {digest} instead of {file.md5}")


def _md5(path: Path) -> str:
    with convert_damage(path), path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code if error.response is not None else 'error'}"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__
