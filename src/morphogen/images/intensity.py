"""The map between grey values as measured and the range [-1, 1] in which networks work.

It is linear, stored with every run, and inverted on the way out, so that a 16 bit set gives 16 bit
images on the same intensity scale. The range is declared once, from the training images, and never
guessed again from anything that was generated.

Of volumes that stay on disk the range comes from one pass over what is trained on, and percentiles from its histogram:
exact for integers, from a million pixels spread evenly for floats.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from morphogen.images.picture import Picture
from morphogen.images.stored_pixels import levels_on_disk, stored
from morphogen.images.volume_file import GreyLevels
from morphogen.problems import Problem


class IntensityMap(BaseModel):
    """x = 2 (g - low) / (high - low) - 1, one map for all channels so that colours stay in balance.

    Attributes:
        low: grey value that becomes -1.
        high: grey value that becomes +1.
        dtype: pixel type of the images, given back by ``to_grey``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    dtype: str

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> "IntensityMap":
        if not self.high > self.low:
            raise ValueError("high must be above low")
        return self

    @classmethod
    def of(cls, pictures: Iterable[Picture], clip_percent: float = 0.0) -> "IntensityMap":
        """The map that covers these pictures.

        Args:
            pictures: the training images.
            clip_percent: this share of the pixels at each end may fall outside, for sets with a few
                extreme pixels; 0 covers the full range, and then the map loses nothing.

        Raises:
            Problem: all pixels have the same value.
        """
        pictures = list(pictures)
        on_disk = levels_on_disk(p.pixels for p in pictures)
        in_memory = [p for p in pictures if stored(p.pixels) is None]
        if clip_percent > 0 and on_disk:
            values, counts = np.unique(_sample(in_memory), return_counts=True)
            rest = [GreyLevels(values[0], values[-1], values.astype(np.float64), counts)] if in_memory else []
            low, high = GreyLevels.together([*on_disk, *rest]).percentiles(clip_percent, 100 - clip_percent)
        elif clip_percent > 0:
            low, high = np.percentile(_sample(in_memory), (clip_percent, 100 - clip_percent))
        else:
            low = min([*(p.pixels.min() for p in in_memory), *(found.low for found in on_disk)])
            high = max([*(p.pixels.max() for p in in_memory), *(found.high for found in on_disk)])
        if not high > low:
            raise Problem(
                f"all pixels of {pictures[0].origin.source or 'the images'} have the value {low:g}",
                do="give images that show something",
            )
        return cls(low=float(low), high=float(high), dtype=pictures[0].pixels.dtype.name)

    def to_unit(self, pixels: NDArray[np.generic]) -> NDArray[np.float32]:
        """Grey values to [-1, 1]; values outside the range are clipped to it."""
        scaled: NDArray[np.float32] = (pixels.astype(np.float32) - np.float32(self.low)) * np.float32(
            2.0 / (self.high - self.low)
        ) - np.float32(1.0)
        return np.clip(scaled, -1.0, 1.0, out=scaled)

    def share_beyond(self, pixels: NDArray[np.generic]) -> float:
        """Share of the grey values that ``to_unit`` clips, in [0, 1]."""
        values = np.asarray(pixels)
        return float(np.mean(np.less(values, self.low) | np.greater(values, self.high)))

    def to_grey(self, unit: NDArray[np.floating]) -> NDArray[np.generic]:
        """[-1, 1] back to grey values of the stored type; integers are rounded, nothing wraps."""
        clipped = np.clip(unit.astype(np.float64), -1.0, 1.0)
        grey = (clipped + 1.0) * 0.5 * (self.high - self.low) + self.low
        dtype = np.dtype(self.dtype)
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            return np.clip(np.rint(grey), limits.min, limits.max).astype(dtype)
        return grey.astype(dtype)


def _sample(pictures: Sequence[Picture]) -> NDArray[Any]:
    parts = [p.pixels.reshape(-1)[:: _stride(p)] for p in pictures]
    return np.concatenate(parts) if parts else np.empty(0)


def _stride(picture: Picture) -> int:
    """Percentiles of about a million pixels a picture are good enough and cost no memory."""
    return max(1, picture.pixels.size // 1_000_000)
