"""Uploads: prepared as files are, limited before anything is decoded, one sentence if refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentbench.app import uploads
from latentbench.app.uploads import MAX_BYTES, read_upload
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.errors import ImageError
from latentbench.inference.images import prepare_images
from latentbench.rng import numpy_generator

SPEC = ResizeSpec(32, 3, crop=148, pad=0)


def encode(kind: str, size: tuple[int, int] = (218, 178), mode: str = "RGB") -> bytes:
    levels = numpy_generator(0, "upload").integers(0, 256, (*size, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(levels).convert(mode).save(content, format=kind)
    return content.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("png", "RGB"),
        ("jpeg", "L"),
        ("jpeg", "CMYK"),
        ("png", "P"),
        ("webp", "RGBA"),
        ("gif", "P"),
        ("tiff", "RGB"),
        ("bmp", "RGB"),
    ],
)
def test_an_upload_is_prepared_as_a_file_is(tmp_path: Path, kind: str, mode: str) -> None:
    content = encode(kind, mode=mode)
    path = tmp_path / f"picture.{kind}"
    path.write_bytes(content)
    picture = read_upload(f"C:\\fakepath\\{path.name}", content, SPEC)
    np.testing.assert_array_equal(picture.image, prepare_images(path, SPEC)[0])
    assert picture.name == path.name
    assert eval(picture.code) == path.name


def png_of(width: int, height: int) -> bytes:
    """Return a PNG whose header states any size and whose pixels are a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (png_of(60_000, 60_000), "67 million"),
        (png_of(2**31 - 1, 2**31 - 1), "67 million"),
        (b"\0" * (MAX_BYTES + 1), "16"),
        (b"", ""),
        (b"GIF89a", ""),
        (b"%PDF-1.7 and so on", ""),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ""),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", ""),
        (encode("jpeg")[:2000], ""),
        (encode("png")[:2000], ""),
    ],
)
def test_a_bad_upload_gets_one_sentence_with_its_name(content: bytes, number: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_upload("my\npicture.png", content, SPEC)
    message = str(caught.value)
    assert "picture.png" in message
    assert number in message
    assert "\n" not in message


def test_pixels_are_counted_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_PIXELS", 218 * 178 - 1)

    def decode(*arguments: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(uploads.ImageDecoder, "decode", decode)
    with pytest.raises(ImageError, match="0 million"):
        read_upload("picture.jpg", encode("jpeg"), SPEC)
