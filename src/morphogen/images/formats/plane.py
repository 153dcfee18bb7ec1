"""What a format gives: planes of pixels as stored, with the pixel size where the file has it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNKNOWN_SPACING = (math.nan, math.nan)

SCREEN_RESOLUTIONS_PER_INCH = (72.0, 96.0, 1.0)
"""Resolutions that programs write when they know nothing of the specimen. They are no pixel size."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One plane: ``(channels, height, width)`` pixels, spacing in micrometres, index in its volume."""

    pixels: NDArray[np.generic]
    spacing_um: tuple[float, float] = UNKNOWN_SPACING
    slice: int | None = None


class UnreadableImageError(Exception):
    """The file is not what its name says, is damaged, or cannot be had.

    Args:
        message: which of these, in a few words that go on a sentence whose subject is the file.
        do: what a person can do about it.
    """

    def __init__(self, message: str, *, do: str = "replace or remove it") -> None:
        self.do = do
        super().__init__(message)


def channels_first(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """``(height, width)`` or ``(height, width, channels)`` to channels first, in a kept pixel type.

    Types are kept where Morphogen has them. Others go, without loss, to one it has: bool to uint8 (0 and
    255), signed 16 bit to float32, float64 to float32 (lossless only to seven digits), larger integers
    to float32 where every value survives.
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    pixels = np.moveaxis(pixels, -1, 0)
    if pixels.shape[0] in (2, 4) and pixels.dtype in (np.uint8, np.uint16):
        opaque = 255 if pixels.dtype == np.uint8 else 65535
        if (pixels[-1] == opaque).all():
            pixels = pixels[:-1]  # an opaque alpha channel says nothing
    return np.ascontiguousarray(in_kept_type(pixels))


def spacing_from_resolution(x_per_inch: float, y_per_inch: float) -> tuple[float, float]:
    """Pixels an inch to micrometres a pixel; NaN for resolutions that only describe a screen."""
    if any(r <= 0 or any(abs(r - s) < 0.02 for s in SCREEN_RESOLUTIONS_PER_INCH) for r in (x_per_inch, y_per_inch)):
        return UNKNOWN_SPACING
    return 25_400.0 / y_per_inch, 25_400.0 / x_per_inch


def kept_type(stored: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """The pixel type in which pixels stored as ``stored`` are given.

    Raises:
        UnreadableImageError: they are no numbers, or complex ones.
    """
    native = stored.newbyteorder("=")
    if native in (np.uint8, np.uint16, np.float32):
        return native
    if native == np.bool_:
        return np.dtype(np.uint8)
    if native.kind in "iuf":
        return np.dtype(np.float32)
    raise UnreadableImageError(f"has pixels of type {stored}, which are no grey levels")


def in_kept_type(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """The same numbers in a kept type.

    Raises:
        UnreadableImageError: some would lose digits.
    """
    kept = kept_type(pixels.dtype)
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind in "iu" and kept == np.float32 and pixels.dtype.itemsize > 2:
        # Compared, not made absolute: the most negative integer has no absolute value in its type.
        low, high = (int(pixels.min()), int(pixels.max())) if pixels.size else (0, 0)
        if low < -(2**24) or high > 2**24:
            raise UnreadableImageError(f"has pixels of type {pixels.dtype}, which would lose digits")
    return pixels if pixels.dtype == kept else pixels.astype(kept)
