"""Damaged, large and unusual images: an image, or one error that names it."""

from __future__ import annotations

import contextlib
import errno
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from latentbench.data.image_archive import ArchiveReader, ImageArchive
from latentbench.data.preparation import image_decoder
from latentbench.data.preparation.decode import MAX_PIXELS
from latentbench.data.preparation.image_decoder import ImageDecoder
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.errors import DataError, ImageError
from tests.data.conftest import Run, error_of, mutated, picture, png, save

SPEC = ResizeSpec(32, 3, crop=None, pad=0)
GRAY = ResizeSpec(32, 1, crop=None, pad=0)


class Files:
    """Reads images that are their own references."""

    def read(self, reference: bytes) -> bytes:
        return reference

    def locate(self, reference: bytes) -> str:
        return "'x.png' of set"


def decode(data: bytes, spec: ResizeSpec = SPEC) -> np.ndarray[Any, Any]:
    return ImageDecoder(Files(), spec).decode(data)


def error_kind(data: bytes) -> str:
    with pytest.raises(ImageError, match=r"'x\.png' of set") as caught:
        decode(data)
    assert "0x" not in str(caught.value)
    return caught.value.kind


def file_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def empty_png(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        file += (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )
    return file


def test_images_with_too_many_pixels() -> None:
    assert error_kind(empty_png(17_000)) == "too large"
    assert error_kind(empty_png(30_000)) == "too large"
    jpeg = file_of(picture(0), "jpeg")
    start = jpeg.index(b"\xff\xc0") + 5  # height and width
    assert error_kind(jpeg[:start] + b"\x75\x30\x75\x30" + jpeg[start + 4 :]) == "too large"
    assert 200_000_000 < MAX_PIXELS < 2 * 17_000**2


def test_other_files_are_no_images() -> None:
    assert error_kind(b"<!DOCTYPE html>") == "no image"
    assert (
        error_kind(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
        == "no image"
    )
    assert error_kind(b"") == "no image"


@pytest.mark.parametrize("kind", ["gif", "tiff", "png", "webp"])
def test_images_with_several_frames_are_counted(kind: str) -> None:
    decoder = ImageDecoder(Files(), SPEC)
    first, *others = (picture(key) for key in range(3))
    alone = decoder.decode(file_of(first, kind, lossless=True))
    assert decoder.facts.num_animated == 0
    many = file_of(first, kind, save_all=True, append_images=others, lossless=True)
    if kind != "gif":  # its palette may be that of all frames
        assert np.array_equal(decoder.decode(many), alone)
    else:
        decoder.decode(many)
    assert decoder.facts.num_animated == 1


@pytest.mark.parametrize("error", [KeyError("x"), struct.error("x"), RecursionError("x")])
def test_any_error_of_a_library_names_the_image(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(image_decoder, "decode_image", fail)
    assert error_kind(png(0)) == "damaged"


def test_an_error_of_the_system_is_no_reason_to_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    save(tmp_path / "a.png", picture(0))
    decoder = ImageDecoder(ArchiveReader(ImageArchive(tmp_path)), SPEC)
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="open files"):
        decoder.decode("a.png")


def test_lack_of_memory_is_no_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(image_decoder, "decode_image", fail)
    with pytest.raises(DataError, match="--workers") as caught:
        decode(png(0))
    assert not isinstance(caught.value, ImageError)


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Return EXIF with (tag, type, count, value) as they are, without checks."""
    start = 8 + 2 + 12 * len(entries) + 4
    body, rest = struct.pack("<H", len(entries)), b""
    for tag, kind, number, value in entries:
        body += struct.pack("<HHI", tag, kind, number)
        if len(value) > 4:
            body += struct.pack("<I", start + len(rest))
            rest += value
        else:
            body += value.ljust(4, b"\0")
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", 0) + rest


TURNED = (0x0112, 3, 1, struct.pack("<H", 6))


@pytest.mark.parametrize(
    "odd",
    [(0x011A, 2, 3, b"72\0"), (0x0100, 9, 1, struct.pack("<i", -5)), (0x9999, 7, 9, b"?" * 9)],
)
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_odd_exif_does_not_matter(odd: tuple[int, int, int, bytes], kind: str) -> None:
    plain = file_of(picture(0), kind, exif=exif(TURNED))
    np.testing.assert_array_equal(
        decode(file_of(picture(0), kind, exif=exif(odd, TURNED))), decode(plain)
    )
    assert not np.array_equal(decode(plain), decode(file_of(picture(0), kind)))


def test_damaged_exif_does_not_matter() -> None:
    damaged = file_of(picture(0), "jpeg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode(damaged), decode(file_of(picture(0), "jpeg")))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_the_orientation_of_xmp_is_applied(kind: str) -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    if kind == "png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        data = file_of(picture(0), kind, pnginfo=info)
    else:
        data = file_of(picture(0), kind, xmp=xmp)
    np.testing.assert_array_equal(
        decode(data), decode(file_of(picture(0), kind, exif=exif(TURNED)))
    )


def gray16(level: int) -> Image.Image:
    return Image.fromarray(np.full((40, 40), level, np.uint16))


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm", "jpeg2000"])
@pytest.mark.parametrize("level", [0, 200, 4095, 65_535])
def test_16_bit_images_have_one_scale(kind: str, level: int) -> None:
    assert np.unique(decode(file_of(gray16(level), kind), GRAY)).tolist() == [level // 256]


def tiff(pixels: bytes, *, bits: int, photometric: int) -> bytes:
    """Return a gray TIFF of 40×40 pixels."""
    tags = [(256, 40), (257, 40), (258, bits), (259, 1), (262, photometric), (273, 122)]
    tags += [(277, 1), (278, 40), (279, len(pixels))]
    body = struct.pack("<H", len(tags))
    for tag, value in tags:
        body += struct.pack("<HHII", tag, 4, 1, value)
    return b"II*\0" + struct.pack("<I", 8) + body + b"\0" * 4 + pixels


def test_12_bits_per_sample_are_scaled() -> None:
    pixels = b"\xff\xff\xff" * 800  # pairs of 4095
    assert np.unique(decode(tiff(pixels, bits=12, photometric=1), GRAY)).tolist() == [255]


def test_white_is_0_with_16_bits_as_with_8() -> None:
    for bits, pixels in ((8, b"\x0a" * 1600), (16, b"\x00\x0a" * 1600)):
        for photometric, level in ((0, 245), (1, 10)):
            image = decode(tiff(pixels, bits=bits, photometric=photometric), GRAY)
            assert np.unique(image).tolist() == [level]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_images_have_no_known_scale(mode: str) -> None:
    assert error_kind(file_of(picture(0).convert("L").convert(mode), "tiff")) == "of unknown scale"


def test_nearly_black_16_bit_images_are_reported(tmp_path: Path, run: Run) -> None:
    arguments = {"source": "folder", "path": str(tmp_path / "set"), "channels": 1}
    for key in range(4):
        save(tmp_path / "set" / f"{key}.png", gray16(1000 * key))
    assert "3,000 of 65,535" in run(**arguments).output
    save(tmp_path / "set" / "4.png", gray16(65_000))
    assert "65,535" not in run(**arguments).output


def test_skipped_images_are_counted_by_kind(tmp_path: Path, run: Run) -> None:
    for key in range(5):
        save(tmp_path / "set" / f"{key}.png", picture(key))
    (tmp_path / "set" / "5.png").write_bytes(png(5)[:-30])
    (tmp_path / "set" / "6.png").write_bytes(b"")
    (tmp_path / "set" / "7.png").write_bytes(b"?")
    (tmp_path / "set" / "8.png").write_bytes(empty_png(30_000))
    (tmp_path / "set" / "9.png").symlink_to("gone.png")
    arguments = {"source": "folder", "path": str(tmp_path / "set")}
    output = run(**arguments, on_error="skip").output
    line = next(line for line in output.splitlines() if line.startswith("Skipped 5 images"))
    for count in (
        "1 damaged ('5.png')",
        "2 no image ('6.png', '7.png')",
        "1 too large",
        "1 unread",
    ):
        assert count in line
    assert "on_error: skip" in error_of(run(**arguments))


FORMATS = [
    "bmp",
    "gif",
    "ico",
    "jpeg",
    "jpeg2000",
    "pcx",
    "png",
    "ppm",
    "qoi",
    "sgi",
    "tga",
    "tiff",
]


@settings(max_examples=250)
@given(
    st.data(), st.sampled_from([*FORMATS, "webp"]), st.sampled_from(["1", "L", "P", "RGB", "RGBA"])
)
def test_a_damaged_image_is_decoded_or_an_error(data: st.DataObject, kind: str, mode: str) -> None:
    try:
        whole = file_of(picture(0, (20, 24)).convert(mode), kind)
    except (OSError, ValueError):  # the format has no such mode
        whole = file_of(picture(0, (20, 24)), kind)
    with contextlib.suppress(ImageError):
        image = decode(data.draw(mutated(whole)))
        assert (image.shape, image.dtype) == ((32, 32, 3), np.uint8)
