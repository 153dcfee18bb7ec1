"""PNG, 8 and 16 bit, grey or colour. The pixel size is in the pHYs chunk (PNG specification, 11.3.5.3)."""

from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from morphogen.images.formats.plane import (
    UNKNOWN_SPACING,
    Plane,
    UnreadableImageError,
    channels_first,
    spacing_from_resolution,
)
from morphogen.images.formats.stored_array import DEFLATED_AT_MOST, require_memory, require_stored

# A slice of 20 000 pixels a side is a measured image here, not an attack.
Image.MAX_IMAGE_PIXELS = None

EXTENSIONS = (".png",)
PIXEL_TYPES = ("uint8", "uint16")

_END = b"\0\0\0\0IEND\xaeB`\x82"


def read(path: Path, axis: int) -> list[Plane]:
    """The one plane of a PNG file; ``axis`` has no meaning here."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            _refuse_absurd(path)
            # Pillow reduces 16 bit colour to 8 bit, so it reads only the palette and the chunks.
            palette = image.mode in ("P", "1")
            pixels = np.asarray(image.convert("RGB" if image.mode == "P" else "L")) if palette else None
            dpi = image.info.get("dpi")
        data = path.read_bytes()
        if _END not in data or (palette and image.mode == "P" and b"PLTE" not in data):
            raise UnreadableImageError("is a damaged PNG file (parts are missing); it may be truncated")
        if pixels is None:
            pixels = imagecodecs.png_decode(data)
    except UnreadableImageError:
        raise
    except MemoryError:
        raise UnreadableImageError("needs more memory than there is", do="cut it into smaller files") from None
    except (OSError, SyntaxError, ValueError, imagecodecs.PngError) as error:
        raise UnreadableImageError(_reason(path, error)) from None
    spacing = spacing_from_resolution(float(dpi[0]), float(dpi[1])) if dpi else UNKNOWN_SPACING
    return [Plane(channels_first(pixels), spacing)]


def write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float]) -> None:
    """Write ``(channels, height, width)`` uint8 or uint16; the spacing rounds to whole pixels a metre."""
    interleaved = pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, -1)
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(interleaved)))
    path.write_bytes(_with_physical_size(data, spacing_um) if np.isfinite(spacing_um).all() else data)


def _refuse_absurd(path: Path) -> None:
    """Compare what IHDR declares (PNG specification, 11.2.2) with what so small a file can hold."""
    with open(path, "rb") as file:
        start = file.read(26)
    width, height = (int.from_bytes(start[k : k + 4], "big") for k in (16, 20))
    bits, colour = start[24], start[25]
    row = -(-width * bits * {2: 3, 4: 2, 6: 4}.get(colour, 1) // 8)
    size = path.stat().st_size
    require_memory(require_stored((height, row), np.dtype(np.uint8), size, at_most=DEFLATED_AT_MOST))


def _with_physical_size(data: bytes, spacing_um: tuple[float, float]) -> bytes:
    """Insert a pHYs chunk behind IHDR, which always ends at byte 33."""
    per_metre = [round(1e6 / s) for s in (spacing_um[1], spacing_um[0])]
    body = b"pHYs" + b"".join(n.to_bytes(4, "big") for n in per_metre) + b"\x01"
    checksum = int(imagecodecs.zlib_crc32(body)).to_bytes(4, "big")
    return data[:33] + (9).to_bytes(4, "big") + body + checksum + data[33:]


def _reason(path: Path, error: Exception) -> str:
    with open(path, "rb") as file:
        signature = file.read(8)
    if signature != b"\x89PNG\r\n\x1a\n":
        return "is not a PNG file, whatever its name says"
    return f"is a damaged PNG file ({type(error).__name__}); it may be truncated"
