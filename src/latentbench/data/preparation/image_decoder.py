"""Read and decode images, with one kind of error for all that can be wrong with them."""

from __future__ import annotations

import warnings
from typing import Any

from PIL import Image, UnidentifiedImageError

from latentbench.data.image_archive import is_system_error
from latentbench.data.preparation.decode import (
    Array,
    FormatFacts,
    TooLargeError,
    UnknownScaleError,
    decode_image,
    resize_to_square,
)
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.data.sources import Reader
from latentbench.errors import DataError, ImageError, reason


class ImageDecoder:
    """Reads images and decodes them to a square; `facts` are of all images so far."""

    def __init__(self, reader: Reader, spec: ResizeSpec) -> None:
        self.reader = reader
        self.spec = spec
        self.facts = FormatFacts()

    def decode(self, reference: Any) -> Array:
        """Return an image as uint8 (image_size, image_size, channels).

        Raises:
            ImageError: The image is damaged, too large or has an unknown scale.
            DataError: Memory ran out, or no image of the archive can be read.
            OSError: The system lacks open files or the like.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's, about metadata and size
                decoded = decode_image(self.reader.read(reference), self.spec)
                square = resize_to_square(decoded, self.spec)
            self.facts = self.facts.merge(decoded.facts)
            return square
        except DataError:
            raise
        except MemoryError:  # the image may be whole, so it is not skipped
            raise DataError(
                f"Memory ran out at {self.reader.locate(reference)}; use fewer --workers."
            ) from None
        except (TooLargeError, Image.DecompressionBombError) as error:
            raise self._error(reference, "too large", error) from None
        except UnknownScaleError as error:
            raise self._error(
                reference, "of unknown scale", error, remedy="save it with 8 or 16 bits"
            ) from None
        except UnidentifiedImageError as error:
            raise self._error(reference, "no image", error) from None
        # Pillow's plugins raise OSError, SyntaxError, ValueError, EOFError, OverflowError,
        # TypeError, IndexError, KeyError, AssertionError, struct.error, zlib.error and others.
        # Which ones depends on the format and on Pillow's version.
        except Exception as error:
            if is_system_error(error):
                raise
            raise self._error(reference, "damaged", error) from None

    def _error(
        self, reference: Any, kind: str, error: Exception, *, remedy: str = "repair or remove it"
    ) -> ImageError:
        where = self.reader.locate(reference)
        return ImageError(f"{where} cannot be decoded ({reason(error)}); {remedy}.", kind)
