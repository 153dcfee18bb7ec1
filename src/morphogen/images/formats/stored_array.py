"""Arrays on disk as volumes, and what is checked of them before anything is read.

A header may lie. What it declares is compared with what the file holds and with the memory that is free, before
a byte is allocated: Deflate makes at most 1,032 bytes of one (RFC 1951: a match of 258 bytes needs at least two
bits), so a compressed file bounds its contents too.
"""

import math
import mmap
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from morphogen.images.formats.plane import Plane, UnreadableImageError, channels_first, in_kept_type, kept_type
from morphogen.images.formats.volume import Volume

DEFLATED_AT_MOST = 1032
"""Bytes that Deflate (zlib, gzip, zip) can make of one."""

NUMBERS = ("uint8", "uint16", "float32", "int8", "int16", "int32", "uint32", "float64")
"""Types of number that the formats for arrays write."""

WHOLE = slice(None)

_allowed: ContextVar[int | None] = ContextVar("allowed", default=None)

OTHER_STACKS = "write the stack as .tif, .h5, .zarr or .nrrd, or one file an image"
"""What to do where a format must have a distance between slices, and images that were drawn one by one have none."""


class StoredArray:
    """A ``Volume`` over anything that has a shape and a type and is read by slices: a mapped file, a data set.

    Args:
        array: what holds the pixels.
        axes: a letter for each of its axes: z, y, x and c; "-" for one of length one that means nothing.
        spacing_um: size of a pixel, z, y and x.
        scale: factor and summand that make grey levels of what is stored; they are float32 then.
        close: lets go of the file.
        what: what the file is called in messages, as "NIfTI file".

    Raises:
        UnreadableImageError: no pixels, more than 4 channels, or pixels that are no numbers.
    """

    def __init__(
        self,
        array: Any,
        axes: str,
        spacing_um: tuple[float, float, float] = (math.nan, math.nan, math.nan),
        *,
        scale: tuple[float, float] | None = None,
        close: Callable[[], object] = lambda: None,
        what: str = "image file",
    ) -> None:
        lengths = dict(zip(axes, array.shape, strict=True))
        self.shape = (lengths.get("z", 1), lengths["y"], lengths["x"])
        self.channels = lengths.get("c", 1)
        self.dtype = np.dtype(np.float32) if scale is not None else kept_type(np.dtype(array.dtype))
        self.spacing_um = spacing_um
        self._array, self._axes, self._scale, self._close, self._what = array, axes, scale, close, what
        require_pixels(self.shape)
        if not 1 <= self.channels <= 4:
            raise UnreadableImageError(f"has {self.channels} channels; up to 4 are understood")

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of number in the file."""
        found: np.dtype[Any] = np.dtype(self._array.dtype)
        return found

    @property
    def chunk(self) -> tuple[int, int, int]:
        """Depth, height and width of what is best read at once; 1 plane of what lies plainly in a file."""
        chunks = getattr(self._array, "chunks", None) or [self.shape[2] if a == "x" else 1 for a in self._axes]
        lengths = dict(zip(self._axes, map(int, chunks), strict=True))
        return lengths.get("z", 1), lengths["y"], lengths["x"]

    def read(self, block: tuple[slice, slice, slice]) -> NDArray[np.generic]:
        """The pixels of a block, ``(channels, d, h, w)``."""
        where = dict(zip("zyx", block, strict=True)) | {"-": slice(0, 1), "c": WHOLE}
        with damage_of(self._what):
            found = self._array[tuple(where[a] for a in self._axes)]
            if isinstance(found, np.memmap):
                found = np.array(found)
                _give_back(self._array)
            found = np.asarray(found)
        found = np.squeeze(found, axis=tuple(i for i, a in enumerate(self._axes) if a == "-"))
        axes = self._axes.replace("-", "")
        for missing in (a for a in "cz" if a not in axes):
            found, axes = found[None], missing + axes
        found = np.transpose(found, [axes.index(a) for a in "czyx"])
        if self._scale is not None:
            found = (found * self._scale[0] + self._scale[1]).astype(np.float32)
        return in_kept_type(found)

    def close(self) -> None:
        """Let go of the file."""
        self._close()


def _give_back(array: Any) -> None:
    """Let go of the pages of a mapped file that were looked at: they count as memory of whoever looked."""
    mapped_file = getattr(array, "_mmap", None)
    if mapped_file is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped_file.madvise(mmap.MADV_DONTNEED)


def planes_of(volume: Volume, axis: int) -> list[Plane]:
    """All planes of a volume, read at once: one for an image, one a slice along ``axis`` for a volume.

    Raises:
        UnreadableImageError: it is larger than the memory that is free, or damaged.
    """
    pixels = volume.channels * math.prod(volume.shape)
    require_memory(pixels * volume.dtype.itemsize)
    whole = volume.read((WHOLE, WHOLE, WHOLE))  # (channels, depth, height, width)
    spacing = tuple(s for i, s in enumerate(volume.spacing_um) if i != axis)
    if volume.shape[0] == 1:
        return [Plane(channels_first(np.moveaxis(whole[:, 0], 0, -1)), volume.spacing_um[1:])]
    slices = np.moveaxis(whole, (axis + 1, 0), (0, -1))  # (slices, height, width, channels)
    return [Plane(channels_first(one), (spacing[0], spacing[1]), slice=k) for k, one in enumerate(slices)]


def axes_of(shape: Sequence[int]) -> str:
    """What the axes of an array are that doesn't say it: z, y, x, and channels last, if there are at most 4.

    Raises:
        UnreadableImageError: fewer than two axes, or more than these.
    """
    long = [n for n in shape if n != 1]
    if len(shape) == 2:
        return "yx"
    if len(shape) == 3:
        return "yxc" if shape[2] in (3, 4) and min(shape[:2]) > 4 else "zyx"
    if len(shape) == 4 and shape[3] <= 4:
        return "zyxc"
    if len(shape) > 3 and len(long) <= 3 and all(n == 1 for n in shape[:-3]):
        return "-" * (len(shape) - 3) + "zyx"
    raise UnreadableImageError(f"has {len(shape)} dimensions {tuple(shape)}; images and volumes are understood")


def require_pixels(shape: Sequence[int]) -> None:
    """Refuse what has no pixels.

    Raises:
        UnreadableImageError: an axis is empty, or of negative length.
    """
    if not shape or min(shape) < 1:
        raise UnreadableImageError(f"has no pixels: its dimensions are {tuple(int(n) for n in shape)}")


def require_stored(shape: Sequence[int], dtype: np.dtype[Any], stored: int, *, at_most: float = 1) -> int:
    """The bytes that a header declares, if the file can hold them.

    Args:
        shape: dimensions that the header declares.
        dtype: type that it declares.
        stored: bytes that are there for the pixels.
        at_most: bytes that compression can make of one.

    Raises:
        UnreadableImageError: no pixels, or more than the file can hold.
    """
    require_pixels(shape)
    declared = math.prod(int(n) for n in shape) * dtype.itemsize
    if declared > max(stored, 0) * at_most:
        raise UnreadableImageError(
            f"declares {sized(declared)} of pixels and holds {sized(max(stored, 0))}; it is truncated or its header"
            " is wrong"
        )
    return declared


def require_memory(needed: int) -> None:
    """Refuse what does not fit in memory.

    Raises:
        UnreadableImageError: less is free.
    """
    free = free_memory()
    if needed > free:
        raise UnreadableImageError(
            f"has {sized(needed)} of pixels, and {sized(free)} of memory are free", do="cut it into smaller files"
        )


@contextmanager
def memory_of_at_most(count: int) -> Iterator[None]:
    """Let a file that is opened within take no more than so many bytes of memory, where nobody knows who sent it."""
    before = _allowed.set(count)
    try:
        yield
    finally:
        _allowed.reset(before)


def free_memory() -> int:
    """Bytes of memory that may still be taken: what is free, what the process's limits leave, what is allowed."""
    import psutil

    free = int(psutil.virtual_memory().available)
    if sys.platform != "win32":
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            free = min(free, limit - int(psutil.Process().memory_info().vms))
    allowed = _allowed.get()
    return max(free if allowed is None else min(free, allowed), 0)


def sized(count: int) -> str:
    """A number of bytes in words, as "1.5 GB"."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:,.3g} {unit}" if count < 1000 * 10**12 else f"{count / 10**12:.1e} TB"
    return f"{count} bytes"


def mapped(
    path: Path, dtype: np.dtype[Any], shape: Sequence[int], offset: int, *, exactly: bool = False
) -> NDArray[Any]:
    """Pixels as they lie in a file, slowest axis first, mapped and not read.

    Args:
        path: the file.
        dtype: their type.
        shape: their dimensions.
        offset: where they begin.
        exactly: whether the file has to end with them.

    Raises:
        UnreadableImageError: the file is shorter than that, or longer if ``exactly``.
    """
    size = path.stat().st_size
    if not 0 <= offset <= size:
        raise UnreadableImageError(f"is {sized(size)} long, and its pixels are to begin at byte {offset:,}")
    declared = require_stored(shape, dtype, size - offset)
    if exactly and declared != size - offset:
        raise UnreadableImageError(
            f"holds {sized(size - offset)} of pixels, and its header says {sized(declared)}", do="mend the header"
        )
    found: NDArray[Any] = np.memmap(path, dtype, "r", offset, tuple(int(n) for n in shape))
    return found


def inflated(
    file: BinaryIO, dtype: np.dtype[Any], shape: Sequence[int], stored: int, *, at_most: float
) -> NDArray[Any]:
    """Pixels out of a compressed stream: as many as declared, and not a byte more.

    Args:
        file: gives the inflated bytes.
        dtype: their type.
        shape: their dimensions, slowest first.
        stored: compressed bytes that are there.
        at_most: bytes that the compression can make of one.

    Raises:
        UnreadableImageError: too few, or more than the memory that is free.
    """
    declared = require_stored(shape, dtype, stored, at_most=at_most)
    require_memory(declared)
    data = bytearray()
    while len(data) < declared:
        part = file.read(min(declared - len(data), 2**24))
        if not part:
            raise UnreadableImageError(f"declares {sized(declared)} of pixels and holds {sized(len(data))}")
        data += part
    if file.read(1):  # reading on to the end also compares the checksum, where there is one
        raise UnreadableImageError(f"holds more than the {sized(declared)} of pixels that it declares")
    found: NDArray[Any] = np.frombuffer(data, dtype).reshape(tuple(int(n) for n in shape))
    return found


def beside(header: Path, named: str) -> Path:
    """The file that a header names for its pixels.

    Raises:
        UnreadableImageError: it is not in the folder of the header, links counted, or is not there.
    """
    found, folder = header.parent / named, header.parent.resolve()
    if not found.resolve().is_relative_to(folder):
        raise UnreadableImageError(
            f"points at {named} for its pixels, outside of its folder", do="put both into one folder"
        )
    if not found.is_file():
        raise UnreadableImageError(
            f"has its pixels in {named}, which is not there", do=f"put {Path(named).name} beside it"
        )
    return found


class Inflating:
    """The inflated bytes of a zlib stream, as a file that is read from its beginning, never more than asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._stream = file, zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """At most so many of the next bytes; none at the end.

        Raises:
            EOFError: the stream is cut off.
        """
        while not self._stream.eof:
            data = self._stream.unconsumed_tail or self._file.read(2**16)
            found = self._stream.decompress(data, count)
            if found:
                return found
            if not data:
                raise EOFError
        return b""


@contextmanager
def damage_of(what: str, path: Path | None = None, *signatures: bytes) -> Iterator[None]:
    """Say in one line what a library finds wrong with a file, whatever it raises.

    The libraries raise what comes up where a file makes no sense to them: KeyError, struct.error, AttributeError,
    RecursionError. Nothing but calls of them may stand in this context.

    Args:
        what: what the file should be, as "NIfTI file".
        path: the file, where its beginning should say so.
        signatures: beginnings, one of which it should have.

    Raises:
        UnreadableImageError: instead of all that is raised within, other than itself and a missing right to read.
    """
    try:
        yield
    except (UnreadableImageError, PermissionError):
        raise
    except MemoryError:
        raise UnreadableImageError("needs more memory than there is", do="cut it into smaller files") from None
    except Exception as error:
        if path is not None and signatures and not _begins_with(path, signatures):
            raise UnreadableImageError(f"is no {what}, whatever its name says") from None
        name = type(error).__name__
        raise UnreadableImageError(f"is a damaged {what} ({name}); it may be truncated") from None


def _begins_with(path: Path, signatures: Sequence[bytes]) -> bool:
    with open(path, "rb") as file:
        return file.read(max(map(len, signatures))).startswith(tuple(signatures))
