"""NRRD, attached or with its pixels in another file; pynrrd reads and writes the header.

The pixels are read here: mapped where they are raw, otherwise inflated as far as declared, where pynrrd would inflate
whatever comes. The spacing is ``spacings`` with ``units``, or the lengths of ``space directions`` with ``space units``
(Kindlmann, "Definition of NRRD file format"); without a unit it is unknown. What is written has millimetres, which
programs that know no units, such as ITK, assume.

A header may name another file for its pixels: one beside it or below, no other.
"""

import bz2
import gzip
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from morphogen.images.formats.length_units import length_um
from morphogen.images.formats.plane import Plane, UnreadableImageError
from morphogen.images.formats.stored_array import (
    DEFLATED_AT_MOST,
    NUMBERS,
    StoredArray,
    beside,
    damage_of,
    inflated,
    mapped,
    planes_of,
)
from morphogen.images.formats.volume import Volume

EXTENSIONS = (".nrrd", ".nhdr")
PIXEL_TYPES = NUMBERS
SEVERAL_FILES = (".nhdr",)

_WHAT = "NRRD file"
_HEADER_AT_MOST = 2**20
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_BY_NAME = {name: kind for kind, names in _TYPES.items() for name in names}
_COLOURS = ("rgb-color", "rgba-color", "vector", "list", "2-vector", "3-vector", "4-vector", "3-color", "4-color")
_BZIPPED_AT_MOST = 2**16
"""Bytes that bzip2 can make of one: a block of 900,000 equal ones takes about 40."""


def read(path: Path, axis: int) -> list[Plane]:
    """All planes: one for an image, one a slice along ``axis`` for a volume."""
    return planes_of(open_volume(path), axis)


def parts(path: Path) -> list[Path]:
    """The file that holds the pixels of a header, where that is another."""
    with damage_of(_WHAT):
        named = _header(path)[0].get("data file")
    return [path.parent / str(named)] if named else []


def open_volume(path: Path, inside: str | None = None) -> Volume:
    """The image: mapped where it is raw, otherwise read whole.

    Raises:
        UnreadableImageError: not NRRD, damaged, an encoding or shape that is not understood, or pixels elsewhere.
    """
    if inside is not None:
        raise UnreadableImageError("holds one image", do="leave out what follows its name")
    with damage_of(_WHAT, path, b"NRRD"):
        header, end = _header(path)
        shape = [int(n) for n in header["sizes"]][::-1]  # slowest first
        if len(shape) != header["dimension"]:
            raise UnreadableImageError(f"declares {header['dimension']} dimensions and the sizes of {len(shape)}")
        dtype = _dtype(header)
        named = header.get("data file")
        pixels = beside(path, str(named)) if named else path
        array = _stored(header, pixels, 0 if named else end, dtype, shape)
        axes = _axes(header, shape)
        return StoredArray(array, axes, _spacing(header, axes), what=_WHAT)


def write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float]) -> None:
    """Write ``(channels, height, width)``, raw; .nhdr with the pixels in a .raw file beside it."""
    _write(path, pixels, spacing_um)


def write_volume(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float, float]) -> None:
    """Write ``(channels, depth, height, width)`` alike; an unknown spacing is NaN."""
    _write(path, pixels, spacing_um)


def _write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, ...]) -> None:
    import nrrd

    grey = pixels.shape[0] == 1
    interleaved = pixels[0] if grey else np.moveaxis(pixels, 0, -1)
    lengths = [s / 1000 for s in spacing_um[::-1]]
    header: dict[str, Any] = {"encoding": "raw", "kinds": ["domain"] * len(lengths)}
    if any(map(math.isfinite, lengths)):
        header["spacings"] = lengths
        header["units"] = ["mm" if math.isfinite(s) else "" for s in lengths]
    if not grey:
        header["kinds"] = ["RGB-color" if pixels.shape[0] == 3 else "vector", *header["kinds"]]
        if "spacings" in header:
            header["spacings"], header["units"] = [math.nan, *lengths], ["", *header["units"]]
    nrrd.write(str(path), np.ascontiguousarray(interleaved).T, header, detached_header=path.suffix.lower() == ".nhdr")


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """What the header says, and where it ends."""
    import nrrd

    with open(path, "rb") as file:
        start = file.read(_HEADER_AT_MOST)
    if not start.startswith(b"NRRD"):
        raise UnreadableImageError(f"is no {_WHAT}, whatever its name says")
    ends = [start.index(mark) + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if mark in start]
    end = min(ends, default=len(start))
    with np.errstate(all="ignore"):
        header = dict(nrrd.read_header(start[:end].splitlines(keepends=True)))
    for name, old in (("data file", "datafile"), ("byte skip", "byteskip"), ("line skip", "lineskip")):
        if old in header:
            header[name] = header.pop(old)
    return header, end


def _dtype(header: dict[str, Any]) -> np.dtype[Any]:
    kind = _BY_NAME.get(str(header["type"]).lower())
    if kind is None:
        raise UnreadableImageError(
            f"has pixels of type {header['type']}, which are no grey levels or would lose digits"
        )
    if kind[1] == "1":
        return np.dtype(kind)
    order = str(header.get("endian", "")).lower()
    if order not in ("little", "big") and header.get("encoding") not in ("ascii", "text", "txt"):
        raise UnreadableImageError("does not say its byte order ('endian')", do="mend its header")
    return np.dtype((">" if order == "big" else "<") + kind)


def _stored(header: dict[str, Any], pixels: Path, start: int, dtype: np.dtype[Any], shape: list[int]) -> NDArray[Any]:
    """The pixels as they are stored, slowest axis first."""
    encoding = str(header["encoding"]).lower()
    byte_skip, line_skip = int(header.get("byte skip", 0)), int(header.get("line skip", 0))
    if line_skip or byte_skip < (-1 if encoding == "raw" else 0):
        raise UnreadableImageError("skips lines or a negative number of bytes", do="write it without")
    size = pixels.stat().st_size
    if encoding == "raw":
        if byte_skip == -1:
            return mapped(pixels, dtype, shape, size - math.prod(shape) * dtype.itemsize)
        return mapped(pixels, dtype, shape, start + byte_skip)
    openers: dict[str, Any] = {
        "gzip": (gzip.open, DEFLATED_AT_MOST), "gz": (gzip.open, DEFLATED_AT_MOST),
        "bzip2": (bz2.open, _BZIPPED_AT_MOST), "bz2": (bz2.open, _BZIPPED_AT_MOST),
    }  # fmt: skip
    if encoding not in openers:
        raise UnreadableImageError(f"is in the encoding '{encoding}'", do="write it as raw, gzip or bzip2")
    opener, at_most = openers[encoding]
    with open(pixels, "rb") as raw:
        raw.seek(start)
        stream: BinaryIO = opener(raw, "rb")
        stream.read(byte_skip)  # of what is inflated
        return inflated(stream, dtype, shape, size - start, at_most=at_most)


def _axes(header: dict[str, Any], shape: list[int]) -> str:
    """The axes, slowest first: the fastest may be channels, as its kind says."""
    kinds = [str(kind).lower() for kind in header.get("kinds", ())][::-1]
    channels = bool(kinds) and kinds[-1] in _COLOURS
    rank = len(shape) - channels
    if not 2 <= rank <= 3:
        raise UnreadableImageError(f"has {len(shape)} dimensions {tuple(shape)}; images and volumes are understood")
    return "zyx"[-rank:] + ("c" if channels else "")


def _spacing(header: dict[str, Any], axes: str) -> tuple[float, float, float]:
    """Sizes of a pixel along z, y and x."""
    space = axes.replace("c", "")
    found: dict[str, float] = {}
    if "spacings" in header:
        units = list(header.get("units", ()))[::-1] or [""] * len(axes)
        sizes = list(header["spacings"])[::-1]
        found = {a: length_um(s, u) for a, s, u in zip(axes, sizes, units, strict=True)}
    elif "space directions" in header:
        unit = next(iter(header.get("space units", ())), "")
        lengths = [math.nan if d is None else float(np.linalg.norm(d)) for d in header["space directions"]][::-1]
        found = {a: length_um(s, unit) for a, s in zip(axes, lengths, strict=True)}
    return (found.get("z", math.nan) if "z" in space else math.nan), found.get("y", math.nan), found.get("x", math.nan)
