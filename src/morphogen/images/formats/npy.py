"""NumPy's .npy, and .npz with one array in it. Neither has a pixel size. No pickle is opened.

A .npz is a zip, whose directory may lie: the array's own header says how many bytes are read, and no more are.
"""

import io
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from morphogen.images.formats.plane import Plane, UnreadableImageError
from morphogen.images.formats.stored_array import (
    DEFLATED_AT_MOST,
    NUMBERS,
    StoredArray,
    axes_of,
    damage_of,
    inflated,
    planes_of,
    require_stored,
    sized,
)
from morphogen.images.formats.volume import Volume

EXTENSIONS = (".npy", ".npz")
PIXEL_TYPES = NUMBERS

_HEADER_AT_MOST = 2**16


def read(path: Path, axis: int) -> list[Plane]:
    """All planes: one for an image, one a slice along ``axis`` for a volume."""
    return planes_of(open_volume(path), axis)


def open_volume(path: Path, inside: str | None = None) -> Volume:
    """The array, its axes being z, y, x and channels: mapped from .npy, read whole from .npz.

    Raises:
        UnreadableImageError: no such file, damaged, several arrays of which none is named, or one of objects.
    """
    if path.suffix.lower() == ".npz":
        array = _zipped(path, inside)
    elif inside is not None:
        raise UnreadableImageError("holds one array", do="leave out what follows its name")
    else:
        with damage_of("NumPy file", path, npy_format.MAGIC_PREFIX):
            array = _mapped(path)
    return StoredArray(array, axes_of(array.shape), what="NumPy file")


def write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float]) -> None:
    """Write ``(channels, height, width)`` with channels last; the spacing has no place in the file."""
    _write(path, pixels)


def write_volume(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float, float]) -> None:
    """Write ``(channels, depth, height, width)`` alike."""
    _write(path, pixels)


def _write(path: Path, pixels: NDArray[np.generic]) -> None:
    array = np.ascontiguousarray(pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, -1))
    with open(path, "wb") as file:
        if path.suffix.lower() == ".npz":
            np.savez_compressed(file, pixels=array)
        else:
            np.save(file, array, allow_pickle=False)


def _mapped(path: Path) -> NDArray[Any]:
    with open(path, "rb") as file:
        shape, fortran, dtype = _header(file)
        offset = file.tell()
    require_stored(shape, dtype, path.stat().st_size - offset)
    found: NDArray[Any] = np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
    return found


def _zipped(path: Path, inside: str | None) -> NDArray[Any]:
    with damage_of("NumPy file", path, b"PK"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [m.filename.removesuffix(".npy") for m in members if m.filename.endswith(".npy")]
        if len(names) < len(members) or not names:
            other = next((m.filename for m in members if not m.filename.endswith(".npy")), None)
            raise UnreadableImageError(f"holds {other}, which is no array" if other else "holds no array")
        for name in names:
            if not name.isprintable() or name.startswith(("/", "\\")) or ".." in name.split("/"):
                raise UnreadableImageError(f"holds {name}, which is no name of an array", do="do not trust it")
        wanted = inside.strip("/") if inside is not None else names[0] if len(names) == 1 else None
        if wanted is None or names.count(wanted) != 1:
            listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            what = f"has no array {wanted}" if wanted is not None else "has several arrays"
            raise UnreadableImageError(f"{what}: {listed}", do=f"choose one, as {path.name}:/{names[0]}")
        member = archive.getinfo(f"{wanted}.npy")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableImageError("is compressed in a way that NumPy does not use", do="save it again")
        if member.file_size > member.compress_size * DEFLATED_AT_MOST:
            raise UnreadableImageError(
                f"declares {sized(member.file_size)} in {sized(member.compress_size)}, which is not possible"
            )
        with archive.open(member) as file:
            shape, fortran, dtype = _header(file)  # type: ignore[arg-type]
            stored = path.stat().st_size
            flat = inflated(file, dtype, shape[::-1] if fortran else shape, stored, at_most=DEFLATED_AT_MOST)  # type: ignore[arg-type]
            return flat.T if fortran else flat


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type, read from a beginning of bounded length."""
    start = io.BytesIO(file.read(_HEADER_AT_MOST))
    version = npy_format.read_magic(start)
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    if version not in readers:
        raise UnreadableImageError(f"is in version {version[0]}.{version[1]} of NumPy's format", do="save it again")
    shape, fortran, dtype = readers[version](start)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise UnreadableImageError(f"has pixels of type {dtype}, which are no grey levels")
    file.seek(start.tell())
    return tuple(int(n) for n in shape), bool(fortran), dtype
