"""The image formats that Pillow reads, by suffix and by content."""

from __future__ import annotations

import functools
import mimetypes
import posixpath

from PIL import Image

# Pillow has no decoder for them, or runs another program (Ghostscript).
_EXCLUDED = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
# Formats whose first bytes start no other kind of file.
_RECOGNIZABLE = ("AVIF", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")
HEAD_BYTES = 16  # with which Pillow recognizes a format


@functools.cache
def image_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read, in the order in which it tries them."""
    Image.init()
    return tuple(name for name in Image.ID if name not in _EXCLUDED)


def has_image_suffix(name: str) -> bool:
    """Return whether the file's suffix is one of these formats'."""
    return suffix_of(name) in _image_suffixes()


def has_unknown_suffix(name: str) -> bool:
    """Return whether the file's suffix leaves open whether it is an image."""
    media_type = _media_types().get(suffix_of(name), "image/")
    return media_type.startswith("image/")


def starts_like_image(head: bytes) -> bool:
    """Return whether a file with these first bytes is an image."""
    image_formats()
    for name in _RECOGNIZABLE:
        _, accepts = Image.OPEN[name]
        if accepts is not None and accepts(head) is True:
            return True
    return False


def suffix_of(name: str) -> str:
    """Return the suffix of a file name in lower case, with its dot."""
    return posixpath.splitext(name)[1].lower()


@functools.cache
def _image_suffixes() -> frozenset[str]:
    formats = {*image_formats(), "MPO"}  # which is a JPEG, followed by others
    registered = Image.registered_extensions().items()
    return frozenset(suffix for suffix, name in registered if name in formats)


@functools.cache
def _media_types() -> dict[str, str]:
    """Return the media types that Python knows, without those of this system's files."""
    return mimetypes.MimeTypes().types_map[True]
