"""Images of the user, prepared as the images of a dataset were."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from latentbench.data.image_grid import Images
from latentbench.data.preparation.image_decoder import ImageDecoder
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.errors import ArgumentError, ImageError, reason, shorten

Array = np.ndarray[Any, np.dtype[Any]]
OneImage = str | os.PathLike[str] | bytes | Image.Image | Array | Tensor
ImageInput = OneImage | Iterable[OneImage]

_Reference = Image.Image | bytes | str | os.PathLike[str]
_TYPES = (str, os.PathLike, bytes, Image.Image, np.ndarray, Tensor)

# Channels of an array: gray, gray and alpha, RGB, RGBA.
_CHANNELS = (1, 2, 3, 4)
_MODES = {2: "LA", 3: "RGB", 4: "RGBA"}
# Resizing and averaging leave values that are slightly out of [0, 1].
_TOLERANCE = 1e-3


def prepare_images(images: ImageInput, spec: ResizeSpec) -> Images:
    """Return images of any size and mode as uint8 (number, image_size, image_size, channels).

    Files and PIL images are cropped, padded and resized as the dataset's images were. So are arrays
    and tensors, except those of the prepared size: they are the dataset's own or a model's.

    Args:
        images: One image or several: paths, contents of files, PIL images, arrays (height, width),
            (height, width, channel) or (number, height, width, channel), or tensors (channel,
            height, width) or (number, channel, height, width). Floating-point values are in [0, 1],
            uint8 in [0, 255], and uint16 in [0, 65535].
        spec: Size and mode of the dataset's images.

    Raises:
        ArgumentError: There are no images, or an array is no image.
        ImageError: A file is missing or damaged.
    """
    shape = (spec.image_size, spec.image_size, spec.channels)
    if isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.shape[1:] == shape:
        if not len(images):
            raise _no_images()
        return np.array(images)
    decoder, as_they_are = ImageDecoder(_Reader(), spec), _without_crop(spec)
    prepared = []
    for image in _split(images):
        if isinstance(image, np.ndarray):
            is_prepared = image.shape[:2] == (spec.image_size, spec.image_size)
            decoder.spec = as_they_are if is_prepared else spec
            prepared.append(decoder.decode(_from_array(image)))
        else:
            decoder.spec = spec
            prepared.append(decoder.decode(image))
    if not prepared:
        raise _no_images()
    return np.stack(prepared)


def is_single(images: ImageInput) -> bool:
    """Return whether this is one image, not a batch of some."""
    if isinstance(images, str | os.PathLike | bytes | Image.Image):
        return True
    if isinstance(images, np.ndarray | Tensor):
        return images.ndim == 2 or (images.ndim == 3 and _has_channels(images))
    return False


class _Reader:
    """Reads a file, or returns a PIL image as it is."""

    def read(self, reference: _Reference) -> Image.Image | bytes:
        """Return a PIL image or the bytes of a file; raise ImageError if it cannot be read."""
        if isinstance(reference, Image.Image | bytes):
            return reference
        try:
            return Path(reference).expanduser().read_bytes()
        except (OSError, RuntimeError, ValueError) as error:
            remedy = "give the path of an image"
            message = f"{self.locate(reference)} cannot be read ({reason(error)}); {remedy}."
            raise ImageError(message, "unreadable") from None

    def locate(self, reference: _Reference) -> str:
        """Return the path of a file, or the size of an image."""
        if isinstance(reference, bytes):
            return f"An image of {len(reference):,} bytes"
        if isinstance(reference, Image.Image):
            width, height = reference.size
            return f"An image of {width}×{height} pixels and mode {reference.mode}"
        return shorten(os.fspath(reference), 1000)


def _without_crop(spec: ResizeSpec) -> ResizeSpec:
    return ResizeSpec(spec.image_size, spec.channels, crop=None, pad=0)


def _split(images: Any) -> Iterable[Any]:
    """Yield images one by one: paths, PIL images, and arrays (height, width[, channel])."""
    if isinstance(images, str | os.PathLike | bytes | Image.Image):
        yield images
    elif isinstance(images, Tensor):
        yield from _split_array(images.detach().cpu())
    elif isinstance(images, np.ndarray):
        yield from _split_array(images)
    elif isinstance(images, Iterable):
        for image in images:
            if not isinstance(image, _TYPES):
                raise ArgumentError(
                    f"An image is of type {type(image).__name__}; give paths, PIL images, arrays "
                    "or tensors."
                )
            yield from _split(image)
    else:
        raise ArgumentError(
            f"The images are of type {type(images).__name__}; give paths, PIL images, arrays or "
            "tensors."
        )


def _split_array(images: Array | Tensor) -> Iterable[Array]:
    """Yield images as arrays (height, width) or (height, width, channel)."""
    if images.ndim not in (2, 3, 4) or 0 in images.shape[-3:]:
        raise _unknown_shape(images)
    if images.ndim == 2 or (images.ndim == 3 and _has_channels(images)):
        images = images[None]
    if images.ndim == 4 and not _has_channels(images):
        raise _unknown_shape(images)
    channels_first = images.ndim == 4 and _is_channels_first(images)
    for image in images:
        array = image.float() if image.dtype == torch.bfloat16 else image
        array = np.asarray(array)
        yield np.moveaxis(array, 0, -1) if channels_first else array


def _has_channels(images: Array | Tensor) -> bool:
    """Return whether one of the last three dimensions is the channels.

    Three dimensions of a NumPy array without channels at the end are several gray images.
    """
    if images.ndim == 3 and not isinstance(images, Tensor):
        return images.shape[-1] in _CHANNELS
    return images.shape[-3] in _CHANNELS or images.shape[-1] in _CHANNELS


def _is_channels_first(images: Array | Tensor) -> bool:
    """Return whether channels come before height and width; PyTorch's order wins for tensors."""
    first, last = images.shape[-3] in _CHANNELS, images.shape[-1] in _CHANNELS
    if first and last:
        return isinstance(images, Tensor)
    return first


def _from_array(image: Array) -> Image.Image:
    """Return an array (height, width) or (height, width, channel) as a PIL image."""
    levels = _levels(image)
    if levels.ndim == 3 and levels.shape[2] == 1:
        levels = levels[..., 0]
    mode = _MODES[levels.shape[2]] if levels.ndim == 3 else "L"
    height, width = levels.shape[:2]
    return Image.frombytes(mode, (width, height), levels.tobytes())


def _levels(image: Array) -> Images:
    """Return values as uint8; raise ArgumentError where their scale is unknown."""
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * np.uint8(255)
    if image.dtype == np.uint16:
        high: Images = (image >> 8).astype(np.uint8)
        return high
    if image.dtype.kind not in "iuf":
        raise ArgumentError(f"An image is of {image.dtype}; give uint8 or floats in [0, 1].")
    smallest, largest = image.min(), image.max()
    if np.issubdtype(image.dtype, np.integer):
        if smallest < 0 or largest > 255:
            raise ArgumentError(
                f"An image of {image.dtype} has values from {smallest} to {largest}; give uint8 "
                "in [0, 255]."
            )
        return image.astype(np.uint8)
    if not (smallest >= -_TOLERANCE and largest <= 1 + _TOLERANCE):  # NaN, too
        raise ArgumentError(
            f"An image has values from {smallest:g} to {largest:g}; scale floats to [0, 1], or "
            "give uint8 in [0, 255]."
        )
    levels: Images = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    return levels


def _no_images() -> ArgumentError:
    return ArgumentError("There are no images; give at least one.")


def _unknown_shape(images: Array | Tensor) -> ArgumentError:
    shape = tuple(images.shape)
    return ArgumentError(
        f"Images have the shape {shape}; give arrays (number, height, width, channel) or tensors "
        "(number, channel, height, width)."
    )
