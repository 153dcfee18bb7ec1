"""NIfTI-1 and NIfTI-2 in one file, plain or gzipped; nibabel reads and writes the header.

Why nibabel for this and pynrrd for NRRD, and not SimpleITK for both: they are pure Python, so that a damaged header is
an exception and never a crash; pixels can stay mapped in the file; and the unit of the spacing is kept, where ITK takes
millimetres if a file names none. Here it is then unknown. SimpleITK reads in the tests what is written here.

Voxels stay in the order of storage: x fastest. The orientation in a scanner says nothing of a specimen.
"""

import gzip
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphogen.images.formats.length_units import length_um
from morphogen.images.formats.plane import Plane, UnreadableImageError
from morphogen.images.formats.stored_array import (
    DEFLATED_AT_MOST,
    NUMBERS,
    OTHER_STACKS,
    StoredArray,
    damage_of,
    inflated,
    mapped,
    planes_of,
)
from morphogen.images.formats.volume import Volume
from morphogen.problems import Problem

EXTENSIONS = (".nii", ".nii.gz")
PIXEL_TYPES = NUMBERS
ONE_UNIT = True

_WHAT = "NIfTI file"
_UNITS = {1: "m", 2: "mm", 3: "um"}
_HEADERS = {348: (b"n+1\0", 344), 540: (b"n+2\0", 4)}
"""By the size of the header in its first four bytes: what follows it as its magic, and where."""


def read(path: Path, axis: int) -> list[Plane]:
    """All planes: one for an image, one a slice along ``axis`` for a volume."""
    return planes_of(open_volume(path), axis)


def open_volume(path: Path, inside: str | None = None) -> Volume:
    """The image, mapped; a gzipped one is read whole.

    Raises:
        UnreadableImageError: not NIfTI, damaged, or more than three dimensions.
    """
    if inside is not None:
        raise UnreadableImageError("holds one image", do="leave out what follows its name")
    zipped = path.name.lower().endswith(".gz")
    with damage_of(f"gzipped {_WHAT}" if zipped else _WHAT, path, *((b"\x1f\x8b",) if zipped else ())):
        header = _header(path, zipped)
        shape = [int(n) for n in header.get_data_shape()]
        dtype, axes, shape = _pixels(header, shape)
        offset = int(header.get_data_offset())
        slope, intercept = header.get_slope_inter()
        unit = _UNITS.get(int(header["xyzt_units"]) & 7, "")
        sizes = [length_um(str(size), unit) for size in header["pixdim"][1:4]]  # as text, 1.3 is not 1.29999995
        if zipped:
            with gzip.open(path, "rb") as file:
                file.read(offset)
                array = inflated(file, dtype, shape, path.stat().st_size, at_most=DEFLATED_AT_MOST)  # type: ignore[arg-type]
        else:
            array = mapped(path, dtype, shape, offset)
    scale = None if slope is None or (slope, intercept) == (1, 0) else (float(slope), float(intercept or 0))
    z = sizes[2] if "z" in axes and len(header.get_data_shape()) > 2 else math.nan
    return StoredArray(array, axes, (z, sizes[1], sizes[0]), scale=scale, what=_WHAT)


def _header(path: Path, zipped: bool) -> Any:
    import nibabel

    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # what it says of a header is said here
    with gzip.open(path, "rb") if zipped else open(path, "rb") as file:
        start = file.read(540)
        for order in ("little", "big"):
            size = int.from_bytes(start[:4], order)
            if size in _HEADERS:
                magic, where = _HEADERS[size]
                if start[where : where + 4] != magic:
                    raise UnreadableImageError("is no NIfTI file with its pixels in it; pairs of files are not read")
                kind = nibabel.Nifti1Header if size == 348 else nibabel.Nifti2Header
                if len(start) < size:
                    raise UnreadableImageError("ends within its header")
                return kind(start[:size], check=True)
    raise UnreadableImageError(f"is no {_WHAT}, whatever its name says")


def _pixels(header: Any, shape: list[int]) -> tuple[np.dtype[Any], str, list[int]]:
    """The stored type, and the axes and dimensions, slowest first."""
    dtype = header.get_data_dtype()
    if len(shape) == 5 and shape[3] == 1 and 1 < shape[4] <= 4:  # a vector a voxel, its parts apart
        return dtype, "c-zyx", shape[::-1]
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3 or len(shape) < 2:
        raise UnreadableImageError(f"has {len(shape)} dimensions {tuple(shape)}; images and volumes are understood")
    axes = "zyx"[-len(shape) :]
    if dtype.names is not None:  # RGB or RGBA, interleaved
        return np.dtype(np.uint8), axes + "c", [*shape[::-1], len(dtype.names)]
    return dtype, axes, shape[::-1]


def write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float]) -> None:
    """Write ``(channels, height, width)``; 8 bit colour as RGB, other as vectors. An unknown spacing has no unit."""
    _write(path, pixels, spacing_um)


def write_volume(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float, float]) -> None:
    """Write ``(channels, depth, height, width)`` alike.

    Raises:
        Problem: the spacing is known along some axes only; NIfTI has one unit for all.
    """
    _write(path, pixels, spacing_um)


def _write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, ...]) -> None:
    import nibabel

    voxels: NDArray[Any] = np.transpose(pixels)  # (x, y[, z], channels)
    if pixels.shape[0] == 1:
        voxels = voxels[..., 0]
    elif pixels.shape[0] in (3, 4) and pixels.dtype == np.uint8:
        letters = [(name, np.uint8) for name in "RGBA"[: pixels.shape[0]]]
        voxels = np.ascontiguousarray(voxels).view(letters)[..., 0]
    else:
        voxels = voxels.reshape(*voxels.shape[:2], -1, 1, pixels.shape[0])  # the fifth axis is that of vectors
    kind = nibabel.Nifti1Image if max(voxels.shape) < 2**15 else nibabel.Nifti2Image
    image = kind(voxels, None)
    if voxels.ndim == 5:
        image.header.set_intent("vector")
    if all(map(math.isfinite, spacing_um)):
        image.header.set_zooms([*spacing_um[::-1], *[1.0] * (voxels.ndim - len(spacing_um))])
        image.header.set_xyzt_units("micron")
    elif any(map(math.isfinite, spacing_um)):
        raise Problem("NIfTI has one unit for all axes, and the distance of the slices is unknown", do=OTHER_STACKS)
    nibabel.save(image, path)
