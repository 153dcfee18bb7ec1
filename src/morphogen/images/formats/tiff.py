"""TIFF: single images and volumes, through tifffile.

A volume is read as slices along a chosen axis. Pixel sizes come from ImageJ metadata or the resolution
tags (TIFF 6.0, section 8), where they describe the specimen and not a screen.
"""

import logging
import struct
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from morphogen.images.formats.plane import (
    UNKNOWN_SPACING,
    Plane,
    UnreadableImageError,
    channels_first,
    spacing_from_resolution,
)

EXTENSIONS = (".tif", ".tiff")

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong with a file is said here, in one line
PIXEL_TYPES = ("uint8", "uint16", "float32", "int8", "int16", "int32", "uint32", "float64")
IMAGEJ_TYPES = ("uint8", "uint16", "float32")

_MICROMETRES = {
    "micron": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "\\u00b5m": 1.0,
    "μm": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
}


def read(path: Path, axis: int) -> list[Plane]:
    """All planes: one for an image, one a slice along ``axis`` (0, 1 or 2) for a volume."""
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            data, axes = series.asarray(), series.axes
            spacing = _spacing_zyx(file)
            data, axes = _without_singletons(data, axes)
            planes = int((file.imagej_metadata or {}).get("images", 1))
            if file.imagej_metadata and planes > 1 and data.size < planes * file.pages[0].size:
                raise UnreadableImageError(f"declares {planes} planes and holds fewer; it may be truncated")
    except UnreadableImageError:
        raise
    except (
        tifffile.TiffFileError,
        OSError,
        ValueError,
        IndexError,
        KeyError,
        struct.error,
        RuntimeError,
    ) as error:
        with open(path, "rb") as opened:
            signature = opened.read(2)
        if signature not in (b"II", b"MM"):
            raise UnreadableImageError("is not a TIFF file, whatever its name says") from None
        raise UnreadableImageError(f"is a damaged TIFF file ({type(error).__name__}); it may be truncated") from None
    if "S" in axes or ("C" in axes and data.shape[axes.index("C")] <= 4):
        channel = axes.index("S") if "S" in axes else axes.index("C")
        data = np.moveaxis(data, channel, -1)
        rank = data.ndim - 1
    else:
        rank = data.ndim
    if rank == 2:
        return [Plane(channels_first(data), spacing[1:])]
    if rank != 3:
        raise UnreadableImageError(f"has {rank} dimensions ({axes}); images and volumes are understood")
    kept = tuple(spacing[i] for i in range(3) if i != axis)
    return [
        Plane(channels_first(np.take(data, k, axis=axis)), (kept[0], kept[1]), slice=k) for k in range(data.shape[axis])
    ]


def write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float]) -> None:
    """Write ``(channels, height, width)`` so that ImageJ shows type, scale and unit."""
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
    tifffile.imwrite(path, np.ascontiguousarray(image), imagej=imagej, **options)


def stored_type(path: Path) -> np.dtype[np.generic]:
    """The type of number in the file."""
    try:
        with tifffile.TiffFile(path) as file:
            found: np.dtype[np.generic] = np.dtype(file.series[0].dtype)
    except Exception:  # whatever is wrong with it, reading says it better
        return read(path, 0)[0].pixels.dtype
    return found


def write_volume(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float, float]) -> None:
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
    tifffile.imwrite(path, np.ascontiguousarray(volume), imagej=imagej, metadata=metadata, **options)


def _spacing_zyx(file: tifffile.TiffFile) -> tuple[float, float, float]:
    page = file.pages[0]
    x = _per_unit(page, "XResolution")
    y = _per_unit(page, "YResolution")
    imagej = file.imagej_metadata or {}
    if x is None or y is None:
        return (float("nan"), *UNKNOWN_SPACING)
    if scale := _MICROMETRES.get(str(imagej.get("unit", "")).strip()):
        return float(imagej.get("spacing", float("nan"))) * scale, scale / y, scale / x
    unit = page.tags.get("ResolutionUnit")
    code = int(unit.value) if unit is not None else 2
    if code not in (2, 3):
        return (float("nan"), *UNKNOWN_SPACING)
    to_inch = 1.0 if code == 2 else 2.54
    return (float("nan"), *spacing_from_resolution(x * to_inch, y * to_inch))


def _per_unit(page: tifffile.TiffPage, tag: str) -> float | None:
    found = page.tags.get(tag)
    if found is None:
        return None
    numerator, denominator = found.value
    return numerator / denominator if numerator and denominator else None


def _without_singletons(data: NDArray[np.generic], axes: str) -> tuple[NDArray[np.generic], str]:
    """Drop axes of length one other than height and width."""
    drop = tuple(i for i, (n, a) in enumerate(zip(data.shape, axes, strict=True)) if n == 1 and a not in "YX")
    return np.squeeze(data, axis=drop), "".join(a for i, a in enumerate(axes) if i not in drop)
