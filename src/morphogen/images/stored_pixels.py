"""Pixels that stay in their file: arrays that are read where, and only where, they are looked at.

A ``Picture`` whose ``pixels`` are ``StoredPixels`` is a slice of a volume, or a rectangle of one. Its size, type and
number of channels are known without reading. A crop of it (``Picture.crop``) still reads nothing; indexing reads the
rectangle that is asked for; anything else that NumPy does to an array reads all of it, and keeps nothing. So whatever
takes pictures takes these, and what looks at sizes, labels and places alone never touches the disk.

``StoredMask`` is the same for the mask of such a picture.
"""

from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from morphogen.images.volume_file import GreyLevels, VolumeFile

Rectangle = tuple[int, int, int, int]
"""Top, left, height and width."""


class _OnDisk(NDArrayOperatorsMixin):
    """What acts as an array of its shape and type, and is read when it is used as one."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def _read(self, rectangle: Rectangle) -> NDArray[Any]:
        raise NotImplementedError

    @property
    def _whole(self) -> Rectangle:
        return 0, 0, self.shape[-2], self.shape[-1]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read(self._whole))

    def __getitem__(self, key: Any) -> Any:
        """What NumPy gives for this key; of a rectangle, and nothing but it, no other pixel is read."""
        keys = key if isinstance(key, tuple) else (key,)
        rectangle, rest = self._whole, key
        if len(keys) == self.ndim and all(isinstance(k, slice) and k.step in (None, 1) for k in keys[-2:]):
            (top, bottom, _), (left, right, _) = (k.indices(n) for k, n in zip(keys[-2:], self.shape[-2:], strict=True))
            rectangle = top, left, max(bottom - top, 0), max(right - left, 0)
            rest = (*keys[:-2], slice(None), slice(None))
        return self._read(rectangle)[rest]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        found = self._read(self._whole)
        return found if dtype is None else found.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(*(np.asarray(i) if isinstance(i, _OnDisk) else i for i in inputs), **options)

    def __getattr__(self, name: str) -> Any:
        """Whatever else an array can do: of the pixels, read now."""
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"'{type(self).__name__}' has no attribute '{name}'")
        return getattr(self._read(self._whole), name)


class StoredPixels(_OnDisk):
    """A rectangle of a slice of a volume on disk, ``(channels, height, width)``.

    Args:
        file: the volume.
        axis: along which it is cut into slices: 0, 1 or 2.
        index: which slice.
        rectangle: top, left, height and width within the slice, in its pixels; None for the whole.
        shrink: whole factor by which the pixels are made fewer, by the mean over squares.
        grey: whether to take the luminance of colours.
    """

    def __init__(
        self,
        file: VolumeFile,
        axis: int,
        index: int,
        rectangle: Rectangle | None = None,
        *,
        shrink: int = 1,
        grey: bool = False,
    ) -> None:
        self.file, self.axis, self.index, self.shrink, self.grey = file, axis, index, shrink, grey
        rows, columns = (n for i, n in enumerate(file.shape) if i != axis)
        self.rectangle = rectangle or (0, 0, rows // shrink, columns // shrink)
        self.dtype = file.dtype
        self.shape = (1 if grey else file.channels, *self.rectangle[2:])

    def crop(self, top: int, left: int, height: int, width: int) -> "StoredPixels":
        """A rectangle of it, which is not read either."""
        above, before, rows, columns = self.rectangle
        if top < 0 or left < 0 or top + height > rows or left + width > columns:
            raise ValueError(f"crop {top, left, height, width} leaves pixels of {rows, columns}")
        return self._other(rectangle=(above + top, before + left, height, width))

    def shrunk(self, factor: int) -> "StoredPixels":
        """The same, of fewer pixels; of the whole slice."""
        return self._other(shrink=self.shrink * factor)

    def in_grey(self) -> "StoredPixels":
        """The luminance (ITU-R BT.601), rounded to the type of the pixels; what is grey stays what it is."""
        return self._other(rectangle=self.rectangle, grey=self.file.channels > 1)

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where in the volume it lies, along z, y and x."""
        return self._box(self.rectangle)

    @property
    def identity(self) -> str:
        """What they are: the hash of the contents of the volume, and which part of it, how it is read."""
        options = f"shrink {self.shrink} grey {self.grey}"
        return f"{self.file.contents} axis {self.axis} slice {self.index} {self.rectangle} {options}"

    def _other(self, rectangle: Rectangle | None = None, **changes: Any) -> "StoredPixels":
        options = {"shrink": self.shrink, "grey": self.grey} | changes
        return StoredPixels(self.file, self.axis, self.index, rectangle, **options)

    def _box(self, rectangle: Rectangle) -> tuple[slice, slice, slice]:
        top, left, height, width = (n * self.shrink for n in rectangle)
        ranges = [slice(top, top + height), slice(left, left + width)]
        ranges.insert(self.axis, slice(self.index, self.index + 1))
        return ranges[0], ranges[1], ranges[2]

    def _read(self, rectangle: Rectangle) -> NDArray[Any]:
        top, left, height, width = rectangle
        above, before = self.rectangle[:2]
        block = self.file.read(self._box((above + top, before + left, height, width)))
        found = block.reshape(block.shape[0], *(n for i, n in enumerate(block.shape[1:]) if i != self.axis))
        if self.grey and len(found) >= 3:
            red, green, blue = found[:3].astype(np.float64)
            found = _rounded((0.299 * red + 0.587 * green + 0.114 * blue)[None], self.dtype)
        elif self.grey:
            found = found[:1]
        if self.shrink > 1:
            squares = found.reshape(len(found), height, self.shrink, width, self.shrink)
            found = _rounded(squares.mean(axis=(2, 4), dtype=np.float64), self.dtype)
        return found


class StoredMask(_OnDisk):
    """The mask of a slice, ``(height, width)``: true where the brightest channel of stored pixels is above a level."""

    def __init__(self, pixels: StoredPixels, level: float) -> None:
        self.pixels, self.level = pixels, level
        self.dtype = np.dtype(np.bool_)
        self.shape = pixels.shape[1:]

    def crop(self, top: int, left: int, height: int, width: int) -> "StoredMask":
        """A rectangle of it, which is not read either."""
        return StoredMask(self.pixels.crop(top, left, height, width), self.level)

    def _read(self, rectangle: Rectangle) -> NDArray[Any]:
        return cast(NDArray[Any], self.pixels._read(rectangle).max(axis=0) > self.level)


def as_pixels(stored: StoredPixels) -> NDArray[np.generic]:
    """Stored pixels as what a ``Picture`` holds: they act as an array, which the type cannot say."""
    return cast(NDArray[np.generic], stored)


def as_mask(stored: StoredMask) -> NDArray[np.bool_]:
    """The same of a mask."""
    return cast(NDArray[np.bool_], stored)


def stored(pixels: Any) -> StoredPixels | None:
    """The stored pixels that these are; None if they are in memory."""
    return pixels if isinstance(pixels, StoredPixels) else None


def stored_mask(mask: Any) -> StoredMask | None:
    """The same of a mask."""
    return mask if isinstance(mask, StoredMask) else None


def levels_on_disk(pixels: Iterable[Any]) -> list[GreyLevels]:
    """Grey levels of all of these pixels that stay on disk: one for each box of a volume that some of them span.

    Slices that lie between others of one rectangle are looked at too, and pixels that are shrunk or grey before they
    are: the range covers what is read.
    """
    spans: dict[tuple[int, int, Rectangle, int], list[StoredPixels]] = {}
    for one in pixels:
        if isinstance(one, StoredPixels):
            spans.setdefault((id(one.file), one.axis, one.rectangle, one.shrink), []).append(one)
    found = []
    for group in spans.values():
        first, last = min(group, key=lambda s: s.index), max(group, key=lambda s: s.index)
        z, y, x = (slice(a.start, b.stop) for a, b in zip(first.box, last.box, strict=True))
        found.append(first.file.grey_levels((z, y, x)))
    return found


def _rounded(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    return (np.rint(values) if dtype.kind == "u" else values).astype(dtype)
