"""Image sets as TIFF files of 16 bit with units, for programs that want nothing else.

16 bit levels stay as they are. All others are mapped so that they can be had back, and every file and the manifest say
how:

    8 bit                 g16 = 257 g8, so that 0 stays 0 and 255 becomes 65535
    float, whole numbers  g16 = g - low, where their span is 65535 at most, as of signed 16 bit or of Hounsfield units
    other float           g16 = 65535 (g - low) / (high - low), rounded: half a step is lost, and no more

``low`` and ``high`` are the ends of the whole set, so that its images stay comparable.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from morphogen.images.folders import write_images
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import SCALED, Picture

LEVELS = 65535
_OF_8_BIT = 257


@dataclass(frozen=True, slots=True)
class SixteenBit:
    """How grey levels become 16 bit: g16 = factor (g - low), rounded.

    Attributes:
        words: the same for a person, in letters that every file can hold; "" where nothing is changed.
    """

    factor: float = 1.0
    low: float = 0.0
    words: str = ""

    @classmethod
    def of(cls, pictures: Iterable[Picture]) -> "SixteenBit":
        """The map for pictures of one pixel type."""
        low, high, whole, pixel_type = np.inf, -np.inf, True, ""
        for picture in pictures:
            pixel_type = picture.pixels.dtype.name
            if pixel_type != "float32":
                break  # the type says it all
            pixels = np.asarray(picture.pixels)
            low, high = min(low, float(pixels.min())), max(high, float(pixels.max()))
            whole = whole and bool((pixels == np.rint(pixels)).all())
        if pixel_type == "uint16":
            return cls()
        if pixel_type == "uint8":
            return cls(_OF_8_BIT, 0.0, f"16 bit level = {_OF_8_BIT} x the 8 bit level of the source")
        if whole and high - low <= LEVELS:
            return cls(1.0, low, f"grey level of the source = 16 bit level {'-' if low < 0 else '+'} {abs(low):g}")
        step = (high - low) / LEVELS
        return cls(1 / step, low, f"grey level of the source = {low!r} + {step!r} x 16 bit level, rounded")

    def __call__(self, picture: Picture) -> Picture:
        """The picture in 16 bit, with a label that says how its levels follow from the source's."""
        if not self.words:
            return picture
        levels = np.rint((np.asarray(picture.pixels).astype(np.float64) - self.low) * self.factor)
        pixels = np.clip(levels, 0, LEVELS).astype(np.uint16)
        return replace(picture, pixels=pixels, labels={**picture.labels, SCALED: self.words})


def tiff(images: ImageSet, folder: Path | str, *, as_stored: bool = False, as_stack: bool = False) -> Path:
    """Write a set as TIFF files, or one of them, of 16 bit, with the pixel size where ImageJ reads it.

    Args:
        images: the set. Masks are written beside it.
        folder: where; images/ and masks/ in it are replaced.
        as_stored: keep the type of the pixels, 8 bit, 16 bit or float.
        as_stack: one file with all images as its slices.

    Returns:
        The folder.

    Raises:
        Problem: no room, or images of several sizes for a stack.
    """
    if not as_stored:
        to_16_bit = SixteenBit.of(images)
        images = Pictures((to_16_bit(picture) for picture in images), getattr(images, "name", "images"))
    return write_images(images, Path(folder), extension=".tif", as_stack=as_stack)
