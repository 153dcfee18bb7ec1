"""Image sets on disk: reading a file, a volume or a folder, and writing a set with its manifest."""

import csv
import importlib
import io
import json
import math
import pkgutil
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from morphogen.images.conditions import CAPTION
from morphogen.images.formats.plane import Plane, UnreadableImageError
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.labels import CAPTIONS, CLASS, labels_of
from morphogen.images.picture import Label, Origin, Picture, spacing_from_stored, stored_spacing
from morphogen.images.stored_pixels import StoredMask, StoredPixels, as_mask, as_pixels, stored
from morphogen.images.volume_file import VolumeFile, stored_bytes
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.whole_files import require_space, write_folder_whole, write_text_whole, write_whole

MANIFEST = "manifest.json"

IN_MEMORY_BYTES = 2**30
"""Pixels of a set that are read into memory at once, in bytes; of larger sets all that can stay on disk does.

A fixed number and no share of the memory that a machine has: the same set has the same fingerprint everywhere.
"""

_MOST_COMPRESSED = 64  # how many times smaller the files of a large set may be than its pixels


class ManifestEntry(BaseModel):
    """What the manifest knows of one file that the file itself cannot say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    specimen: str
    source: str = ""
    slice: int | None = None
    region: tuple[int, int, int, int] | None = None
    spacing_um: tuple[float | None, float | None]
    labels: dict[str, str | float] = {}


class Manifest(BaseModel):
    """``manifest.json``: the set's fingerprint and one entry an image, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    fingerprint: str
    pictures: tuple[ManifestEntry, ...]


def read_images(
    path: Path | str,
    *,
    axis: int = 0,
    pixel_size_um: float | None = None,
    specimen_pattern: str | None = None,
    shrink: int = 1,
    grey: bool = False,
    files: str = "*",
) -> Pictures:
    """Read a file, a TIFF volume or a folder of images, checked.

    Sets of at most ``IN_MEMORY_BYTES`` of pixels are read whole. Of larger ones, whatever is in a format that can be
    read by blocks stays on disk, and is read where it is looked at (``stored_pixels``).

    Args:
        path: image file, TIFF volume, or folder of them. A folder with a sub-folder ``images`` stands
            for that sub-folder; a folder ``masks`` beside it holds masks under the same names, whose pixels
            are in the phase of interest above half of the brightest of all masks (so 0 and 1 are read as well
            as the soft edges of a JPEG file). Files whose ending is no image format's are passed over. A table
            ``labels.csv`` with a column ``file`` gives labels, a table ``captions.csv`` with ``file`` and ``caption``
            captions. A folder of folders with images is read as classes: the label ``class`` is the folder's name, and
            a table above them names files as "fine/0001.png".
        axis: axis along which a volume is cut into slices: 0, 1 or 2.
        pixel_size_um: pixel size in micrometres where the files don't say it; overrides what they say.
        specimen_pattern: regular expression searched in the file name; what it matches (its groups, if
            it has any) names the specimen. Without it a manifest says it, or every file is one of its own.
        shrink: whole factor by which images are made smaller, by the mean over squares of pixels.
        grey: take the luminance of colour images (ITU-R BT.601); what is grey stays what it is.
        files: glob pattern that file names must match.

    Raises:
        Problem: missing or empty folder, unreadable file, NaN pixels, mixed kinds, a table that names no image.
    """
    path = Path(path)
    if axis not in (0, 1, 2):
        raise Problem(f"axis {axis} is no axis of a volume", do="choose 0, 1 or 2")
    if pixel_size_um is not None and not (math.isfinite(pixel_size_um) and pixel_size_um > 0):
        raise Problem(f"a pixel size of {pixel_size_um} um is not possible", do="give a positive number")
    if shrink < 1:
        raise Problem(f"shrink {shrink} is not possible", do="give a whole number from 1 up")
    expression = _expression(specimen_pattern)
    found = image_files(path, files)
    folders = dict.fromkeys(file.parent for file in found)
    classes = {folder: folder.name for folder in folders if folder.parent == path and folder.name != "images"}
    entries = {folder: _manifest_entries(folder) for folder in folders}
    labels = labels_of(found, path, readable_extensions())
    masks = {folder: _mask_files(folder) for folder in folders}
    pictures: list[Picture] = []
    levels: list[NDArray[np.generic] | None] = []
    brightest = 0.0
    on_disk = _kept_on_disk(found)
    for file in track(found, f"Reading {path.name}"):
        entry = entries[file.parent].get(file.name)
        mask_file = masks[file.parent].get(file.stem)
        planes = _read_planes(file, axis) if file not in on_disk else _stored_planes(on_disk[file], axis)
        drawn = _read_masks(mask_file, planes, file, axis) if mask_file is not None else [None] * len(planes)
        for plane, mask in zip(planes, drawn, strict=True):
            picture = _picture(file, plane, entry, expression, pixel_size_um, shrink)
            picture = _labelled(
                picture, labels[file], classes.get(file.parent), named=entry is None and expression is None
            )
            if mask is not None:
                brightest = max(brightest, _brightest(mask))
                mask = _shrunk(mask, shrink, file) if shrink > 1 else mask
            pictures.append(_in_grey(picture) if grey else picture)
            levels.append(mask)
    return Pictures(
        (
            picture if mask is None else replace(picture, mask=_above(mask, brightest / 2))
            for picture, mask in zip(pictures, levels, strict=True)
        ),
        name=str(path),
    )


def with_pixel_size(images: Pictures, pixel_size_um: float | None) -> Pictures:
    """The set with this pixel size wherever it is unknown; None leaves it unknown."""
    if pixel_size_um is None:
        return images
    spacing = (pixel_size_um, pixel_size_um)
    return Pictures(
        (p if all(map(math.isfinite, p.spacing_um)) else replace(p, spacing_um=spacing) for p in images), images.name
    )


def image_files(path: Path, files: str = "*") -> list[Path]:
    """The image files at a path, in natural order of their names.

    Raises:
        Problem: nothing there, or nothing that is an image.
    """
    if not path.exists():
        raise Problem(f"there is no file or folder {path}", do="check the path")
    if path.is_file():
        if path.suffix.lower() not in readable_extensions():
            raise Problem(
                f"{path} is in no format that is understood",
                do=f"give {', '.join(sorted(readable_extensions()))}",
            )
        return [path]
    folder = path / "images" if (path / "images").is_dir() else path
    found = sorted(
        (f for f in folder.glob(files) if f.is_file() and f.suffix.lower() in readable_extensions()),
        key=lambda f: [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", f.name)],
    )
    if not found and folder == path:
        below = sorted(f for f in path.iterdir() if f.is_dir() and f.name != "masks" and not f.name.startswith("."))
        classes = [f for f in below if any(g.suffix.lower() in readable_extensions() for g in f.glob(files))]
        found = [file for f in classes for file in image_files(f, files)]
    if not found:
        raise Problem(
            f"there are no images in {folder}" + (f" that match '{files}'" if files != "*" else ""),
            do=f"put {', '.join(sorted(readable_extensions()))} files there",
        )
    return found


def write_images(images: ImageSet, folder: Path, *, extension: str | Sequence[str] | None = None) -> Path:
    """Write a set: ``images/`` with ``manifest.json``, and ``masks/`` where the pictures have masks.

    Args:
        images: what to write. Pixel type, intensity scale and pixel size are kept.
        folder: made where needed; images/ and masks/ in it are replaced, each whole or not at all. Masks are 8 bit
            PNG files, 255 in the phase of interest.
        extension: ".png" or ".tif", for all or one an image; by default PNG for 8 bit and TIFF for the rest.

    Returns:
        The folder.

    Raises:
        Problem: no room, no right to write, or a format that cannot hold the pixels.
    """
    pixel_type = images[0].pixels.dtype.name
    extension = extension or default_extension(pixel_type)
    extensions = [extension] * len(images) if isinstance(extension, str) else list(extension)
    writers = [require_format(one, pixel_type) for one in extensions]
    require_space(folder, 2 * sum(p.pixels.nbytes for p in images), f"writing {len(images)} images")
    names = _names(len(images))
    files = [f"{name}{one}" for name, one in zip(names, extensions, strict=True)]
    masks = [replace(p, pixels=255 * p.mask[None].astype(np.uint8), mask=None) for p in images if p.mask is not None]
    if masks and len(masks) < len(images):
        raise Problem(f"only {len(masks)} of {len(images)} images have a mask", do="give all of them one, or none")
    if (folder / "masks").exists():
        shutil.rmtree(folder / "masks")  # of the images that were here before: never beside others
    write_folder_whole(folder / "images", partial(_write_set, images, files, writers))
    if masks:
        of_masks = [f"{name}.png" for name in names]
        png = [_format_of(".png")] * len(masks)
        write_folder_whole(folder / "masks", partial(_write_set, Pictures(masks), of_masks, png))
    return folder


def write_captions(images: ImageSet, folder: Path) -> Path:
    """Write the captions of a set as a table that a person can change, above what ``write_images`` wrote there.

    Returns:
        The table. What it says goes before what the manifest says.
    """
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(("file", CAPTION))
    table.writerows((name, p.labels[CAPTION]) for name, p in zip(_names(len(images)), images, strict=True))
    write_text_whole(folder / CAPTIONS, lines.getvalue())
    return folder / CAPTIONS


def default_extension(pixel_type: str) -> str:
    """PNG for 8 bit, which every program reads; TIFF for the rest, which keeps type, scale and unit."""
    return ".png" if pixel_type == "uint8" else ".tif"


def require_format(extension: str, pixel_type: str) -> ModuleType:
    """The format that writes such pixels under such an ending.

    Raises:
        Problem: there is none.
    """
    writer = _format_of(extension)
    if pixel_type not in getattr(writer, "PIXEL_TYPES", ()):
        raise Problem(f"{extension} files cannot hold {pixel_type} pixels", do="choose .tif")
    return writer


def readable_extensions() -> set[str]:
    """File endings, with the dot, of all formats."""
    return {extension for module in _formats() for extension in module.EXTENSIONS}


def _names(count: int) -> list[str]:
    """What the files of so many images are called, without their ending."""
    digits = max(4, len(str(count - 1)))
    return [f"{i:0{digits}d}" for i in range(count)]


def _write_set(images: ImageSet, files: Sequence[str], writers: Sequence[ModuleType], folder: Path) -> None:
    entries = []
    for picture, name, writer in track(list(zip(images, files, writers, strict=True)), "Writing images"):
        write_whole(folder / name, partial(_write_picture, writer, picture))
        entries.append(
            ManifestEntry(
                file=name,
                specimen=picture.origin.specimen,
                source=picture.origin.source,
                slice=picture.origin.slice,
                region=picture.origin.region,
                spacing_um=stored_spacing(picture.spacing_um),
                labels=dict(picture.labels),
            )
        )
    manifest = Manifest(fingerprint=images.fingerprint, pictures=tuple(entries))
    write_text_whole(folder / MANIFEST, manifest.model_dump_json(indent=1))


def _write_picture(writer: ModuleType, picture: Picture, path: Path) -> None:
    writer.write(path, picture.pixels, picture.spacing_um)


def _manifest_entries(folder: Path) -> dict[str, ManifestEntry]:
    file = folder / MANIFEST
    if not file.exists():
        return {}
    try:
        manifest = Manifest.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (ValidationError, ValueError):
        raise Problem(f"{file} is not a manifest that this version reads", do="remove it or restore it") from None
    return {entry.file: entry for entry in manifest.pictures}


def _read_planes(file: Path, axis: int) -> list[Plane]:
    try:
        planes: list[Plane] = _format_of(file.suffix).read(file, axis)
    except PermissionError:
        raise Problem(f"{file} may not be read", do="ask for the right to read it") from None
    except UnreadableImageError as error:
        raise Problem(f"{file} {error}", do=error.do) from None
    for plane in planes:
        if plane.pixels.dtype.kind == "f":
            missing = int(np.count_nonzero(~np.isfinite(plane.pixels)))
            if missing:
                where = f"{file}" + (f", slice {plane.slice}" if plane.slice is not None else "")
                raise Problem(
                    f"{where} has {missing:,} pixels that are NaN or infinite",
                    do="fill or crop them before use",
                )
    return planes


def _kept_on_disk(files: Sequence[Path]) -> dict[Path, VolumeFile]:
    """Those of the files of a set that stay on disk, opened: all that can, where the whole is large; else none."""
    able = [file for file in files if hasattr(_format_of(file.suffix), "open_volume")]
    if sum(stored_bytes(file) for file in able) * _MOST_COMPRESSED <= IN_MEMORY_BYTES:
        return {}
    opened = {file: VolumeFile(file, _format_of(file.suffix)) for file in able}
    return opened if sum(volume.nbytes for volume in opened.values()) > IN_MEMORY_BYTES else {}


def _stored_planes(volume: VolumeFile, axis: int) -> list[Plane]:
    """The slices of a volume that stays on disk.

    Raises:
        Problem: float pixels that are no numbers; to know it, they are all looked at once.
    """
    if volume.dtype.kind == "f" and (missing := volume.grey_levels().not_numbers):
        raise Problem(
            f"{volume.path} has {missing:,} pixels that are NaN or infinite", do="fill or crop them before use"
        )
    if volume.shape[0] == 1:
        return [Plane(as_pixels(StoredPixels(volume, 0, 0)), volume.spacing_um[1:])]
    spacing = [s for i, s in enumerate(volume.spacing_um) if i != axis]
    return [
        Plane(as_pixels(StoredPixels(volume, axis, k)), (spacing[0], spacing[1]), slice=k)
        for k in range(volume.shape[axis])
    ]


def _brightest(mask: NDArray[np.generic]) -> float:
    on_disk = stored(mask)
    return float(mask.max()) if on_disk is None else on_disk.file.grey_levels().high


def _above(mask: NDArray[np.generic], level: float) -> NDArray[np.bool_]:
    """Where a mask ``(channels, height, width)`` is above a level, in its brightest channel."""
    on_disk = stored(mask)
    return mask.max(axis=0) > level if on_disk is None else as_mask(StoredMask(on_disk, level))


def _mask_files(folder: Path) -> dict[str, Path]:
    """The masks beside a folder of images, by the names of the files without their endings."""
    beside = folder.parent / "masks"
    if folder.name != "images" or not beside.is_dir():
        return {}
    return {f.stem: f for f in beside.iterdir() if f.is_file() and f.suffix.lower() in readable_extensions()}


def _read_masks(mask_file: Path, planes: Sequence[Plane], file: Path, axis: int) -> list[NDArray[np.generic]]:
    """Grey levels of the mask of each plane, ``(channels, height, width)``; on disk where its image is."""
    if planes and stored(planes[0].pixels) is not None and hasattr(_format_of(mask_file.suffix), "open_volume"):
        found = [plane.pixels for plane in _stored_planes(VolumeFile(mask_file, _format_of(mask_file.suffix)), axis)]
    else:
        found = [plane.pixels.max(axis=0, keepdims=True) for plane in _read_planes(mask_file, axis)]
    sizes, expected = [m.shape[1:] for m in found], [p.pixels.shape[1:] for p in planes]
    if sizes != expected:
        raise Problem(f"{mask_file} does not fit {file}: {sizes[:1]} and {expected[:1]} pixels", do="replace the mask")
    return found


def _picture(
    file: Path,
    plane: Plane,
    entry: ManifestEntry | None,
    expression: re.Pattern[str] | None,
    pixel_size_um: float | None,
    shrink: int,
) -> Picture:
    spacing = plane.spacing_um
    labels: dict[str, Label] = {}
    origin = Origin(file.stem, file.name, plane.slice)
    if entry is not None:
        spacing = spacing_from_stored(entry.spacing_um)
        labels = dict(entry.labels)
        origin = Origin(entry.specimen, entry.source or file.name, entry.slice, entry.region)
    labels["file"] = file.name
    if expression is not None:
        match = expression.search(file.name)
        if match is None:
            raise Problem(
                f"the specimen pattern '{expression.pattern}' finds nothing in {file.name}",
                do="change the pattern",
            )
        origin = replace(origin, specimen="-".join(group for group in match.groups() if group) or match.group(0))
    if pixel_size_um is not None:
        spacing = (pixel_size_um, pixel_size_um)
    pixels = plane.pixels
    if shrink > 1:
        pixels = _shrunk(pixels, shrink, file)
        spacing = (spacing[0] * shrink, spacing[1] * shrink)
        # A region is told in pixels of its source, and those have become larger.
        origin = replace(origin, source=f"{origin.source}, {shrink} times smaller", region=None)
    return Picture(pixels, spacing, origin, labels)


def _labelled(picture: Picture, labels: Mapping[str, Label], of_class: str | None, *, named: bool) -> Picture:
    """With what the table and the class folder say; files of equal names in two classes are two specimens."""
    labels = {**picture.labels, **labels, **({CLASS: of_class} if of_class is not None else {})}
    origin = picture.origin
    if of_class is not None and named:
        origin = replace(origin, specimen=f"{of_class}/{origin.specimen}", source=f"{of_class}/{origin.source}")
    return replace(picture, labels=labels, origin=origin)


def _in_grey(picture: Picture) -> Picture:
    on_disk = stored(picture.pixels)
    if on_disk is not None:
        return replace(picture, pixels=as_pixels(on_disk.in_grey()))
    luminance = picture.grey[None]
    rounded = np.rint(luminance) if picture.pixels.dtype.kind == "u" else luminance
    return replace(picture, pixels=rounded.astype(picture.pixels.dtype))


def _shrunk(pixels: NDArray[np.generic], factor: int, file: Path) -> NDArray[np.generic]:
    """Mean over squares of ``factor`` pixels, which is its own antialiasing; the rest is cut off."""
    channels, height, width = pixels.shape
    if min(height, width) < factor:
        raise Problem(f"{file} is only {height} x {width}", do=f"shrink by less than {factor}")
    on_disk = stored(pixels)
    if on_disk is not None:
        return as_pixels(on_disk.shrunk(factor))
    height, width = height // factor, width // factor
    squares = pixels[:, : height * factor, : width * factor].reshape(channels, height, factor, width, factor)
    mean = squares.mean(axis=(2, 4), dtype=np.float64)
    rounded: NDArray[np.generic] = np.rint(mean) if pixels.dtype.kind == "u" else mean
    return rounded.astype(pixels.dtype)


def _formats() -> list[ModuleType]:
    import morphogen.images.formats as package

    names = (
        m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in ("plane", "volume", "length_units")
    )
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def _format_of(extension: str) -> ModuleType:
    for module in _formats():
        if extension.lower() in module.EXTENSIONS:
            return module
    raise Problem(f"'{extension}' is no image format that is understood", do="choose .png or .tif")


def _expression(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern) if pattern is not None else None
    except re.error as error:
        raise Problem(f"the specimen pattern '{pattern}' is not a regular expression ({error})", do="mend it") from None
