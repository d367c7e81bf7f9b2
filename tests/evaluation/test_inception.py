"""Inception with a small stand-in network: clean-fid's numbers, and checksums."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latentbench.artifacts.files import file_sha256
from latentbench.errors import DataError
from latentbench.evaluation.features import inception
from latentbench.evaluation.features.inception import InceptionExtractor, resize

CPU = torch.device("cpu")


def pictures(number: int, size: int, channels: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (number, size, size, channels), dtype=np.uint8)


def load(path: Path) -> InceptionExtractor:
    return InceptionExtractor(path, sha256=file_sha256(path), device=CPU)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_resizes_as_cleanfid_does(size: int) -> None:
    from cleanfid.resize import build_resizer

    images = pictures(2, size)
    expected = np.stack([build_resizer("clean")(image) for image in images]).transpose(0, 3, 1, 2)
    found = resize(torch.from_numpy(images)).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(
        found, expected, atol=1e-4
    )  # of 255: Pillow rounds to float32 between its axes
    assert found.min() == 0, "clipped, as noise overshoots"
    assert found.max() == 255


def test_gray_images_are_repeated_over_three_channels() -> None:
    gray = pictures(2, 32, channels=1)
    torch.testing.assert_close(
        resize(torch.from_numpy(gray)), resize(torch.from_numpy(np.repeat(gray, 3, axis=3)))
    )


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_features_are_those_of_cleanfid(make_inception: Callable[..., Path]) -> None:
    from cleanfid.inception_torchscript import InceptionV3W
    from cleanfid.resize import build_resizer

    path = make_inception(dim=2048)
    images = pictures(3, 32)
    resized = np.stack([build_resizer("clean")(image) for image in images]).transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = InceptionV3W(str(path.parent), download=False)(torch.from_numpy(resized))
    extractor = load(path)
    assert extractor.dim == 2048
    torch.testing.assert_close(extractor(torch.from_numpy(images)), expected, rtol=1e-4, atol=1e-5)


def test_features_ignore_the_batch(
    make_inception: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor, images = load(make_inception()), torch.from_numpy(pictures(7, 32))
    whole = extractor(images)
    monkeypatch.setitem(inception._CHUNK_SIZES, "cpu", 2)
    torch.testing.assert_close(extractor(images), whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(extractor(images[3:4]), whole[3:4], rtol=1e-5, atol=1e-6)


def test_another_checksum_is_refused_before_loading(
    make_inception: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded unchecked"))
    with pytest.raises(DataError, match="has the SHA-256"):
        InceptionExtractor(make_inception(), sha256="0" * 64, device=CPU)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "inception.pt"
    path.write_bytes(b"not TorchScript")
    with pytest.raises(DataError, match=r"inception\.pt is not clean-fid's TorchScript Inception"):
        load(path)
