"""Weights of pretrained networks: the user's copy, or a download that is checked and kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from latentbench.artifacts.files import file_sha256
from latentbench.config.datasets import Reference
from latentbench.errors import DataError, DownloadError
from latentbench.evaluation.features.weights import WEIGHTS, locate_weights

EXTRACTORS = sorted(WEIGHTS)
CONTENT = b"weights, " * 100


class _Response:
    """What requests.get returns: the content from an offset, which may break off."""

    def __init__(self, content: bytes, *, start: int = 0, breaks: bool = False) -> None:
        self.content = content[start:]
        self.breaks = breaks
        self.status_code = requests.codes.partial_content if start else requests.codes.ok
        self.headers = {"Content-Length": str(len(self.content))}

    def __enter__(self) -> _Response:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def raise_for_status(self) -> None:
        pass

    def iter_content(self, chunk_size: int) -> Iterator[bytes]:
        if self.breaks:
            yield self.content[:100]
            raise requests.ConnectionError("reset by peer")
        yield self.content


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "latentbench"


@pytest.fixture
def sha256(tmp_path: Path) -> str:
    path = tmp_path / "original"
    path.write_bytes(CONTENT)
    return file_sha256(path)


def test_every_pretrained_extractor_has_settings_and_an_address() -> None:
    from cleanfid.downloads_helper import inception_url

    settings = Reference(extractors=["classifier", "inception", "dinov2", "clip"])
    assert {*EXTRACTORS} == {*settings.extractors} - {"classifier"}
    for extractor in EXTRACTORS:
        assert getattr(settings, f"{extractor}_path") is None
        assert len(getattr(settings, f"{extractor}_sha256")) == 64
    assert WEIGHTS["inception"].url == inception_url
    assert len({weights.file_name for weights in WEIGHTS.values()}) == len(WEIGHTS)


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_a_given_path_is_used_and_must_exist(extractor: str, tmp_path: Path) -> None:
    path = tmp_path / "copy"
    with pytest.raises(DataError, match=rf"reference\.{extractor}_path .* does not exist"):
        locate_weights(extractor, str(path), sha256="0" * 64)
    path.write_bytes(CONTENT)
    assert locate_weights(extractor, str(path), sha256="0" * 64) == path


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_downloads_once(
    extractor: str, cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls: list[str] = []

    def get(url: str, **_: object) -> _Response:
        urls.append(url)
        return _Response(CONTENT)

    monkeypatch.setattr(requests, "get", get)
    paths = {locate_weights(extractor, None, sha256=sha256) for _ in range(2)}
    assert paths == {cache / WEIGHTS[extractor].file_name}
    assert paths.pop().read_bytes() == CONTENT
    assert urls == [WEIGHTS[extractor].url]
    assert [path.name for path in cache.iterdir()] == [WEIGHTS[extractor].file_name]


def test_an_interrupted_download_is_resumed(
    cache: Path, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "get", lambda *_, **__: _Response(CONTENT, breaks=True))
    with pytest.raises(DownloadError, match="dinov2_path"):
        locate_weights("dinov2", None, sha256=sha256)

    def get_rest(_url: str, *, headers: dict[str, str], **_: object) -> _Response:
        assert headers == {"Range": "bytes=100-"}
        return _Response(CONTENT, start=100)

    monkeypatch.setattr(requests, "get", get_rest)
    assert locate_weights("dinov2", None, sha256=sha256).read_bytes() == CONTENT


def test_a_download_with_another_checksum_is_not_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "get", lambda *_, **__: _Response(b"a captive portal"))
    with pytest.raises(DownloadError, match=r"https://.* has the SHA-256 \w{64} instead of 0{64}"):
        locate_weights("clip", None, sha256="0" * 64)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_without_a_network_the_error_names_the_setting(
    extractor: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(*_: object, **__: object) -> _Response:
        raise requests.ConnectionError("Name or service not known")

    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(DownloadError) as refused:
        locate_weights(extractor, None, sha256="0" * 64)
    assert WEIGHTS[extractor].url in str(refused.value)
    assert f"reference.{extractor}_path" in str(refused.value)
    assert list(cache.iterdir()) == []
