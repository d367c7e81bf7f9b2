"""Official files: from a mirror if there is one, else from their hosts; checked, and resumed where cut off."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from latentbench.artifacts.files import atomic_write, convert_disk_errors
from latentbench.artifacts.progress import log, track
from latentbench.errors import DownloadError

CHUNK = 1 << 20  # bytes
TIMEOUT_S = 30


@dataclass(frozen=True)
class OfficialFile:
    """A file that its publisher names, with its MD5 and the addresses that it is offered at."""

    name: str
    md5: str
    urls: Sequence[str]


def download_file(file: OfficialFile, folder: Path, *, mirror: str | None, verify: bool) -> str:
    """Have the file in `folder`, whole and with the right checksum, its MD5; nothing is fetched that is there.

    Unless told to `verify`, the one in the directory `mirror` is right, whatever it is. Raises DownloadError, which
    tells of each attempt, where neither the mirror nor a host delivers it.
    """
    if not verify and mirror is not None:
        file = OfficialFile(file.name, _md5_in(Path(mirror).expanduser(), file.name), [])
    place = folder / file.name
    if place.is_file() and _md5(place) == file.md5:
        return file.md5
    faults = []
    if mirror is not None and "://" not in mirror:
        fault = _copy(file, Path(mirror).expanduser(), place)
        if fault is None:
            return file.md5
        faults.append(fault)
    urls = [f"{mirror.rstrip('/')}/{file.name}"] if mirror is not None and "://" in mirror else []
    for url in [*urls, *file.urls]:
        if faults:
            log(f"{faults[-1]}; trying {url}.")
        fault = _download(url, file, place)
        if fault is None:
            return file.md5
        faults.append(fault)
    raise DownloadError(
        f"{file.name} could not be fetched ({'; '.join(faults)}); "
        "check the network, or put the official file into a folder and give it as `mirror`."
    )


def _copy(file: OfficialFile, mirror: Path, place: Path) -> str | None:
    """Take the file from anywhere below a directory; what went wrong, or None."""
    found = _find(mirror, file.name)
    if found is None:
        return f"mirror {mirror} has no such file"
    digest = _md5(found)
    if digest != file.md5:
        return f"{found} has the MD5 {digest} instead of {file.md5}"
    with atomic_write(place) as partial:
        shutil.copyfile(found, partial)
    return None


def _md5_in(mirror: Path, name: str) -> str:
    found = _find(mirror, name)
    if found is None:
        raise DownloadError(
            f"{name} is not in {mirror}, from where it should be taken as it is; put it there."
        )
    return _md5(found)


def _find(mirror: Path, name: str) -> Path | None:
    return next((path for path in sorted(mirror.rglob(name)) if path.is_file()), None)


def _download(url: str, file: OfficialFile, place: Path) -> str | None:
    """Go on with what an interrupted download left; what went wrong, or None."""
    part = place.with_name(f"{place.name}.part")
    with convert_disk_errors(place):
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            _append(url, part)
        except requests.RequestException as error:
            return f"{url} did not deliver ({_reason(error)})"
        digest = _md5(part)
        if digest != file.md5:
            part.unlink()  # going on from wrong bytes cannot come right
            return f"{url} has the MD5 {digest} instead of {file.md5}"
        part.replace(place)
    return None


def _append(url: str, part: Path) -> None:
    size = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={size}-"} if size else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # it is all there
        response.raise_for_status()
        goes_on = response.status_code == requests.codes.partial_content
        left = int(response.headers.get("Content-Length", 0)) // CHUNK + 1
        with part.open("ab" if goes_on else "wb") as output:
            for block in track(response.iter_content(CHUNK), part.stem, total=left, unit="MiB"):
                output.write(block)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code if error.response is not None else 'error'}"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__
