"""JPEG, 8 bit, grey or colour; read only, since it changes what it stores.

The resolution in a JFIF header is what a program thought of a screen or a printer; it is never taken as a
pixel size.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from morphogen.images.formats.plane import Plane, UnreadableImageError, channels_first

# A scan of 20 000 pixels a side is a measured image here, not an attack.
Image.MAX_IMAGE_PIXELS = None

EXTENSIONS = (".jpg", ".jpeg")


def read(path: Path, axis: int) -> list[Plane]:
    """The one plane of a JPEG file; ``axis`` has no meaning here."""
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            if image.mode not in ("L", "RGB"):
                raise UnreadableImageError(f"is a JPEG in {image.mode}; only grey and RGB are understood")
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError):
        with open(path, "rb") as file:
            signature = file.read(3)
        if signature != b"\xff\xd8\xff":
            raise UnreadableImageError("is not a JPEG file, whatever its name says") from None
        raise UnreadableImageError("is a damaged JPEG file; it may be truncated") from None
    return [Plane(channels_first(pixels))]
