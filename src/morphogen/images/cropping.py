"""Crops of one size at random places, and how many independent fields of view they really are."""

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem

T = TypeVar("T", bound=np.generic)
_PLACES = 1  # keeps the stream of crop places apart from other streams under the same seed


class RandomCrops:
    """An endless sequence of crops: crop k depends on the seed and on k alone.

    Every place that a crop can take in the set is equally likely. A symmetry is applied only if the
    specimen allows it.

    Args:
        images: where to crop.
        size: height and width of a crop in pixels.
        intensity: map to [-1, 1].
        symmetries: some of "flip_horizontal", "flip_vertical", "quarter_turn".
        seed: of the places and turns.
        with_masks: append the mask as a last channel, 1 in the phase of interest and -1 elsewhere, in register.

    Raises:
        Problem: an image is smaller than the crop, or lacks a mask that is asked for.
    """

    def __init__(
        self,
        images: ImageSet,
        size: tuple[int, int],
        intensity: IntensityMap,
        symmetries: frozenset[str] = frozenset(),
        seed: int = 0,
        with_masks: bool = False,
    ) -> None:
        self._pictures = list(images)
        require_room(self._pictures, size)
        if with_masks:
            require_masks(self._pictures)
        self.with_masks = with_masks
        self.size, self.intensity, self.symmetries, self.seed = size, intensity, symmetries, seed
        places = np.array([_places(picture, size) for picture in self._pictures], dtype=np.float64)
        self._cumulative = np.cumsum(places) / places.sum()

    def __call__(self, first: int, count: int) -> Tensor:
        """Crops from ``first`` on: ``(count, channels, height, width)`` in [-1, 1]; with masks one channel more."""
        return torch.from_numpy(np.stack([self._crop(k) for k in range(first, first + count)]))

    def _crop(self, index: int) -> NDArray[np.float32]:
        random = numpy_generator(self.seed, _PLACES, index)
        which, down, right, *coins = random.random(6)
        picture = self._pictures[int(np.searchsorted(self._cumulative, which, side="right"))]
        (height, width), (rows, columns) = self.size, picture.size
        # Turns by 90 and 270 degrees need room for the turned crop, and square pixels.
        turns = int(coins[0] * 4) if "quarter_turn" in self.symmetries else 0
        if turns % 2 and (rows < width or columns < height or not _square_pixels(picture)):
            turns -= 1
        if turns % 2:
            height, width = width, height
        top, left = int(down * (rows - height + 1)), int(right * (columns - width + 1))
        flips = (
            slice(None),
            slice(None, None, -1 if "flip_vertical" in self.symmetries and coins[2] < 0.5 else 1),
            slice(None, None, -1 if "flip_horizontal" in self.symmetries and coins[1] < 0.5 else 1),
        )

        def turned(channels: NDArray[T]) -> NDArray[T]:
            return np.rot90(channels[:, top : top + height, left : left + width], turns, axes=(1, 2))[flips]

        crop = self.intensity.to_unit(turned(picture.pixels))
        if not self.with_masks:
            return crop
        assert picture.mask is not None  # checked at the start
        mask = np.where(turned(picture.mask[None]), np.float32(1), np.float32(-1))
        return np.concatenate([crop, mask])


def require_room(images: Iterable[Picture], size: tuple[int, int]) -> None:
    """Refuse crops that don't fit.

    Raises:
        Problem: an image is smaller than the crop, or the crop has no area.
    """
    height, width = size
    if height < 1 or width < 1:
        raise Problem(f"a crop of {height} x {width} has no area", do="give a height and a width in pixels")
    for picture in images:
        rows, columns = picture.size
        if rows < height or columns < width:
            raise Problem(
                f"{picture.origin.source or 'an image'} is {rows} x {columns}, smaller than the crop"
                f" {height} x {width}",
                do="choose a smaller crop or leave that image out",
            )


def require_masks(images: Iterable[Picture]) -> None:
    """Refuse images without masks.

    Raises:
        Problem: an image has none.
    """
    for picture in images:
        if picture.mask is None:
            raise Problem(
                f"{picture.origin.source or picture.origin.specimen} has no mask",
                do="put one of its name into a folder masks/ beside images/",
            )


def independent_fields(pictures: Iterable[Picture], size: tuple[int, int]) -> float:
    """How many fields of a size the pictures really show, overlaps counted once.

    The area that the pictures cover in their sources, as a union, over the area of a field. A thousand
    random crops of one slice are no more fields of view than the slice has room for. Neighbouring slices
    of a volume are counted apart here, although they look alike.

    Args:
        pictures: pictures or crops; their ``origin.region`` says where in the source they lie.
        size: height and width of a field in pixels.
    """
    regions = defaultdict(list)
    for picture in pictures:
        region = picture.origin.region or (0, 0, *picture.size)
        regions[picture.origin.specimen, picture.origin.source, picture.origin.slice].append(region)
    covered = sum(_union_area(np.array(boxes)) for boxes in regions.values())
    return covered / (size[0] * size[1])


def _union_area(boxes: NDArray[np.int64]) -> int:
    """Area of the union of boxes (top, left, height, width), by coordinate compression."""
    top, left, height, width = boxes.T
    rows = np.unique(np.concatenate([top, top + height]))
    columns = np.unique(np.concatenate([left, left + width]))
    covered = np.zeros((len(rows), len(columns)), dtype=bool)
    for t, x, h, w in boxes:
        covered[np.searchsorted(rows, t) : np.searchsorted(rows, t + h),
                np.searchsorted(columns, x) : np.searchsorted(columns, x + w)] = True  # fmt: skip
    return int(np.diff(rows) @ covered[:-1, :-1] @ np.diff(columns))


def _places(picture: Picture, size: tuple[int, int]) -> int:
    return (picture.size[0] - size[0] + 1) * (picture.size[1] - size[1] + 1)


def _square_pixels(picture: Picture) -> bool:
    height, width = picture.spacing_um
    return not np.isfinite((height, width)).all() or bool(np.isclose(height, width, rtol=1e-3))
