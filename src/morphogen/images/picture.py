"""One image with what it means: its pixels as they were measured, their size, and their origin."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from morphogen.images.stored_pixels import as_mask, as_pixels, stored, stored_mask

Label = str | float

PIXEL_TYPES = (np.dtype("uint8"), np.dtype("uint16"), np.dtype("float32"))
"""The pixel types that Morphogen keeps: 8 and 16 bit unsigned integers and 32 bit floats."""


TRAINED_THROUGH = "trained through"
"""Label of a generated picture: the pretrained features, if any, that its method was trained to please;
several are parted by ", "."""

TRAINED_ON = "trained on"
"""Label of a generated picture: the fingerprint of the image set that its method has seen."""


TOLD_BY = "told by"
"""Label of a generated picture: the identity of the CLIP, if any, whose vectors its method was told."""

SCALED = "grey levels"
"""Label of a picture whose grey levels were mapped to others: how these follow, in words of ASCII."""

EDITED_BY = "edited by"
"""Label of an edited picture: the editor."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a picture comes from: what splits and honest error bars need.

    Attributes:
        specimen: name of the physical specimen. Pictures of one specimen are never independent.
        source: file, volume or program that it was read from.
        slice: index of the slice in a volume, or None.
        region: top, left, height and width within the source, in pixels, or None for the whole.
    """

    specimen: str
    source: str = ""
    slice: int | None = None
    region: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One image.

    Attributes:
        pixels: ``(channels, height, width)``, 1 to 4 channels, uint8, uint16 or float32, as measured;
            in memory, or on disk and read where it is looked at (``stored_pixels``).
        spacing_um: height and width of a pixel in micrometres; NaN where unknown, never guessed.
        origin: where it comes from.
        labels: what is known of it, such as a caption or a porosity.
        mask: ``(height, width)``, true in the phase of interest, where that is known: drawn by hand, exact, or
            generated with the image; None where it is not.

    Raises:
        ValueError: the pixels are not three-dimensional or of another type, or the mask does not fit them.
    """

    pixels: NDArray[np.generic]
    spacing_um: tuple[float, float]
    origin: Origin
    labels: Mapping[str, Label] = field(default_factory=lambda: MappingProxyType({}))
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or not 1 <= self.pixels.shape[0] <= 4:
            raise ValueError(f"pixels must be (1 to 4, height, width), got {self.pixels.shape}")
        if self.pixels.dtype not in PIXEL_TYPES:
            raise ValueError(f"pixels must be uint8, uint16 or float32, got {self.pixels.dtype}")
        if self.mask is not None and (self.mask.shape != self.pixels.shape[1:] or self.mask.dtype != np.bool_):
            raise ValueError(f"a mask {self.mask.shape} of {self.mask.dtype} does not fit {self.pixels.shape}")

    @property
    def channels(self) -> int:
        """Number of channels: 1 for grey, 3 for RGB."""
        return int(self.pixels.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    @property
    def grey(self) -> NDArray[np.float64]:
        """Luminance ``(height, width)`` in the units of the pixels (ITU-R BT.601 for RGB)."""
        if self.channels < 3:
            return cast(NDArray[np.float64], self.pixels[0].astype(np.float64))
        red, green, blue = self.pixels[:3].astype(np.float64)
        return cast(NDArray[np.float64], 0.299 * red + 0.587 * green + 0.114 * blue)

    def crop(self, top: int, left: int, height: int, width: int) -> "Picture":
        """The rectangle with that corner and size, which remembers the place it came from."""
        if top < 0 or left < 0 or top + height > self.size[0] or left + width > self.size[1]:
            raise ValueError(f"crop {top, left, height, width} leaves a picture of {self.size}")
        above, before = self.origin.region[:2] if self.origin.region else (0, 0)
        on_disk, mask_on_disk = stored(self.pixels), stored_mask(self.mask)
        pixels = (
            self.pixels[:, top : top + height, left : left + width]
            if on_disk is None
            else as_pixels(on_disk.crop(top, left, height, width))
        )
        mask = (
            None
            if self.mask is None or mask_on_disk is not None
            else self.mask[top : top + height, left : left + width]
        )
        if mask_on_disk is not None:
            mask = as_mask(mask_on_disk.crop(top, left, height, width))
        origin = replace(self.origin, region=(above + top, before + left, height, width))
        return replace(self, pixels=pixels, mask=mask, origin=origin)

    def in_memory(self) -> "Picture":
        """The same with pixels and mask in memory, read now where they were on disk."""
        if stored(self.pixels) is None and stored_mask(self.mask) is None:
            return self
        return replace(self, pixels=np.asarray(self.pixels), mask=None if self.mask is None else np.asarray(self.mask))


def stored_spacing(spacing_um: tuple[float, float]) -> tuple[float | None, float | None]:
    """A spacing for JSON, which has no NaN: None where it is unknown."""
    height, width = spacing_um
    return height if math.isfinite(height) else None, width if math.isfinite(width) else None


def spacing_from_stored(stored: tuple[float | None, float | None]) -> tuple[float, float]:
    """The spacing that ``stored_spacing`` stored: NaN where it is unknown."""
    height, width = stored
    return math.nan if height is None else height, math.nan if width is None else width
