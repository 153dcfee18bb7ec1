"""TIFF (revision 6.0 and BigTIFF): images and volumes, through tifffile.

A volume is read as slices along a chosen axis, or block by block from where it lies (``open_volume``). Pixel sizes come
from OME-XML (PhysicalSizeX, Y and Z with their units), ImageJ's metadata, what electron microscopes of FEI and Zeiss
and confocal microscopes of Zeiss write, or the resolution tags (TIFF 6.0, section 8) where they describe the specimen
and not a screen.

ImageJ writes one directory for a whole stack and the planes behind each other, since the offsets of TIFF end at 4 GiB.
tifffile knows; a stack of which less is there than ImageJ's metadata say is refused, and not read in part.
"""

import logging
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from morphogen.images.formats.length_units import length_um, micrometres
from morphogen.images.formats.plane import (
    UNKNOWN_SPACING,
    Plane,
    UnreadableImageError,
    channels_first,
    in_kept_type,
    kept_type,
    spacing_from_resolution,
)
from morphogen.images.formats.volume import Volume

EXTENSIONS = (".tif", ".tiff", ".btf", ".tf8")
PIXEL_TYPES = ("uint8", "uint16", "float32", "int8", "int16", "int32", "uint32", "float64")
IMAGEJ_TYPES = ("uint8", "uint16", "float32")

NOTES = True
"""Whether its writers can say something of an image, ``note``."""

CACHED_BYTES = 2**26
"""Decoded tiles and strips that an open volume keeps, in bytes."""

_CHEAP_GAP = 2**13
"""Bytes between two rows of a block that are rather read along than stepped over by another call: a call costs as much
as to copy some ten thousand bytes."""

_EXPANDS_AT_MOST = 2**15
"""Bytes that a compression makes of one at most. Deflate makes a thousand; Zstandard and run lengths can make more, of
zeros alone."""

_UNKNOWN = (math.nan, *UNKNOWN_SPACING)

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong is said in one line, by us


def read(path: Path, axis: int) -> list[Plane]:
    """All planes: one for an image, one a slice along ``axis`` (0, 1 or 2) for a volume."""
    with _opened(path) as stack:
        _require_memory(stack)
        with _damage_of(path):
            data = stack.series.asarray()
    data = stack.ordered(data)  # (depth, height, width, channels)
    if not stack.is_volume:
        return [Plane(channels_first(data[0]), stack.spacing_um[1:])]
    kept = tuple(s for i, s in enumerate(stack.spacing_um) if i != axis)
    return [
        Plane(channels_first(np.take(data, k, axis=axis)), (kept[0], kept[1]), slice=k) for k in range(data.shape[axis])
    ]


def open_volume(path: Path, inside: str | None = None) -> Volume:
    """A volume, or an image as a volume of depth 1, of which blocks are read from where they lie.

    Of pixels that lie plainly in the file only the rows of a block are read. Of compressed and tiled ones those tiles
    or strips are decoded that a block touches, and some are kept for the next block.

    Args:
        path: the file.
        inside: a TIFF file has nothing inside that has a name.

    Raises:
        UnreadableImageError: damaged, truncated, or of another kind than images and volumes.
    """
    if inside is not None:
        raise UnreadableImageError("holds one image", do="leave out what follows its name")
    with _opened(path) as stack, _damage_of(path):
        return stack.volume(path)


def write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float], note: str = "") -> None:
    """Write ``(channels, height, width)`` so that ImageJ shows type, scale and unit, and a note of ASCII letters."""
    image = pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, -1)
    known = bool(np.isfinite(spacing_um).all())
    colour = pixels.shape[0] in (3, 4)
    imagej = (not colour or pixels.dtype == np.uint8) and pixels.dtype.name in IMAGEJ_TYPES
    options: dict[str, object] = {"photometric": "rgb" if colour else "minisblack"}
    if pixels.shape[0] == 2:
        options["planarconfig"] = "contig"
        imagej = False
    if known:
        options["resolution"] = (1e4 / spacing_um[1], 1e4 / spacing_um[0])
        options["resolutionunit"] = "NONE" if imagej else "CENTIMETER"
        if imagej:
            # ImageJ counts pixels a unit, whatever the unit is called.
            options["resolution"] = (1 / spacing_um[1], 1 / spacing_um[0])
            options["metadata"] = {"unit": "micron", "axes": "YXS" if colour else "YX"}
    _add_note(options, note, imagej=imagej)
    tifffile.imwrite(path, np.ascontiguousarray(image), imagej=imagej, **options)


def stored_type(path: Path) -> np.dtype[np.generic]:
    """The type of number in the file."""
    try:
        with tifffile.TiffFile(path) as file:
            found: np.dtype[np.generic] = np.dtype(file.series[0].dtype)
    except Exception:  # whatever is wrong with it, reading says it better
        return read(path, 0)[0].pixels.dtype
    return found


def write_volume(
    path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float, float], note: str = ""
) -> None:
    """Write ``(channels, depth, height, width)`` as a stack; an unknown distance of the slices is left out."""
    colour = pixels.shape[0] in (3, 4)
    volume = pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, -1)
    imagej = pixels.shape[0] == 1 or (colour and pixels.dtype == np.uint8)
    imagej = imagej and pixels.dtype.name in IMAGEJ_TYPES
    options: dict[str, object] = {"photometric": "rgb" if colour else "minisblack"}
    metadata: dict[str, object] = {"axes": "ZYX" if pixels.shape[0] == 1 else "ZYXS"}
    if np.isfinite(spacing_um[1:]).all():
        per_unit = 1.0 if imagej else 1e4  # ImageJ counts pixels a unit, whatever the unit is called
        options["resolution"] = (per_unit / spacing_um[2], per_unit / spacing_um[1])
        options["resolutionunit"] = "NONE" if imagej else "CENTIMETER"
        metadata |= {"unit": "micron"} if imagej else {}
        metadata |= {"spacing": spacing_um[0]} if imagej and np.isfinite(spacing_um[0]) else {}
    if pixels.shape[0] == 2:
        options["planarconfig"] = "contig"
    options["metadata"] = metadata
    _add_note(options, note, imagej=imagej)
    tifffile.imwrite(path, np.ascontiguousarray(volume), imagej=imagej, **options)


def _add_note(options: dict[str, Any], note: str, *, imagej: bool) -> None:
    """Put a note where ImageJ shows it (Image > Show Info), or into the description of the image."""
    if note and imagej:
        options["metadata"] = {**options.get("metadata", {}), "Info": note}
    elif note:
        options["description"] = note


@dataclass(frozen=True, slots=True)
class _Stack:
    """What of a file is read: its first series, and what its axes mean.

    Attributes:
        series: as tifffile finds it.
        axes: a letter for each axis of the series: z, y, x, c, and "-" for one of length one that means nothing.
        spacing_um: of a pixel, z, y and x.
    """

    series: tifffile.TiffPageSeries
    axes: str
    spacing_um: tuple[float, float, float]

    def length(self, axis: str) -> int:
        return int(self.series.shape[self.axes.index(axis)]) if axis in self.axes else 1

    @property
    def is_volume(self) -> bool:
        return "z" in self.axes

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.length("z"), self.length("y"), self.length("x")

    def ordered(self, data: NDArray[np.generic]) -> NDArray[np.generic]:
        """The whole as ``(depth, height, width, channels)``."""
        data = np.squeeze(data, axis=tuple(i for i, a in enumerate(self.axes) if a == "-"))
        axes = self.axes.replace("-", "")
        for missing in (a for a in "zc" if a not in axes):
            data, axes = data[None], missing + axes
        return np.transpose(data, [axes.index(a) for a in "zyxc"])

    def volume(self, path: Path) -> Volume:
        first = self.series.keyframe
        kept_type(self.series.dtype)
        inner = "c" if self.axes[-1] == "c" else ""
        if not self.axes.endswith("yx" + inner) or first.shaped[1] > 1 or first.photometric == 6:  # solid, or YCbCr
            return self._loaded(path)
        outer = [a for a in self.axes[: -2 - len(inner)] if a != "-"]
        planes = [(z, c) for z in range(self.length("z")) for c in range(1 if inner else self.length("c"))]
        strides = dict(zip(reversed(outer), (1, self.length(outer[-1]) if outer else 1), strict=False))
        numbers = [z * strides.get("z", 0) + c * strides.get("c", 0) for z, c in planes]
        plane_bytes = first.imagelength * first.imagewidth * (self.length("c") if inner else 1) * first.dtype.itemsize
        pages = list(self.series)
        if any(page is not None and page.parent is not first.parent for page in pages):
            return self._loaded(path)  # OME, with planes in other files
        if self.series.dataoffset is not None:
            starts = [self.series.dataoffset + n * plane_bytes for n in numbers]
            return _Plain(path, self, inner, starts)
        if any(page is None for page in pages):
            raise UnreadableImageError("lacks some of its planes")
        separate = first.shaped[0]  # samples that each have planes of their own in one page
        if len(pages) * separate != len(planes):
            return self._loaded(path)
        if first.is_final and all(len(page.dataoffsets) == 1 for page in pages):
            starts = [pages[n // separate].dataoffsets[0] + n % separate * plane_bytes for n in numbers]
            return _Plain(path, self, inner, starts)
        return _Decoded(path, self, pages, numbers, separate)

    def _loaded(self, path: Path) -> Volume:
        """A volume of a rare kind, read whole."""
        _require_memory(self)
        pixels = np.moveaxis(self.ordered(self.series.asarray()), -1, 0)
        return _Loaded(self, in_kept_type(pixels))


@contextmanager
def _opened(path: Path) -> Iterator[_Stack]:
    """The stack of images in a file, after a look at whether the file can hold it."""
    with _damage_of(path):
        file = tifffile.TiffFile(path)
    with file:
        with _damage_of(path):
            if not file.series:
                raise UnreadableImageError("has no image in it")
            series = file.series[0]
            stack = _Stack(series, _meaning(series), _spacing_zyx(file))
            _require_one_kind(file)
            _require_all_planes(file, stack)
            _require_whole(stack, path.stat().st_size)
        yield stack


@contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """Say in one line what tifffile and the codecs find wrong; they raise whatever comes up."""
    try:
        yield
    except (UnreadableImageError, PermissionError):
        raise
    except MemoryError:
        raise UnreadableImageError("needs more memory than there is", do="cut it into smaller files") from None
    except Exception as error:
        with open(path, "rb") as opened:
            signature = opened.read(2)
        if signature not in (b"II", b"MM"):
            raise UnreadableImageError("is not a TIFF file, whatever its name says") from None
        if "requires the 'imagecodecs' package" in str(error) or isinstance(error, NotImplementedError):
            raise UnreadableImageError(f"is compressed in a way that is not understood ({error})") from None
        raise UnreadableImageError(f"is a damaged TIFF file ({type(error).__name__}); it may be truncated") from None


def _meaning(series: tifffile.TiffPageSeries) -> str:
    """What each axis of a series is: height, width, at most four channels, and one more along which slices lie."""
    axes: str = series.axes
    if "Y" not in axes or "X" not in axes:
        raise UnreadableImageError(f"has the axes {axes}; images and volumes are understood")
    long = [a for a, n in zip(axes, series.shape, strict=True) if n != 1 or a in "YX"]
    channel = "S" if "S" in long else "C" if "C" in long and series.shape[axes.index("C")] <= 4 else ""
    if channel and series.shape[axes.index(channel)] > 4:
        raise UnreadableImageError(f"has {series.shape[axes.index(channel)]} channels; up to 4 are understood")
    others = [a for a in long if a not in "YX" and a != channel]
    if len(others) > 1 or len(set(axes)) < len(axes) or axes.index("Y") > axes.index("X"):
        raise UnreadableImageError(f"has {len(long)} dimensions ({axes}); images and volumes are understood")
    letters = {"Y": "y", "X": "x", channel: "c"} | dict.fromkeys(others, "z")
    return "".join(letters.get(a, "-") for a in axes)


def _require_one_kind(file: tifffile.TiffFile) -> None:
    """Refuse pages that differ in size or type, of which only the first kind would be read."""
    if file.series[0].kind not in ("generic", "uniform", "shaped"):
        return
    kinds = {(s.keyframe.shape, s.dtype.name) for s in file.series if not s.keyframe.is_reduced}
    if len(kinds) > 1:
        (one, first), (other, second) = sorted(kinds)[:2]
        raise UnreadableImageError(
            f"holds images of different kinds, {' x '.join(map(str, one))} of {first} and"
            f" {' x '.join(map(str, other))} of {second}",
            do="write each kind into a file of its own",
        )


def _require_all_planes(file: tifffile.TiffFile, stack: _Stack) -> None:
    """Refuse a stack of which ImageJ's metadata declare more planes than are there."""
    told = file.imagej_metadata or {}
    counts = [told.get(name, 1) for name in ("frames", "slices", "channels")]
    declared = math.prod(n for n in counts if isinstance(n, int) and n > 0)
    there = math.prod(stack.series.shape) // math.prod(stack.shape[1:])
    if declared > there:
        raise UnreadableImageError(
            f"is a damaged TIFF file that declares {declared:,} planes and holds {there:,}; it may be truncated"
        )


def _require_whole(stack: _Stack, size: int) -> None:
    """Refuse a header that declares more pixels than the file can hold, before anything is allocated."""
    series, first = stack.series, stack.series.keyframe
    if min(series.shape) < 1 or not series.size:
        raise UnreadableImageError(f"has no pixels: its dimensions are {tuple(series.shape)}")
    if series.dataoffset is not None:
        if series.dataoffset + series.nbytes > size:
            raise UnreadableImageError(_declares(series.nbytes, size - series.dataoffset))
        return
    segment = math.prod(first.chunks) * first.dtype.itemsize
    for page in (series[0], series[len(series) - 1]):
        if page is None or page.parent is not first.parent:
            continue
        offsets, counts = page.dataoffsets, page.databytecounts
        if len(offsets) < math.prod(first.chunked) and not first.is_final:
            raise UnreadableImageError(_declares(series.nbytes, size))
        if any(offset + count > size for offset, count in zip(offsets, counts, strict=False)):
            raise UnreadableImageError("ends before its pixels do; it is truncated")
        # Several tiles may lie at one place, or nowhere where they are empty; but none is larger than the file.
        if segment > max(max(counts, default=0), 1) * _EXPANDS_AT_MOST:
            raise UnreadableImageError(_declares(series.nbytes, size))


def _declares(declared: int, there: int) -> str:
    sizes = f"{declared / 1e6:,.3g} MB of pixels and holds {max(there, 0) / 1e6:,.3g} MB"
    return f"is a damaged TIFF file that declares {sizes}; it may be truncated"


def _require_memory(stack: _Stack) -> None:
    """Refuse to load what does not fit into memory."""
    import psutil

    free = int(psutil.virtual_memory().available)
    if stack.series.nbytes > free:
        raise UnreadableImageError(
            f"has {stack.series.nbytes / 1e9:,.3g} GB of pixels, and {free / 1e9:,.3g} GB of memory are free",
            do="cut it into smaller files",
        )


class _OpenTiff:
    """What all volumes in TIFF files have in common: sizes, and the file that they are read from."""

    def __init__(self, path: Path, stack: _Stack) -> None:
        self.shape = stack.shape
        self.channels = stack.length("c")
        self.dtype = kept_type(stack.series.dtype)
        self.spacing_um = stack.spacing_um
        self._path = path
        self._stored = np.dtype(stack.series.dtype).newbyteorder(stack.series.keyframe.parent.byteorder)
        # Of a folder of single images thousands may be open: their files are opened for each reading.
        self._descriptor = os.open(path, os.O_RDONLY) if stack.is_volume else None

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def _file(self) -> Iterator[int]:
        if self._descriptor is not None:
            yield self._descriptor
            return
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class _Plain(_OpenTiff):
    """Planes whose rows lie behind each other in the file, as they are.

    They are read with ``pread``, not mapped: mapped pages count as resident until they are given back, a file that is
    cut short while it is mapped ends the program, and of what is not in memory yet each page would be a fault of its
    own. Where rows lie close, what lies between them is read along: for a column across rows as for a rectangle.

    Attributes:
        threads: how many threads may read slices along each axis at once with profit. To read a row takes so short that
            two would only wait for each other.

    Args:
        path: the file.
        stack: what is in it.
        inner: "c" where the channels of a pixel lie side by side.
        starts: where each plane starts, ordered by depth, then by channel.
    """

    threads = (1, 1, 2)

    def __init__(self, path: Path, stack: _Stack, inner: str, starts: list[int]) -> None:
        super().__init__(path, stack)
        self._samples = self.channels if inner else 1
        self._starts = np.array(starts, dtype=np.int64).reshape(self.shape[0], -1)
        self._pixel = self._samples * self._stored.itemsize
        self._row = self.shape[2] * self._pixel
        self._own = threading.local()
        self.chunk = (1, 1, self.shape[2])

    def read(self, block: tuple[slice, slice, slice]) -> NDArray[np.generic]:
        """The pixels of a block, ``(channels, d, h, w)``."""
        (z0, z1, _), (y0, y1, _), (x0, x1, _) = (s.indices(n) for s, n in zip(block, self.shape, strict=True))
        depth, height, width = max(z1 - z0, 0), max(y1 - y0, 0), max(x1 - x0, 0)
        outer = self._starts.shape[1]
        found = np.empty((depth, outer, height, width * self._samples), self._stored)
        corner = y0 * self._row + x0 * self._pixel
        gap = self._row - width * self._pixel
        corners = self._starts[z0:z1] + corner
        with self._file() as file:
            if found.size == 0:
                pass
            elif height > 1 and gap <= _CHEAP_GAP:
                for plane, start in zip(
                    found.reshape(-1, height, found.shape[3]), corners.ravel().tolist(), strict=True
                ):
                    self._read_plane(file, plane, start, gap)
            else:
                rows = np.arange(height) * self._row
                found = self._read_rows(file, found, (corners[..., None] + rows).ravel().tolist())
        ordered = found.reshape(depth, outer, height, width, self._samples)
        ordered = ordered[..., 0].transpose(1, 0, 2, 3) if self._samples == 1 else ordered[:, 0].transpose(3, 0, 1, 2)
        return in_kept_type(ordered)

    def _read_plane(self, file: int, plane: NDArray[np.generic], start: int, gap: int) -> None:
        """Read a rectangle ``(height, row of samples)`` whose first pixel is at ``start``, and what lies between."""
        if gap == 0:
            _read_all(file, plane, start)
            return
        height = len(plane)
        length = (height - 1) * self._row + plane[0].nbytes
        scratch = self._scratch(height * self._row)
        _read_all(file, scratch[:length], start)
        plane[:] = scratch[: height * self._row].view(plane.dtype).reshape(height, -1)[:, : plane.shape[1]]

    def _read_rows(self, file: int, found: NDArray[np.generic], starts: list[int]) -> NDArray[np.generic]:
        """Read rows that lie far from each other; ``found`` says of what shape and type they are."""
        length = found.nbytes // len(starts)
        data = b"".join([os.pread(file, length, start) for start in starts])
        if len(data) < found.nbytes:
            for row, start in zip(found.reshape(len(starts), -1), starts, strict=True):
                _read_all(file, row, start)
            return found
        return np.frombuffer(data, found.dtype).reshape(found.shape)

    def _scratch(self, size: int) -> NDArray[np.uint8]:
        """Bytes to read into, kept by each thread: to get new pages from the system costs as much as to fill them."""
        kept: NDArray[np.uint8] | None = getattr(self._own, "scratch", None)
        if kept is None or len(kept) < size:
            kept = self._own.scratch = np.empty(size, np.uint8)
        return kept[:size]


class _Decoded(_OpenTiff):
    """Planes in tiles or strips that have to be decoded; those decoded last are kept.

    Args:
        path: the file.
        stack: what is in it.
        pages: its pages.
        numbers: which plane of the file each is, ordered by depth, then by channel.
        separate: planes in a page, one for each sample.
    """

    threads = (2, 2, 2)
    """How many threads may read slices along each axis at once with profit: decoding leaves Python to others."""

    def __init__(
        self, path: Path, stack: _Stack, pages: list[tifffile.TiffPage], numbers: list[int], separate: int
    ) -> None:
        super().__init__(path, stack)
        first = stack.series.keyframe
        self._separate, self._samples = separate, first.shaped[4]
        self._numbers = np.array(numbers).reshape(self.shape[0], -1)
        self._tile = (first.tilelength, first.tilewidth) if first.is_tiled else (first.rowsperstrip, self.shape[2])
        self._grid = tuple(-(-n // t) for n, t in zip(self.shape[1:], self._tile, strict=True))
        count = separate * self._grid[0] * self._grid[1]
        self._offsets, self._counts = (
            np.array([list(getattr(page, name))[:count] for page in pages], dtype=np.int64)
            for name in ("dataoffsets", "databytecounts")
        )
        if self._offsets.shape != (len(pages), count):
            raise UnreadableImageError("lacks some of its tiles or strips")
        self._decode: Callable[..., tuple[NDArray[Any] | None, Any, Any]] = first.decode
        self._empty = first.nodata
        jpeg = first.compression in (6, 7, 34892, 33007)
        self._header = first.jpegheader if jpeg else None
        self._tables = [page.jpegtables for page in pages] if jpeg else None
        self._kept: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()
        self.chunk = (1, *self._tile)

    def read(self, block: tuple[slice, slice, slice]) -> NDArray[np.generic]:
        """The pixels of a block, ``(channels, d, h, w)``."""
        (z0, z1, _), (y0, y1, _), (x0, x1, _) = (s.indices(n) for s, n in zip(block, self.shape, strict=True))
        height, width = self._tile
        found = np.empty((self.channels, max(z1 - z0, 0), max(y1 - y0, 0), max(x1 - x0, 0)), self._stored)
        if found.size == 0:
            return in_kept_type(found)
        with self._file() as file:
            for z in range(z0, z1):
                for c, number in enumerate(self._numbers[z].tolist()):
                    into = found[c : c + 1, z - z0] if self._samples == 1 else found[:, z - z0]
                    for row in range(y0 // height, -(-y1 // height)):
                        for column in range(x0 // width, -(-x1 // width)):
                            tile = self._segment(file, number, row * self._grid[1] + column)  # (h, w, samples)
                            top, left = row * height, column * width
                            rows = slice(max(y0 - top, 0), min(y1 - top, tile.shape[0]))
                            columns = slice(max(x0 - left, 0), min(x1 - left, tile.shape[1]))
                            there = tile[rows, columns]
                            up, before = max(top - y0, 0), max(left - x0, 0)
                            into[:, up : up + there.shape[0], before : before + there.shape[1]] = np.moveaxis(
                                there, -1, 0
                            )
        return in_kept_type(found)

    def _segment(self, file: int, plane: int, number: int) -> NDArray[Any]:
        """A tile or strip ``(height, width, samples)``, decoded now or before."""
        page, sample = divmod(plane, self._separate)
        index = sample * self._grid[0] * self._grid[1] + number
        with self._lock:
            if (page, index) in self._kept:
                self._kept.move_to_end((page, index))
                return self._kept[page, index]
        options = {} if self._tables is None else {"jpegtables": self._tables[page], "jpegheader": self._header}
        count = int(self._counts[page, index])
        data = os.pread(file, count, int(self._offsets[page, index])) if count else None
        if data is not None and len(data) < count:
            raise UnreadableImageError("ends before its pixels do; it is truncated")
        with _damage_of(self._path):
            decoded, _, shape = self._decode(data, index, **options)
        whole = np.full(shape, self._empty, self._stored) if decoded is None else decoded
        tile: NDArray[Any] = whole[0]
        with self._lock:
            if (page, index) not in self._kept:
                self._kept[page, index] = tile
                self._kept_bytes += tile.nbytes
            while self._kept_bytes > CACHED_BYTES and len(self._kept) > 1:
                self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return tile


class _Loaded:
    """A volume in memory."""

    def __init__(self, stack: _Stack, pixels: NDArray[np.generic]) -> None:
        self.shape, self.channels, self.dtype = stack.shape, len(pixels), pixels.dtype
        self.spacing_um = stack.spacing_um
        self._pixels = pixels

    def read(self, block: tuple[slice, slice, slice]) -> NDArray[np.generic]:
        """The pixels of a block, ``(channels, d, h, w)``."""
        return self._pixels[(slice(None), *block)]

    def close(self) -> None:
        """Nothing is held open."""


def _read_all(file: int, into: NDArray[np.generic], start: int) -> None:
    """Fill an array from a place in a file."""
    done = os.preadv(file, (into.data,), start)
    if done == into.nbytes:
        return
    flat = into.reshape(-1).view(np.uint8)  # the system gives 2 GiB at most, and less when it is disturbed
    while done < flat.nbytes:
        more = os.preadv(file, (flat[done:].data,), start + done)
        if not more:
            raise UnreadableImageError("ends before its pixels do; it is truncated")
        done += more


def _spacing_zyx(file: tifffile.TiffFile) -> tuple[float, float, float]:
    """Size of a pixel in micrometres, from the first source that knows it."""
    for source in (_ome_spacing, _imagej_spacing, _microscope_spacing, _tagged_spacing):
        found = source(file)
        if found is not None and math.isfinite(found[1]) and math.isfinite(found[2]):
            return found
    return _UNKNOWN


def _ome_spacing(file: tifffile.TiffFile) -> tuple[float, float, float] | None:
    """PhysicalSizeZ, Y and X of the first image; their unit is the micrometre where none is told (OME 2016-06)."""
    if not file.ome_metadata:
        return None
    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return None
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return None
    z, y, x = (
        length_um(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"
    )
    return z, y, x


def _imagej_spacing(file: tifffile.TiffFile) -> tuple[float, float, float] | None:
    """ImageJ counts pixels a unit in the resolution tags, whatever the unit is called, and has units a slice beside."""
    told = file.imagej_metadata
    x, y = _per_unit(file.pages[0], "XResolution"), _per_unit(file.pages[0], "YResolution")
    if told is None or x is None or y is None:
        return None
    unit = told.get("unit", "")
    scale = micrometres(unit)
    if not math.isfinite(scale):
        return None
    across = micrometres(told["yunit"]) if "yunit" in told else scale
    return length_um(told.get("spacing"), told.get("zunit", unit)), across / y, scale / x


def _microscope_spacing(file: tifffile.TiffFile) -> tuple[float, float, float] | None:
    """What FEI's and Zeiss' electron microscopes and Zeiss' confocal ones write beside the image."""
    scan = (file.fei_metadata or {}).get("Scan", {})
    if "PixelWidth" in scan:
        width = length_um(scan["PixelWidth"], "m")
        return math.nan, length_um(scan.get("PixelHeight", scan["PixelWidth"]), "m"), width
    for name in ("ap_image_pixel_size", "ap_pixel_size"):
        told = (file.sem_metadata or {}).get(name)
        if told is not None and len(told) == 3:  # what it is called, a number, and its unit
            side = length_um(told[1], told[2])
            return math.nan, side, side
    laser = file.lsm_metadata or {}
    if "VoxelSizeX" in laser:
        z, y, x = (length_um(laser.get(f"VoxelSize{axis}"), "m") for axis in "ZYX")
        return z, y, x
    return None


def _tagged_spacing(file: tifffile.TiffFile) -> tuple[float, float, float] | None:
    """The resolution tags, in pixels an inch or a centimetre."""
    page = file.pages[0]
    x, y = _per_unit(page, "XResolution"), _per_unit(page, "YResolution")
    unit = page.tags.get("ResolutionUnit")
    code = int(unit.value) if unit is not None else 2
    if x is None or y is None or code not in (2, 3):
        return None
    to_inch = 1.0 if code == 2 else 2.54
    return (math.nan, *spacing_from_resolution(x * to_inch, y * to_inch))


def _per_unit(page: tifffile.TiffPage, tag: str) -> float | None:
    found = page.tags.get(tag)
    if found is None:
        return None
    numerator, denominator = found.value
    return numerator / denominator if numerator and denominator else None
