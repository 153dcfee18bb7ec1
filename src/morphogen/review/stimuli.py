"""What raters see: every image through one pipeline, so that nothing but its content can tell where it comes from.

- One size: fields of one height and width, and of one number of slices where volumes are shown.
- One intensity map: from the measured images, for all sets, less 0.1 % of the pixels at each end.
- One number of grey levels: the map's range is cut into steps as wide as those of the coarsest set. A set with gaps in
  its histogram (8 bit beside 16) would show itself under a narrow window.
- One encoder: none. Pixels are stored as they are, one or two bytes each. A compressed file is as large as its image
  is rough, and generated images are often smoother; stored plainly all files have one size by construction, no padding
  is needed, and no decoder takes longer for one than for another.
- One kind: sets whose pixel types, channels or pixel sizes differ are refused, for a scale bar or a grey scale would
  tell them apart.

What is in the pixels stays: whether grey levels lie unevenly, as those of a stretched or a JPEG image do, can be seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.fields import fields
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.problems import Problem

MOST_LEVELS = 4096
"""More grey levels than this no window shows."""

Stack = tuple[Picture, ...]
"""An image to be shown: its slices, from first to last; of a plane image one."""


def require_one_kind(sets: Mapping[str, ImageSet]) -> None:
    """Refuse sets that could be told apart without looking at what they show.

    Raises:
        Problem: pixel types, channels or pixel sizes differ.
    """
    (first_name, first), *others = sets.items()
    one = first[0]
    for name, images in ((n, s) for n, s in [(first_name, first), *others]):
        for picture in images:
            if picture.pixels.dtype != one.pixels.dtype:
                raise Problem(
                    f"{first_name} has {one.pixels.dtype} pixels and {name} {picture.pixels.dtype}",
                    do="bring both to one pixel type and one grey scale",
                )
            if picture.channels != one.channels:
                raise Problem(
                    f"{first_name} has {one.channels} channels and {name} {picture.channels}",
                    do="read both in grey",
                )
            same = np.isclose(picture.spacing_um, one.spacing_um, rtol=1e-3, equal_nan=True)
            if not same.all():
                raise Problem(
                    f"a pixel of {first_name} measures {_length(one)} and one of {name} {_length(picture)}",
                    do="shrink one set, or give the pixel size where it is unknown",
                )


def stacks(images: ImageSet, size: tuple[int, int], slices: int, count: int, seed: int) -> list[Stack]:
    """Fields of a set without overlap, spread over its specimens; of volumes, so many slices of each.

    Args:
        images: the set.
        size: height and width in pixels.
        slices: how many consecutive slices of a volume make an image; 1 for plane images.
        count: how many at most.
        seed: of their places.

    Raises:
        Problem: the images are smaller, or no volume has so many consecutive slices.
    """
    if slices == 1:
        return [(field,) for field in fields(images, size, count, seed)]
    volumes: dict[tuple[str, str], dict[int, Picture]] = {}
    for picture in images:
        if picture.origin.slice is not None:
            of_source = volumes.setdefault((picture.origin.specimen, picture.origin.source), {})
            of_source[picture.origin.slice] = picture
    runs = [
        [of_source[k] for k in range(start, start + slices)]
        for of_source in volumes.values()
        for start in sorted(of_source)[::slices]
        if all(k in of_source for k in range(start, start + slices))
    ]
    if not runs:
        raise Problem(
            f"{getattr(images, 'name', 'a set')} has no volume with {slices} consecutive slices",
            do="give volumes, or show fewer slices",
        )
    by_first = {(p.origin.specimen, p.origin.source, p.origin.slice): run for run in runs for p in run[:1]}
    found = []
    for field in fields(Pictures([run[0] for run in runs]), size, count, seed):
        run = by_first[field.origin.specimen, field.origin.source, field.origin.slice]
        assert field.origin.region is not None
        above, before = run[0].origin.region[:2] if run[0].origin.region else (0, 0)
        top, left = field.origin.region[0] - above, field.origin.region[1] - before
        found.append(tuple(p.crop(top, left, *size) for p in run))
    return found


@dataclass(frozen=True, slots=True)
class Pipeline:
    """From grey values to what is stored.

    Attributes:
        low: grey value of level 0.
        high: grey value of the last level.
        levels: how many there are.
    """

    low: float
    high: float
    levels: int

    @classmethod
    def of(cls, measured: Sequence[Stack], scale: IntensityMap, sets: Sequence[Sequence[Stack]]) -> "Pipeline":
        """The pipeline for all sets, with the grey range of the measured one."""
        step = max(_smallest_step(of_set) for of_set in sets)
        low, high = scale.low, scale.high
        if np.issubdtype(measured[0][0].pixels.dtype, np.integer):
            low, high = step * np.floor(low / step), step * np.ceil(high / step)
        levels = min(int(np.floor((high - low) / step + 1e-6)) + 1, MOST_LEVELS) if step > 0 else 2
        return cls(float(low), float(high), max(levels, 2))

    def stored(self, stack: Stack) -> NDArray[np.generic]:
        """``(slices, height, width, channels)``, uint8 or little-endian uint16: the number of each pixel's level."""
        grey = np.stack([p.pixels[:3] if p.channels >= 3 else p.pixels[:1] for p in stack]).astype(np.float64)
        unit = np.clip((grey - self.low) / (self.high - self.low), 0, 1)
        level = np.rint(unit * (self.levels - 1)).astype("<u1" if self.levels <= 256 else "<u2")
        return np.ascontiguousarray(np.moveaxis(level, 1, -1))


def _smallest_step(of_set: Sequence[Stack]) -> float:
    values = np.unique(np.concatenate([np.unique(p.pixels) for stack in of_set for p in stack]).astype(np.float64))
    return float(np.diff(values).min()) if len(values) > 1 else 0.0


def _length(picture: Picture) -> str:
    height, width = picture.spacing_um
    return "an unknown length" if np.isnan(height) else f"{height:g} x {width:g} um"
