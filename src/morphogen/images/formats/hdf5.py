"""HDF5, through h5py: Data-Exchange, or any data set inside, named as ``scan.h5:/path/inside``.

Where nothing is named, ``/exchange/data`` is read (De Carlo et al. 2014, "Scientific data exchange"), or the only data
set that can be an image. The pixel size is the attribute ``element_size_um`` (z, y, x) of the data set, which Fiji and
ilastik share, or Data-Exchange's actual size of a pixel in the specimen with its attribute ``units``; the size of a
detector's pixel says nothing of the specimen.

A file can point out of itself, by external links, external storage and virtual data sets. None is followed. Data that
were declared and never written are no zeros: h5py and others write every chunk, so a missing one is a scan that was
cut short.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from morphogen.images.formats.length_units import length_um
from morphogen.images.formats.plane import Plane, UnreadableImageError
from morphogen.images.formats.stored_array import (
    NUMBERS,
    StoredArray,
    axes_of,
    damage_of,
    planes_of,
    require_memory,
    sized,
)
from morphogen.images.formats.volume import Volume

if TYPE_CHECKING:
    import h5py

EXTENSIONS = (".h5", ".hdf5", ".hdf", ".nxs")
PIXEL_TYPES = NUMBERS

DATA_EXCHANGE = "/exchange/data"
_WHAT = "HDF5 file"
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ACTUAL = "/measurement/instrument/detector/actual_pixel_size_"
_RESOLUTION = "/measurement/instrument/detection_system/objective/resolution"
_NAMED_AT_MOST = 6


def read(path: Path, axis: int) -> list[Plane]:
    """All planes of the data set that ``open_volume`` finds."""
    volume = open_volume(path)
    try:
        return planes_of(volume, axis)
    finally:
        volume.close()


def open_volume(path: Path, inside: str | None = None) -> Volume:
    """A data set, opened. Its axes are z, y, x and channels, as far as there are so many.

    Raises:
        UnreadableImageError: not HDF5, damaged, nothing that is an image, several that may be meant, or data that lie
            in another file.
    """
    with damage_of(_WHAT, path, _SIGNATURE):
        import h5py

        file = h5py.File(path, "r", locking=False)
    try:
        with damage_of(_WHAT):
            found = _resolved(file, inside) if inside is not None else _the_only(file, path.name)
            if found.shape is None:
                raise UnreadableImageError(f"has nothing in {found.name}")
            _refuse_elsewhere(found)
            _refuse_unwritten(found)
            spacing = _spacing(file, found)
            return StoredArray(found, axes_of(found.shape), spacing, close=file.close, what=_WHAT)
    except BaseException:
        file.close()
        raise


def write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float]) -> None:
    """Write ``(channels, height, width)`` as /exchange/data of a Data-Exchange file."""
    image = pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, -1)
    _write(path, image, "y:x", (math.nan, *spacing_um))


def write_volume(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float, float]) -> None:
    """Write ``(channels, depth, height, width)`` alike; what is unknown of the spacing is left NaN."""
    volume = pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, -1)
    _write(path, volume, "z:y:x", spacing_um)


def _write(path: Path, data: NDArray[np.generic], axes: str, spacing_um: tuple[float, float, float]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["implements"] = "exchange"
        stored = file.create_dataset(DATA_EXCHANGE, data=data)
        stored.attrs["axes"] = axes
        if any(map(math.isfinite, spacing_um)):
            stored.attrs["element_size_um"] = np.asarray(spacing_um, np.float64)


def _resolved(file: "h5py.File", inside: str) -> "h5py.Dataset":
    """The data set at a path, link by link, so that no link out of the file is followed."""
    import h5py

    parts = [part for part in inside.split("/") if part not in ("", ".")]
    group: Any = file
    followed = 0
    while parts:
        name, *parts = parts
        link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
        if link is None:
            raise UnreadableImageError(f"has nothing at {inside}", do=f"choose {_or(_images_in(file))}")
        if isinstance(link, h5py.ExternalLink):
            raise UnreadableImageError(f"points at another file in {inside}", do=f"name {link.filename} itself")
        if isinstance(link, h5py.SoftLink):
            followed += 1
            if followed > 16:
                raise UnreadableImageError(f"has links in {inside} that go round in a circle")
            group = file if link.path.startswith("/") else group
            parts = [part for part in link.path.split("/") if part not in ("", ".")] + parts
            continue
        group = group[name]
    if not isinstance(group, h5py.Dataset):
        raise UnreadableImageError(f"has a group at {inside}", do=f"choose {_or(_images_in(file))}")
    return group


def _the_only(file: "h5py.File", name: str) -> "h5py.Dataset":
    found = dict(_images_in(file))
    if DATA_EXCHANGE not in found:
        import h5py

        group = file.get("exchange", getlink=True)
        link = file["exchange"].get("data", getlink=True) if isinstance(group, h5py.HardLink) else group
        if isinstance(link, (h5py.SoftLink, h5py.ExternalLink)):
            return _resolved(file, DATA_EXCHANGE)
    if DATA_EXCHANGE in found or len(found) == 1:
        return found.get(DATA_EXCHANGE) or next(iter(found.values()))
    if not found:
        raise UnreadableImageError("has no data set that is an image", do="name another file")
    first = next(iter(found))
    raise UnreadableImageError(
        f"has several data sets: {_or(list(found.items()), 'and')}", do=f"choose one, as {name}:{first}"
    )


def _images_in(file: "h5py.File") -> Iterator[tuple[str, "h5py.Dataset"]]:
    """Data sets that can be images, by their paths; links are not followed."""
    import h5py

    found: list[tuple[str, h5py.Dataset]] = []

    def look(name: str, there: Any) -> None:
        numbers = isinstance(there, h5py.Dataset) and there.dtype.kind in "iufb"
        if numbers and there.shape is not None and sum(n > 1 for n in there.shape) >= 2:
            found.append((f"/{name}", there))

    file.visititems(look)
    return iter(found)


def _or(found: "Iterator[tuple[str, h5py.Dataset]] | list[tuple[str, h5py.Dataset]]", word: str = "or") -> str:
    """Data sets as a person would list them: '/a (3 x 40 x 50, uint16) or /b (...)'."""
    named = [f"{path} ({' x '.join(map(str, d.shape))}, {d.dtype})" for path, d in found]
    if len(named) > _NAMED_AT_MOST:
        named = [*named[:_NAMED_AT_MOST], f"{len(named) - _NAMED_AT_MOST} more"]
    return f" {word} ".join(filter(None, (", ".join(named[:-1]), *named[-1:]))) or "another file"


def _refuse_elsewhere(found: "h5py.Dataset") -> None:
    if found.is_virtual and any(source.file_name != "." for source in found.virtual_sources()):
        raise UnreadableImageError(f"has its pixels of {found.name} in other files", do="copy them into one file")
    if found.external:
        raise UnreadableImageError(f"has its pixels of {found.name} in other files", do="copy them into one file")


def _refuse_unwritten(found: "h5py.Dataset") -> None:
    """Declared size against what is stored, before anything is allocated."""
    if found.size == 0 or found.is_virtual:
        return  # StoredArray refuses what has no pixels
    if found.chunks is None:
        if found.id.get_storage_size() < found.nbytes:
            raise UnreadableImageError(
                f"declares {sized(found.nbytes)} of pixels in {found.name} and holds"
                f" {sized(found.id.get_storage_size())}; it was not written to its end"
            )
        return
    require_memory(math.prod(found.chunks) * found.dtype.itemsize)
    expected = math.prod(-(-n // c) for n, c in zip(found.shape, found.chunks, strict=True))
    # Counting every chunk of a large file takes seconds; its bytes are known at once.
    written = expected if expected > 10**5 and found.id.get_storage_size() else found.id.get_num_chunks()
    if expected <= 10**5:
        _refuse_bombs(found)
    if written < expected:
        raise UnreadableImageError(
            f"has {written:,} of the {expected:,} chunks that {found.name} declares; it was not written to its end"
        )


def _refuse_bombs(found: "h5py.Dataset") -> None:
    """No filter makes a chunk much larger than it is: one that is stored so may inflate to anything."""
    sizes: list[int] = []
    found.id.chunk_iter(lambda chunk: sizes.append(chunk.size))
    at_most = 1.1 * math.prod(found.chunks) * found.dtype.itemsize + 4096
    if max(sizes, default=0) > at_most:
        raise UnreadableImageError(f"has a chunk of {sized(max(sizes))} in {found.name}, which is too large")


def _spacing(file: "h5py.File", found: "h5py.Dataset") -> tuple[float, float, float]:
    attribute = found.attrs.get("element_size_um")
    if attribute is not None:
        sizes = [length_um(size, "um") for size in np.ravel(attribute)]
        if len(sizes) in (2, 3):
            sizes = [math.nan, *sizes][-3:]
            return sizes[0], sizes[1], sizes[2]
    if found.name != DATA_EXCHANGE:
        return math.nan, math.nan, math.nan
    x, y = (_with_unit(file, _ACTUAL + letter) for letter in "xy")
    if math.isnan(x):
        x = y = _with_unit(file, _RESOLUTION)
    return math.nan, y if math.isfinite(y) else x, x


def _with_unit(file: "h5py.File", name: str) -> float:
    """A number with its attribute ``units``, in micrometres; NaN if it is not there or has none."""
    try:
        there = _resolved(file, name)
    except UnreadableImageError:
        return math.nan
    if there.size != 1 or there.dtype.kind not in "iuf":
        return math.nan
    return length_um(np.ravel(there[()])[0], there.attrs.get("units", ""))
