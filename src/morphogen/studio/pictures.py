"""Sets as a browser sees them: one picture at a time, read from the disk when it is asked for.

A set of a thousand files is not read before its first picture is shown: files are opened when they are looked at, and
of a volume only the slice that is. A picture has the number that it has for the commands (``read_images``).

Pictures go out as 8 bit PNG. What is black and what is white is a window of grey levels that the page may move; by
default from the level that 0.1 % of the pixels stay below to that which 0.1 % are above, so that 16 bit sets with a few
hot pixels are not shown black. It is read from pictures that stand for the set: up to ``SAMPLED``, and of large ones
fewer, that no one may wait for it. All pictures of a set are shown in one window.
"""

import hashlib
import io
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from morphogen.images.endings import ending_of, format_of, is_folder_format, stem_of
from morphogen.images.folders import image_files, manifest_entries, mask_files
from morphogen.images.formats.plane import UnreadableImageError
from morphogen.images.intensity import IntensityMap
from morphogen.images.labels import labels_of
from morphogen.images.picture import Label, Origin, Picture, spacing_from_stored
from morphogen.images.volume_file import VolumeFile
from morphogen.problems import Problem
from morphogen.studio.workspace import Missing, Thing

CLIPPED_PERCENT = 0.1
SAMPLED = 8
SAMPLED_PIXELS = 2**22
"""Pixels, channels counted, after which no further picture is read for the window."""
SAMPLED_PX = 512
LARGEST_VIEW = 4096
"""Pixels of a side of a view; larger pictures are made smaller."""

_OPEN = 8
"""Sets that are kept open."""
_DECODED_BYTES = 2**27
"""Of pictures of a set that are kept decoded, the last that were looked at."""
_VIEWS = 256
"""Small views of a set that are kept as files."""
_SMALL_VIEW = 400
_ALIKE = 64
"""With more volumes than this in a folder, all are taken to have as many slices as the first."""


@dataclass(frozen=True, slots=True)
class Window:
    """The grey levels that are shown black and white."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Place:
    file: Path
    slice: int | None  # along the first axis; None for an image
    of: int = 1


class Gallery:
    """An image set, its pictures read one by one.

    Args:
        path: file or folder.
        name: what to call it.

    Raises:
        Problem: there are no images, or a table or manifest beside them is damaged.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.files = image_files(path)
        folders = dict.fromkeys(file.parent for file in self.files)
        self._entries = {folder: manifest_entries(folder) for folder in folders}
        self._masks = {folder: mask_files(folder) for folder in folders}
        self._labels = labels_of(self.files, path)
        self._volumes: dict[tuple[Path, int], VolumeFile] = {}
        self._decoded: OrderedDict[tuple[int, int, bool, int], Picture] = OrderedDict()
        self._views: OrderedDict[tuple[int, int, Window | None, int | None, int], bytes] = OrderedDict()
        self._lock = threading.RLock()

    @cached_property
    def places(self) -> Sequence[_Place]:
        """Where each picture is."""
        found: list[_Place] = []
        able = [file for file in self.files if hasattr(format_of(ending_of(file)), "open_volume")]
        depths: dict[Path, int] = {}
        for file in able:
            depths[file] = next(iter(depths.values())) if len(able) > _ALIKE and depths else self.volume(file).shape[0]
        for file in self.files:
            depth = depths.get(file, 1)
            found += [_Place(file, k, depth) for k in range(depth)] if depth > 1 else [_Place(file, None)]
        return found

    def __len__(self) -> int:
        return len(self.places)

    @property
    def is_volume(self) -> bool:
        """Whether it is one volume, which can be cut along any axis."""
        return len(self.files) == 1 and self.places[0].of > 1

    def length(self, axis: int = 0) -> int:
        """Pictures of the set; of a volume slices along an axis.

        Raises:
            Missing: it is no volume, and the axis not the first.
        """
        if axis == 0:
            return len(self.places)
        if not self.is_volume:
            raise Missing(f"{self.name} is no volume", do="look along the first axis")
        return int(self.volume(self.files[0]).shape[axis])

    def picture(self, index: int, axis: int = 0, *, with_mask: bool = True) -> Picture:
        """One picture, in memory, with its mask where there is one; the same as of ``read_images``.

        Args:
            index: its number; along another axis than the first that of a slice.
            axis: along which a volume is cut.
            with_mask: without it, a mask may be missing that is there.

        Raises:
            Missing: there are not so many.
            Problem: its file is damaged.
        """
        if not 0 <= index < self.length(axis):
            raise Missing(f"{self.name} has no picture {index}", do=f"choose one of {self.length(axis)}")
        key = (index, axis, with_mask, self._version(index, axis))
        with self._lock:
            if key in self._decoded:
                self._decoded.move_to_end(key)
                return self._decoded[key]
        found = self._read(index, axis, with_mask)
        with self._lock:
            self._decoded[key] = found
            while len(self._decoded) > 1 and sum(p.pixels.nbytes for p in self._decoded.values()) > _DECODED_BYTES:
                self._decoded.popitem(last=False)
        return found

    def view(self, index: int, axis: int = 0, window: Window | None = None, size: int | None = None) -> bytes:
        """One picture as an 8 bit PNG file; see ``view``.

        Raises:
            Missing: there are not so many.
            Problem: its file is damaged.
        """
        if not 0 <= index < self.length(axis):
            raise Missing(f"{self.name} has no picture {index}", do=f"choose one of {self.length(axis)}")
        key = (index, axis, window, size, self._version(index, axis))
        if key in self._views:
            return self._views[key]
        made = view(self.picture(index, axis, with_mask=False), window or self.window, size)
        if size is not None and size <= _SMALL_VIEW:
            with self._lock:
                self._views[key] = made
                while len(self._views) > _VIEWS:
                    self._views.popitem(last=False)
        return made

    @property
    def has_masks(self) -> bool:
        """Whether the first picture has a mask."""
        first = self.files[0]
        return stem_of(first) in self._masks[first.parent]

    def sample(self, at_most: int = SAMPLED) -> list[Picture]:
        """Pictures that stand for the set, spread over it, of large ones every k-th pixel."""
        count = len(self)
        chosen = sorted({round(k * (count - 1) / max(1, min(at_most, count) - 1)) for k in range(min(at_most, count))})
        first = self.picture(0, with_mask=False)
        affordable = max(1, SAMPLED_PIXELS // first.pixels.size)
        rest = chosen[1:] if affordable >= len(chosen) else chosen[:: math.ceil(len(chosen) / affordable)][1:]
        return [_thinned(first), *(_thinned(self.picture(index, with_mask=False)) for index in rest)]

    @cached_property
    def window(self) -> Window:
        """The grey levels that are shown black and white unless others are asked for."""
        with self._lock:
            pictures = self.sample()
            for percent in (CLIPPED_PERCENT, 0.0):
                try:
                    found = IntensityMap.of(pictures, percent)
                    return Window(found.low, found.high)
                except Problem:
                    continue  # nearly all pixels are equal, or all
            level = float(pictures[0].pixels.flat[0])
            return Window(level - 1, level + 1)

    @cached_property
    def ends(self) -> Window:
        """The smallest and the largest grey level of the pictures that stand for the set."""
        with self._lock:
            pictures = self.sample()
            return Window(float(min(p.pixels.min() for p in pictures)), float(max(p.pixels.max() for p in pictures)))

    def volume(self, file: Path) -> VolumeFile:
        """A file of the set, opened.

        Raises:
            Problem: it cannot be read.
        """
        key = (file, file.stat().st_mtime_ns if file.exists() else 0)
        with self._lock:
            if key not in self._volumes:
                if len(self._volumes) > _ALIKE:
                    self._volumes.clear()
                self._volumes[key] = VolumeFile(file, format_of(ending_of(file)))
            return self._volumes[key]

    def _version(self, index: int, axis: int) -> int:
        """When the file of a picture was last written."""
        file = self.places[index if axis == 0 else 0].file
        return file.stat().st_mtime_ns if file.exists() else 0

    def _read(self, index: int, axis: int, with_mask: bool) -> Picture:
        place = self.places[index] if axis == 0 else replace(self.places[0], slice=index)
        pixels, spacing = self._plane(place.file, place, axis)
        folder, labels = place.file.parent, dict[str, Label]()
        told = self._entries[folder].get(place.file.name, [])
        origin = Origin(stem_of(place.file), place.file.name, place.slice)
        if told:
            entry = told[(place.slice or 0) if len(told) > 1 and axis == 0 else 0]
            if axis == 0:
                spacing = spacing_from_stored(entry.spacing_um)
            labels |= entry.labels
            origin = Origin(entry.specimen, entry.source or place.file.name, entry.slice, entry.region)
        labels |= {"file": place.file.name, **self._labels[place.file]}
        mask = None
        drawn = self._masks[folder].get(stem_of(place.file))
        if drawn is not None and with_mask:
            shown, _ = self._plane(drawn, place, axis)
            level = shown.max(axis=0)
            if level.shape == pixels.shape[1:]:
                mask = level > level.max() / 2
        return Picture(pixels, spacing, origin, labels, mask)

    def _plane(self, file: Path, place: _Place, axis: int) -> tuple[NDArray[np.generic], tuple[float, float]]:
        module = format_of(ending_of(file))
        if hasattr(module, "open_volume"):
            volume = self.volume(file)
            block = [slice(None)] * 3
            block[axis] = slice(place.slice or 0, (place.slice or 0) + 1)
            with self._lock:
                found = volume.read((block[0], block[1], block[2])).squeeze(axis + 1)
            rest = [s for i, s in enumerate(volume.spacing_um) if i != axis]
            return found, (rest[0], rest[1])
        try:
            plane = module.read(file, axis)[place.slice or 0]
        except UnreadableImageError as error:
            raise Problem(f"{file.name} {error}", do=error.do) from None
        except (OSError, IndexError):
            raise Problem(f"{file.name} cannot be read", do="ask for the right to read it, or replace it") from None
        return plane.pixels, plane.spacing_um


class Galleries:
    """Sets that are open, the ones looked at last; a set that changed on the disk is opened anew."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str], Gallery] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, thing: Thing) -> Gallery:
        """A set, opened; of triples the images after.

        Raises:
            Problem: there are no images, or what is beside them is damaged.
        """
        path = thing.path / "after" if thing.kind == "triples" else thing.path
        key = (str(path), stamp_of(path))
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
        found = Gallery(path, thing.name)
        with self._lock:
            for other in [other for other in self._open if other[0] == key[0]]:
                del self._open[other]
            self._open[key] = found
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
        return found


def stamp_of(path: Path) -> str:
    """Changes when a set does: its newest folder or file of tables; pictures are cached by it."""
    places = [path, path / "images", path / "masks", path / "labels.csv", path / "captions.csv"]
    told = [f"{place.stat().st_mtime_ns}" for place in places if place.exists()]
    if path.is_file() or is_folder_format(ending_of(path)):
        told.append(str(path.stat().st_size))
    return hashlib.sha256("-".join(told).encode()).hexdigest()[:16]


def view(picture: Picture, window: Window, size: int | None = None) -> bytes:
    """A picture as an 8 bit PNG file.

    Args:
        picture: what is shown.
        window: grey levels that become black and white; what lies outside is black or white too.
        size: longest side in pixels at most; larger pictures are made smaller by a mean, none is enlarged.
    """
    return png(shades(picture, window), size)


def shades(picture: Picture, window: Window) -> NDArray[np.uint8]:
    """The picture as it is shown, ``(height, width)`` or ``(height, width, 3)``; 0 is black."""
    channels = picture.pixels[:3] if picture.channels >= 3 else picture.pixels[:1]
    span = window.high - window.low or 1.0
    levels = np.nan_to_num((channels.astype(np.float32) - np.float32(window.low)) * np.float32(255 / span))
    shown = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return shown[0] if len(shown) == 1 else np.ascontiguousarray(np.moveaxis(shown, 0, -1))


def png(shown: NDArray[np.uint8] | NDArray[np.bool_], size: int | None = None) -> bytes:
    """An 8 bit image as a PNG file, its longest side ``size`` pixels at most; a mask in white on black."""
    if shown.dtype == np.bool_:
        shown = shown.astype(np.uint8) * np.uint8(255)
    image: Any = Image.fromarray(shown)
    scale = min(1.0, min(size or LARGEST_VIEW, LARGEST_VIEW) / max(image.size))
    if scale < 1:
        image = image.resize([max(1, round(n * scale)) for n in image.size], Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def known(spacing_um: Sequence[float]) -> list[float | None]:
    """A spacing for JSON, which has no NaN: None where it is unknown."""
    return [s if math.isfinite(s) else None for s in spacing_um]


def _thinned(picture: Picture) -> Picture:
    step = max(1, max(picture.size) // SAMPLED_PX)
    return replace(picture, pixels=picture.pixels[:, ::step, ::step], mask=None)
