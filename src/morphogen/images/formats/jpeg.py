"""JPEG, 8 bit, grey or colour; read only, since it changes what it stores.

The resolution in a JFIF header is what a program thought of a screen or a printer; it is never taken as a
pixel size.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from morphogen.images.formats.plane import Plane, UnreadableImageError, channels_first
from morphogen.images.formats.stored_array import require_memory, require_stored

# A scan of 20 000 pixels a side is a measured image here, not an attack.
Image.MAX_IMAGE_PIXELS = None

EXTENSIONS = (".jpg", ".jpeg")

_AT_MOST = 2**12
"""Bytes that JPEG can make of one: a block of 64 pixels takes a bit at the least, in each of up to three channels."""


def read(path: Path, axis: int) -> list[Plane]:
    """The one plane of a JPEG file; ``axis`` has no meaning here."""
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            if image.mode not in ("L", "RGB"):
                raise UnreadableImageError(f"is a JPEG in {image.mode}; only grey and RGB are understood")
            shape = (image.height, image.width, len(image.getbands()))
            require_memory(require_stored(shape, np.dtype(np.uint8), path.stat().st_size, at_most=_AT_MOST))
            pixels = np.asarray(image)
    except UnreadableImageError:
        raise
    except MemoryError:
        raise UnreadableImageError("needs more memory than there is", do="cut it into smaller files") from None
    except (OSError, SyntaxError, ValueError):
        with open(path, "rb") as file:
            signature = file.read(3)
        if signature != b"\xff\xd8\xff":
            raise UnreadableImageError("is not a JPEG file, whatever its name says") from None
        raise UnreadableImageError("is a damaged JPEG file; it may be truncated") from None
    return [Plane(channels_first(pixels))]
