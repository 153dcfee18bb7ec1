"""A volume on disk: which file it is, its blocks, and what is known of all its grey levels after one pass over them.

The pass (``GreyLevels``) goes through the volume in the order in which it is stored, a few planes at a time, in bounded
memory. It gives the smallest and the largest grey level, a histogram, the number of pixels that are no numbers, and a
hash of the contents: SHA-256 over the hashes of the planes along the first axis, each ``(height, width, channels)`` in
the type in which it is read. So the hash is the same for the same pixels in any format, tiling and compression.

What a pass over much found is kept in the user's cache (``$XDG_CACHE_HOME/morphogen``, else ``~/.cache/morphogen``)
under the place, the size and the time of the last change of the file, and is found again as long as all three are what
they were.
"""

import hashlib
import json
import math
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphogen.images.formats.plane import UnreadableImageError
from morphogen.images.formats.volume import Volume
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.whole_files import write_text_whole

Block = tuple[slice, slice, slice]

SCANNED_AT_ONCE = 2**25
"""Bytes of a volume that are read at once when all of it is looked at, where its tiles allow it."""

FLOAT_SAMPLE = 2**20
"""Pixels out of which percentiles of float volumes are taken, spread evenly over the volume."""


KEPT_FROM_BYTES = 2**28
"""What was found of less is not kept: to look again takes no second."""

_COUNTED_AT_ONCE = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class GreyLevels:
    """What one pass over a box of a volume found.

    Attributes:
        low: smallest grey level.
        high: largest grey level.
        levels: grey levels that occur (integers), or a sample of them (floats), in rising order.
        counts: how often each occurs; of a sample, once each.
        not_numbers: pixels that are NaN or infinite; they are in nothing else.
        contents: hash of the contents; 64 hex digits. Of the whole volume only, else empty.
    """

    low: float
    high: float
    levels: NDArray[np.float64]
    counts: NDArray[np.int64]
    not_numbers: int = 0
    contents: str = ""

    @classmethod
    def together(cls, parts: Sequence["GreyLevels"]) -> "GreyLevels":
        """Of several boxes, without their hashes."""
        levels, places = np.unique(np.concatenate([part.levels for part in parts]), return_inverse=True)
        counts = np.zeros(len(levels), np.int64)
        np.add.at(counts, places, np.concatenate([part.counts for part in parts]))
        return cls(
            min(p.low for p in parts), max(p.high for p in parts), levels, counts, sum(p.not_numbers for p in parts)
        )

    def percentiles(self, *percent: float) -> tuple[float, ...]:
        """As ``numpy.percentile`` gives them, by linear interpolation between the pixels in order."""
        up_to = np.cumsum(self.counts)
        places = np.array(percent) / 100 * (up_to[-1] - 1)
        below = np.floor(places)
        one, other = (
            self.levels[np.searchsorted(up_to, np.minimum(p, up_to[-1] - 1), side="right")] for p in (below, below + 1)
        )
        return tuple(float(v) for v in one + (places - below) * (other - one))

    def standing_for_all(self, about: int = FLOAT_SAMPLE) -> NDArray[np.float64]:
        """About so many grey levels in proportion to how often they occur, each that occurs at least once."""
        share = min(1.0, about / int(self.counts.sum()))
        return np.repeat(self.levels, np.maximum(1, np.rint(share * self.counts).astype(np.int64)))

    def to_json(self) -> str:
        """As text."""
        kept = {name: getattr(self, name) for name in ("low", "high", "not_numbers", "contents")}
        return json.dumps(kept | {"levels": self.levels.tolist(), "counts": self.counts.tolist()})

    @classmethod
    def from_json(cls, text: str) -> "GreyLevels":
        """From what ``to_json`` wrote."""
        told: dict[str, Any] = json.loads(text)
        arrays = {"levels": np.array(told["levels"], np.float64), "counts": np.array(told["counts"], np.int64)}
        return cls(**(told | arrays))


class VolumeFile:
    """An open volume with a name.

    What a format opens may say two things beside the contract (``formats.volume``): ``chunk``, the planes, rows and
    columns of its tiles, so that none is decoded twice in a pass, and ``threads``, see below.

    Attributes:
        threads: how many threads may read slices along each axis at once with profit.

    Args:
        path: where it is.
        module: its format.
        inside: what is read of a file that holds several.

    Raises:
        Problem: it cannot be read.
    """

    def __init__(self, path: Path, module: ModuleType, inside: str | None = None) -> None:
        self.path, self.inside = path, inside
        try:
            self._volume: Volume = module.open_volume(path, inside)
            self._files = [path, *getattr(module, "parts", lambda _: [])(path)]
        except PermissionError:
            raise Problem(f"{path} may not be read", do="ask for the right to read it") from None
        except UnreadableImageError as error:
            raise Problem(f"{path} {error}", do=error.do) from None
        self.shape, self.channels, self.dtype = self._volume.shape, self._volume.channels, self._volume.dtype
        self.spacing_um = self._volume.spacing_um
        self.threads: tuple[int, int, int] = getattr(self._volume, "threads", (1, 1, 1))
        self._found: dict[str, GreyLevels] = {}
        self._contents = ""
        self._lock = threading.Lock()
        weakref.finalize(self, self._volume.close)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return math.prod((self.channels, *self.shape, self.dtype.itemsize))

    def read(self, block: Block) -> NDArray[np.generic]:
        """The pixels of a block, ``(channels, d, h, w)``.

        Raises:
            Problem: the file is damaged there.
        """
        try:
            return self._volume.read(block)
        except UnreadableImageError as error:
            raise Problem(f"{self.path} {error}", do=error.do) from None
        except OSError as error:
            raise Problem(f"{self.path} cannot be read any more ({error.strerror})", do="bring it back") from None

    def blocks(self, box: Block) -> Iterator[tuple[Block, NDArray[np.generic]]]:
        """All of a box in the order of storage: bands of planes, rows after rows, as many at once as is sensible."""
        (z0, z1, _), (y0, y1, _), (x0, x1, _) = (s.indices(n) for s, n in zip(box, self.shape, strict=True))
        tall, high = self._steps(max(x1 - x0, 1))
        first = range(z0 // tall * tall, z1, tall)
        for z in first:
            planes = slice(max(z, z0), min(z + tall, z1))
            for y in range(y0 // high * high, y1, high):
                block = planes, slice(max(y, y0), min(y + high, y1)), slice(x0, x1)
                yield block, self.read(block)

    def _steps(self, width: int) -> tuple[int, int]:
        """Planes and rows to read at once: whole tiles, and about ``SCANNED_AT_ONCE`` bytes."""
        depth, rows, _ = getattr(self._volume, "chunk", (1, 1, 1))
        row_bytes = self.channels * width * self.dtype.itemsize
        fit = max(1, SCANNED_AT_ONCE // (row_bytes * depth * rows))
        high = min(rows * fit, -(-self.shape[1] // rows) * rows)
        tall = depth * max(1, SCANNED_AT_ONCE // (row_bytes * depth * high)) if high >= self.shape[1] else depth
        return tall, high

    def grey_levels(self, box: Block | None = None) -> GreyLevels:
        """What a pass over a box, or all of it, finds; remembered, and kept in the user's cache.

        Raises:
            Problem: the file is damaged.
        """
        box = box or (slice(None), slice(None), slice(None))
        within = [s.indices(n)[:2] for s, n in zip(box, self.shape, strict=True)]
        whole = all(ends == (0, n) for ends, n in zip(within, self.shape, strict=True))
        size = (
            self.channels * self.dtype.itemsize * int(np.prod([end - start for start, end in within], dtype=np.int64))
        )
        key = "all" if whole else json.dumps(within)
        with self._lock:
            if key in self._found:
                return self._found[key]
            state = _state_of(*self._files)
            place = _place(self.path, self.inside, state, key)
            found = _cached(place) if size >= KEPT_FROM_BYTES else None
            if found is None:
                found = self._pass(box, whole=whole)
                if size >= KEPT_FROM_BYTES and state == _state_of(*self._files):
                    _cache(place, found)
            if size >= KEPT_FROM_BYTES:
                self._found[key] = found
            self._contents = found.contents or self._contents
            return found

    @property
    def contents(self) -> str:
        """Hash of the contents; see the module."""
        return self._contents or self.grey_levels().contents

    def _pass(self, box: Block, *, whole: bool) -> GreyLevels:
        counts: NDArray[np.int64] = np.zeros(2 ** (8 * self.dtype.itemsize) if self.dtype.kind == "u" else 0, np.int64)
        planes: dict[int, hashlib._Hash] = {}
        done, low, high, missing = hashlib.sha256(), np.inf, -np.inf, 0
        sample: list[NDArray[np.generic]] = []
        sizes = [len(range(*s.indices(n))) for s, n in zip(box, self.shape, strict=True)]
        every = max(1, self.channels * int(np.prod(sizes, dtype=np.int64)) // FLOAT_SAMPLE)
        seen = 0
        for (z, y, _), pixels in track(self.blocks(box), f"Looking at {self.path.name}", self._count(box)):
            if whole:
                self._hash(planes, z, pixels)
                if y.stop == self.shape[1]:
                    for number in range(z.start, z.stop):
                        done.update(planes.pop(number).digest())
            flat = pixels.reshape(-1)
            if self.dtype.kind == "u":
                for first in range(0, len(flat), _COUNTED_AT_ONCE):
                    counts += np.bincount(flat[first : first + _COUNTED_AT_ONCE], minlength=len(counts))
                continue
            finite = np.isfinite(flat)
            strange = int(np.count_nonzero(~finite))
            missing += strange
            sample.append(flat[-seen % every :: every])
            seen += len(flat)
            numbers = flat[finite] if strange else flat
            if len(numbers):
                low, high = min(low, float(numbers.min())), max(high, float(numbers.max()))
        contents = done.hexdigest() if whole else ""
        if self.dtype.kind == "u":
            levels = np.flatnonzero(counts)
            ends = float(levels[0]), float(levels[-1])
            return GreyLevels(*ends, levels.astype(np.float64), counts[levels], 0, contents)
        drawn = np.concatenate(sample).astype(np.float64)
        drawn = np.sort(drawn[np.isfinite(drawn)])
        return GreyLevels(low, high, drawn, np.ones(len(drawn), np.int64), missing, contents)

    def _hash(self, planes: "dict[int, hashlib._Hash]", z: slice, pixels: NDArray[np.generic]) -> None:
        """Take a band of rows of some planes in; channels of a pixel go together, so that bands follow each other."""
        for number, band in zip(range(z.start, z.stop), np.moveaxis(pixels, (1, 0), (0, -1)), strict=True):
            if number not in planes:
                planes[number] = hashlib.sha256(f"{self.channels} {self.dtype.name} {self.shape[1:]}".encode())
            planes[number].update(np.ascontiguousarray(band).data)

    def _count(self, box: Block) -> int:
        (z0, z1, _), (y0, y1, _), (x0, x1, _) = (s.indices(n) for s, n in zip(box, self.shape, strict=True))
        tall, high = self._steps(max(x1 - x0, 1))
        return len(range(z0 // tall * tall, z1, tall)) * len(range(y0 // high * high, y1, high))


@dataclass(frozen=True, slots=True)
class _State:
    """What tells whether a file is still the one that was looked at."""

    size: int
    changed_ns: int


def _state_of(*paths: Path) -> _State:
    """Of several files, or of all files in a folder that is one volume: the sum of sizes, and the last change."""
    inside = [Path(f) / name for path in paths if path.is_dir() for f, _, names in os.walk(path) for name in names]
    found = [os.stat(path) for path in (*inside, *(path for path in paths if not path.is_dir()))]
    return _State(sum(s.st_size for s in found), max((s.st_mtime_ns for s in found), default=0))


def stored_bytes(path: Path) -> int:
    """Bytes on disk of a file, or of all files in a folder that is one volume."""
    return _state_of(path).size


def cache_folder() -> Path:
    """Where what was found about volumes is kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "morphogen" / "volumes"


def _place(path: Path, inside: str | None, state: _State, key: str) -> Path:
    told = json.dumps([str(path.resolve()), inside, state.size, state.changed_ns, key])
    return cache_folder() / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.json"


def _cached(place: Path) -> GreyLevels | None:
    try:
        return GreyLevels.from_json(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cache(place: Path, found: GreyLevels) -> None:
    """Keep what was found, if that can be done: without a cache, the next run looks again."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text_whole(place, found.to_json())
    except (OSError, Problem):
        return
