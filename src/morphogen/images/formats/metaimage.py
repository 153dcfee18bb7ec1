"""MetaImage (.mha, or .mhd with the pixels in another file).

The header is lines of ``Key = value``, and the pixels are raw or one zlib stream; reading it takes less than any
library that could, of which ITK's would follow a header to any file on the disk and take as much memory as it declares.
``ElementSpacing`` counts if ``DistanceUnits`` names its unit. Without one ITK takes millimetres and VTK micrometres;
here the pixel size is unknown. What is written has millimetres and says so, which both read alike.
"""

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
    Inflating,
    StoredArray,
    beside,
    damage_of,
    inflated,
    mapped,
    planes_of,
)
from morphogen.images.formats.volume import Volume
from morphogen.problems import Problem

EXTENSIONS = (".mha", ".mhd")
PIXEL_TYPES = NUMBERS
ONE_UNIT = True
SEVERAL_FILES = (".mhd",)

_WHAT = "MetaImage file"
_HEADER_AT_MOST = 2**16
_LAST = "ElementDataFile"
_LOCAL = "LOCAL"
_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_NAMES = {kind: name for name, kind in _TYPES.items()}


def read(path: Path, axis: int) -> list[Plane]:
    """All planes: one for an image, one a slice along ``axis`` for a volume."""
    return planes_of(open_volume(path), axis)


def parts(path: Path) -> list[Path]:
    """The file that holds the pixels of a header, where that is another."""
    with damage_of(_WHAT):
        named = _header(path)[0].get(_LAST, _LOCAL)
    return [] if named == _LOCAL else [path.parent / named]


def open_volume(path: Path, inside: str | None = None) -> Volume:
    """The image: mapped where it is raw, otherwise read whole.

    Raises:
        UnreadableImageError: not a MetaImage, damaged, a shape that is not understood, or pixels elsewhere.
    """
    if inside is not None:
        raise UnreadableImageError("holds one image", do="leave out what follows its name")
    with damage_of(_WHAT):
        header, end = _header(path)
        for key in ("DimSize", "ElementType", _LAST):
            if key not in header:
                raise UnreadableImageError(f"is no {_WHAT} or has a damaged header: it has no {key}")
        shape = [int(n) for n in header["DimSize"].split()][::-1]  # slowest first
        if "NDims" in header and int(header["NDims"]) != len(shape):
            raise UnreadableImageError(f"declares {header['NDims']} dimensions and the sizes of {len(shape)}")
        axes = _axes(shape)
        spacing = _spacing(header, axes)
        if (channels := int(header.get("ElementNumberOfChannels", "1"))) != 1:
            shape, axes = [*shape, channels], axes + "c"
        return StoredArray(_stored(header, path, end, shape), axes, spacing, what=_WHAT)


def write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float]) -> None:
    """Write ``(channels, height, width)``, raw; .mhd with the pixels in a .raw file beside it."""
    _write(path, pixels, spacing_um)


def write_volume(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float, float]) -> None:
    """Write ``(channels, depth, height, width)`` alike.

    Raises:
        Problem: the spacing is known along some axes only; MetaImage has one unit for all.
    """
    _write(path, pixels, spacing_um)


def _write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, ...]) -> None:
    known = [math.isfinite(s) for s in spacing_um]
    if any(known) and not all(known):
        raise Problem("MetaImage has one unit for all axes, and the distance of the slices is unknown", do=OTHER_STACKS)
    little = pixels.dtype.newbyteorder("<")
    data = np.ascontiguousarray(np.moveaxis(pixels, 0, -1), dtype=little).tobytes()
    local = path.suffix.lower() == ".mha"
    beside_it = path.with_suffix(".raw")
    lines = {
        "ObjectType": "Image",
        "NDims": str(len(spacing_um)),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "DimSize": " ".join(map(str, pixels.shape[:0:-1])),
        **(
            {"ElementSpacing": " ".join(repr(s / 1000) for s in spacing_um[::-1]), "DistanceUnits": "mm"}
            if all(known)
            else {}
        ),
        **({"ElementNumberOfChannels": str(pixels.shape[0])} if pixels.shape[0] > 1 else {}),
        "ElementType": _NAMES[pixels.dtype.str[1:]],
        _LAST: _LOCAL if local else beside_it.name,
    }
    header = "".join(f"{key} = {value}\n" for key, value in lines.items()).encode()
    if local:
        path.write_bytes(header + data)
    else:
        beside_it.write_bytes(data)
        path.write_bytes(header)


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Keys and values as far as ``ElementDataFile``, which is the last, and where its line ends."""
    with open(path, "rb") as file:
        start = file.read(_HEADER_AT_MOST)
    found: dict[str, str] = {}
    end = 0
    for line in start.splitlines(keepends=True):
        end += len(line)
        key, equals, value = line.decode("ascii", "replace").partition("=")
        if not equals or not key.strip().isidentifier():
            raise UnreadableImageError(f"is no {_WHAT} or has a damaged header")
        found[key.strip()] = value.strip()
        if key.strip() == _LAST:
            break
    return found, end


def _axes(shape: list[int]) -> str:
    if not 2 <= len(shape) <= 3:
        raise UnreadableImageError(f"has {len(shape)} dimensions {tuple(shape)}; images and volumes are understood")
    return "zyx"[-len(shape) :]


def _stored(header: dict[str, str], path: Path, end: int, shape: list[int]) -> NDArray[Any]:
    """The pixels as they are stored, slowest axis first."""
    kind = _TYPES.get(header["ElementType"].removesuffix("_ARRAY"))
    if kind is None:
        raise UnreadableImageError(f"has pixels of type {header['ElementType']}, which are no grey levels")
    if header.get("BinaryData", "True").lower() != "true":
        raise UnreadableImageError("has its pixels as text", do="write them as binary data")
    big = header.get("BinaryDataByteOrderMSB", header.get("ElementByteOrderMSB", "False")).lower() == "true"
    dtype = np.dtype((">" if big else "<") + kind)
    named = header[_LAST]
    if named != _LOCAL and (named.split()[0] == "LIST" or "%" in named):
        raise UnreadableImageError("has its pixels in several files", do="write them into one")
    pixels = path if named == _LOCAL else beside(path, named)
    size = pixels.stat().st_size
    start = end if named == _LOCAL else 0
    skipped = int(header.get("HeaderSize", "0"))
    if skipped < -1:
        raise UnreadableImageError(f"has its pixels begin {-skipped} bytes before they do", do="mend its header")
    declared = math.prod(shape) * dtype.itemsize
    if header.get("CompressedData", "False").lower() == "true":
        with open(pixels, "rb") as file:
            file.seek(start)
            return inflated(Inflating(file), dtype, shape, size - start, at_most=DEFLATED_AT_MOST)  # type: ignore[arg-type]
    return mapped(pixels, dtype, shape, size - declared if skipped == -1 else start + skipped)


def _spacing(header: dict[str, str], axes: str) -> tuple[float, float, float]:
    """Sizes of a pixel along z, y and x."""
    unit = header.get("DistanceUnits", "")
    sizes = header.get("ElementSpacing", "").split()[::-1]
    if len(sizes) != len(axes):
        return math.nan, math.nan, math.nan
    found = {a: length_um(s, unit) for a, s in zip(axes, sizes, strict=True)}
    return found.get("z", math.nan), found["y"], found["x"]
