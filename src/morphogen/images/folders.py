"""Image sets on disk: reading a file, a volume or a folder, and writing a set with its manifest."""

import csv
import io
import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from morphogen.images.conditions import CAPTION
from morphogen.images.endings import (
    ending_of,
    format_of,
    is_image,
    named_once,
    place_of,
    readable_extensions,
    stem_of,
    writable_extensions,
)
from morphogen.images.formats.plane import Plane, UnreadableImageError
from morphogen.images.formats.stored_array import OTHER_STACKS, planes_of
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.labels import CAPTIONS, CLASS, LABELS, labels_of
from morphogen.images.picture import SCALED, Label, Origin, Picture, spacing_from_stored, stored_spacing
from morphogen.images.stored_pixels import StoredMask, StoredPixels, as_mask, as_pixels, stored
from morphogen.images.volume_file import VolumeFile, stored_bytes
from morphogen.problems import Problem, printable
from morphogen.progress import track
from morphogen.whole_files import require_space, write_folder_whole, write_text_whole, write_whole

MANIFEST = "manifest.json"

IN_MEMORY_BYTES = 2**30
"""Pixels of a set that are read into memory at once, in bytes; of larger sets all that can stay on disk does.

A fixed number and no share of the memory that a machine has: the same set has the same fingerprint everywhere.
"""

_MOST_COMPRESSED = 64  # how many times smaller the files of a large set may be than its pixels


class ManifestEntry(BaseModel):
    """What the manifest knows of one file, or of one slice of a stack, that the file itself cannot say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    specimen: str
    source: str = ""
    slice: int | None = None
    region: tuple[int, int, int, int] | None = None
    spacing_um: tuple[float | None, float | None]
    labels: dict[str, str | float] = {}


class Manifest(BaseModel):
    """``manifest.json``: the set's fingerprint and one entry an image, in order; those of a stack name one file."""

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
    """Read an image, a volume or a folder of images, checked.

    Sets of at most ``IN_MEMORY_BYTES`` of pixels are read whole. Of larger ones, whatever is in a format that can be
    read by blocks stays on disk, and is read where it is looked at (``stored_pixels``).

    Args:
        path: image file, volume, or folder of them; ``scan.h5:/path/inside`` names what is read of a file that holds
            several, and of each file of a folder. A folder with a sub-folder ``images`` stands
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
        Problem: missing or empty folder, unreadable file, NaN pixels, mixed kinds, a table that names no image, or a
            link that leaves the folder.
    """
    path, inside = place_of(Path(path))
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
    for folder in folders:
        _require_no_way_out(folder, path)
    entries = {folder: manifest_entries(folder) for folder in folders}
    labels = labels_of(found, path)
    masks = {folder: mask_files(folder) for folder in folders}
    pictures: list[Picture] = []
    levels: list[NDArray[np.generic] | None] = []
    brightest = 0.0
    on_disk = _kept_on_disk(found, inside)
    for file in track(found, f"Reading {printable(path.name)}"):
        known = entries[file.parent].get(file.name, ())
        mask_file = masks[file.parent].get(stem_of(file))
        planes = _read_planes(file, axis, inside) if file not in on_disk else _stored_planes(on_disk[file], axis)
        drawn = _read_masks(mask_file, planes, file, axis) if mask_file is not None else [None] * len(planes)
        if len(known) > 1 and len(known) != len(planes):
            raise Problem(
                f"{file} has {len(planes)} slices and its manifest {len(known)}", do="restore the one or the other"
            )
        for k, (plane, mask) in enumerate(zip(planes, drawn, strict=True)):
            entry = known[k if len(known) > 1 else 0] if known else None
            picture = _picture(file, plane, entry, expression, pixel_size_um, shrink)
            if inside is not None:
                picture = replace(picture, origin=replace(picture.origin, source=f"{picture.origin.source}:{inside}"))
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
    """The image files at a path, in natural order of their names; a store of Zarr, which is a folder, counts as a file.

    Raises:
        Problem: nothing there, nothing that is an image, a name with control characters, or a link that leaves the
            folder.
    """
    if not path.exists():
        raise Problem(f"there is no file or folder {path}", do="check the path")
    if path.is_file() or is_image(path):
        if not is_image(path):
            raise Problem(f"{path} is in no format that is understood", do=f"give {named_once(readable_extensions())}")
        _require_printable(path)
        return [path]
    return _files_of(path, path, files)


def _files_of(path: Path, root: Path, files: str) -> list[Path]:
    folder = path / "images" if (path / "images").is_dir() else path
    _require_within(folder, root)
    there = [f for f in folder.glob(files) if ending_of(f) in readable_extensions()]
    for file in there:
        if file.is_symlink() and not file.exists():
            raise Problem(f"{file} is a link that leads nowhere", do="remove it, or restore what it led to")
    found = sorted(
        (f for f in there if is_image(f)),
        key=lambda f: [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", f.name)],
    )
    for file in found:
        _require_printable(file.relative_to(root))
        if file.is_symlink():
            _require_within(file, root)
    parts = {part.resolve() for file in found for part in _parts(file)}
    found = [f for f in found if not (getattr(format_of(ending_of(f)), "HEADERLESS", False) and f.resolve() in parts)]
    if not found and folder == path == root:
        below = sorted(f for f in path.iterdir() if f.is_dir() and f.name != "masks" and not f.name.startswith("."))
        for place in below:
            _require_within(place, root)
        classes = [f for f in below if any(is_image(g) for g in f.glob(files))]
        found = [file for f in classes for file in _files_of(f, root, files)]
    if not found:
        raise Problem(
            f"there are no images in {folder}" + (f" that match '{files}'" if files != "*" else ""),
            do=f"put {named_once(readable_extensions())} files there",
        )
    return found


def _parts(file: Path) -> list[Path]:
    """Files that belong to a header and are no images of their own; a damaged header is told of where it is read."""
    try:
        parts: list[Path] = getattr(format_of(ending_of(file)), "parts", lambda _: [])(file)
        return [part for part in parts if part.is_file()]
    except (UnreadableImageError, OSError, ValueError):
        return []


def _require_printable(name: Path) -> None:
    if not str(name).isprintable():
        raise Problem(f"the name of {printable(str(name))} has characters that cannot be printed", do="rename it")


def _require_within(file: Path, root: Path) -> None:
    if not file.resolve().is_relative_to(root.resolve()):
        raise Problem(f"{file} is a symbolic link that leaves {root}", do="copy what it leads to, or name that instead")


def _require_no_way_out(folder: Path, path: Path) -> None:
    """Refuse a manifest, tables or masks that are links to elsewhere."""
    root = folder.parent if folder.name == "images" else path if path.is_dir() else folder
    for place in (folder, folder.parent) if folder.name == "images" else (folder,):
        for name in (MANIFEST, LABELS, CAPTIONS, "masks"):
            if (place / name).is_symlink():
                _require_within(place / name, root)


def write_images(
    images: ImageSet,
    folder: Path,
    *,
    extension: str | Sequence[str] | None = None,
    stored_as: str | None = None,
    as_stack: bool = False,
) -> Path:
    """Write a set: ``images/`` with ``manifest.json``, and ``masks/`` where the pictures have masks.

    Args:
        images: what to write. Pixel type, intensity scale and pixel size are kept.
        folder: made where needed; images/ and masks/ in it are replaced, each whole or not at all. Masks are 8 bit
            PNG files, 255 in the phase of interest.
        extension: an ending as ".png" or ".nii.gz", for all or one an image; by default PNG for 8 bit and TIFF for the
            rest.
        stored_as: type of number in the files, where it is another than that of the pixels, as "int16" for float32
            pixels; they are rounded and cut off to what it holds.
        as_stack: write all into one file, ``stack`` with the extension, TIFF by default; masks too, as TIFF. The
            distance of the slices is unknown.

    Returns:
        The folder.

    Raises:
        Problem: no room, no right to write, or a format that cannot hold the pixels.
    """
    images = _rounded(images, stored_as)
    pixel_type = stored_as or images[0].pixels.dtype.name
    extension = extension or (".tif" if as_stack else default_extension(pixel_type))
    extensions = [extension] * len(images) if isinstance(extension, str) else list(extension)
    writers = [require_format(one, pixel_type, as_stack=as_stack) for one in extensions]
    require_space(folder, 2 * sum(p.pixels.nbytes for p in images), f"writing {len(images)} images")
    names = _names(len(images))
    files = [f"{name}{one}" for name, one in zip(names, extensions, strict=True)]
    masks = [replace(p, pixels=255 * p.mask[None].astype(np.uint8), mask=None) for p in images if p.mask is not None]
    if masks and len(masks) < len(images):
        raise Problem(f"only {len(masks)} of {len(images)} images have a mask", do="give all of them one, or none")
    if as_stack:
        _require_stackable(images)
    if (folder / "masks").exists():
        shutil.rmtree(folder / "masks")  # of the images that were here before: never beside others
    if as_stack:
        write_folder_whole(folder / "images", partial(_write_stack, images, extensions[0], writers[0], pixel_type))
        if masks:
            tiff = format_of(".tif")
            write_folder_whole(folder / "masks", partial(_write_stack, Pictures(masks), ".tif", tiff, "uint8"))
        return folder
    write_folder_whole(folder / "images", partial(_write_set, images, files, writers, pixel_type))
    if masks:
        of_masks = [f"{name}.png" for name in names]
        png = [format_of(".png")] * len(masks)
        write_folder_whole(folder / "masks", partial(_write_set, Pictures(masks), of_masks, png, "uint8"))
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


def require_format(extension: str, pixel_type: str, *, as_stack: bool = False) -> ModuleType:
    """The format that writes such pixels under such an ending, as images or as stacks of them.

    Raises:
        Problem: there is none.
    """
    writer = format_of(extension)
    if as_stack and getattr(writer, "ONE_UNIT", False):
        raise Problem(
            f"{extension} files must say how far apart slices are, and images made one by one are at no distance",
            do=OTHER_STACKS,
        )
    able = writable_extensions(pixel_type, as_stack=as_stack)
    if extension.lower() not in able:
        raise Problem(
            f"{extension} files cannot hold {'a stack of ' if as_stack else ''}{pixel_type} pixels",
            do=f"choose {named_once(able)}",
        )
    return writer


def _names(count: int) -> list[str]:
    """What the files of so many images are called, without their ending."""
    digits = max(4, len(str(count - 1)))
    return [f"{i:0{digits}d}" for i in range(count)]


def _write_set(
    images: ImageSet, files: Sequence[str], writers: Sequence[ModuleType], pixel_type: str, folder: Path
) -> None:
    entries = []
    for picture, name, writer in track(list(zip(images, files, writers, strict=True)), "Writing images"):
        write = partial(
            writer.write, pixels=picture.pixels.astype(pixel_type), spacing_um=picture.spacing_um,
            **_note_of(picture, writer),
        )  # fmt: skip
        if ending_of(name) in getattr(writer, "SEVERAL_FILES", ()):
            write(folder / name)  # the folder is moved to its place when all of it is written
        else:
            write_whole(folder / name, write)
        entries.append(_entry(name, picture))
    _write_manifest(images, entries, folder)


def _write_stack(images: ImageSet, extension: str, writer: ModuleType, pixel_type: str, folder: Path) -> None:
    """One file with all images as its slices; the manifest has an entry for each, in order."""
    file = folder / f"stack{extension}"
    stack = np.stack([picture.pixels for picture in images], axis=1).astype(pixel_type)
    writer.write_volume(file, stack, (math.nan, *images[0].spacing_um), **_note_of(images[0], writer))
    _write_manifest(images, [_entry(file.name, picture) for picture in images], folder)


def _note_of(picture: Picture, writer: ModuleType) -> dict[str, str]:
    """What a file itself says of its grey levels, where they are not those of the source and its format can say it."""
    said = str(picture.labels.get(SCALED, ""))
    return {"note": said} if said and getattr(writer, "NOTES", False) else {}


def _entry(name: str, picture: Picture) -> ManifestEntry:
    return ManifestEntry(
        file=name,
        specimen=picture.origin.specimen,
        source=picture.origin.source,
        slice=picture.origin.slice,
        region=picture.origin.region,
        spacing_um=stored_spacing(picture.spacing_um),
        labels=dict(picture.labels),
    )


def _write_manifest(images: ImageSet, entries: Sequence[ManifestEntry], folder: Path) -> None:
    manifest = Manifest(fingerprint=images.fingerprint, pictures=tuple(entries))
    write_text_whole(folder / MANIFEST, manifest.model_dump_json(indent=1))


def _rounded(images: ImageSet, stored_as: str | None) -> ImageSet:
    """The pictures with the numbers that files of such a type hold."""
    kept = images[0].pixels.dtype
    if stored_as is None or np.dtype(stored_as) == kept:
        return images
    if kept != np.float32:
        raise Problem(f"the images are {kept} and cannot be stored as {stored_as}", do="leave their type as it is")
    if np.dtype(stored_as).kind == "f":
        return images
    limits = np.iinfo(stored_as)
    low, high = max(limits.min, -(2**24)), min(limits.max, 2**24)  # beyond, float32 knows no odd numbers
    return Pictures(replace(p, pixels=np.clip(np.rint(p.pixels), low, high)) for p in images)


def _require_stackable(images: ImageSet) -> None:
    for what, kinds in (
        ("sizes", {picture.size for picture in images}),
        ("pixel sizes", {stored_spacing(picture.spacing_um) for picture in images}),
    ):
        if len(kinds) > 1:
            raise Problem(f"images of different {what} make no stack", do="write one file an image")


def manifest_entries(folder: Path) -> dict[str, list[ManifestEntry]]:
    """What the manifest of a folder says, by file: an entry, or one a slice of a stack.

    Raises:
        Problem: it is no manifest that this version reads.
    """
    file = folder / MANIFEST
    if not file.exists():
        return {}
    try:
        manifest = Manifest.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (ValidationError, ValueError, RecursionError):
        raise Problem(f"{file} is not a manifest that this version reads", do="remove it or restore it") from None
    entries: dict[str, list[ManifestEntry]] = {}
    for entry in manifest.pictures:
        entries.setdefault(entry.file, []).append(entry)
    return entries


def _read_planes(file: Path, axis: int, inside: str | None = None) -> list[Plane]:
    module = format_of(ending_of(file))
    try:
        if inside is None:
            planes: list[Plane] = module.read(file, axis)
        elif not hasattr(module, "open_volume"):
            raise UnreadableImageError("holds one image", do="leave out what follows its name")
        else:
            volume = module.open_volume(file, inside)
            planes = planes_of(volume, axis)
            volume.close()
    except PermissionError:
        raise Problem(f"{file} may not be read", do="ask for the right to read it") from None
    except MemoryError:
        raise Problem(f"{file} needs more memory than there is", do="cut it into smaller files") from None
    except UnreadableImageError as error:
        raise Problem(f"{file} {error}", do=error.do) from None
    for plane in planes:
        if plane.pixels.size == 0:
            raise Problem(f"{file} has no pixels", do="replace or remove it")
        if plane.pixels.dtype.kind == "f":
            missing = int(np.count_nonzero(~np.isfinite(plane.pixels)))
            if missing:
                where = f"{file}" + (f", slice {plane.slice}" if plane.slice is not None else "")
                raise Problem(
                    f"{where} has {missing:,} pixels that are NaN or infinite",
                    do="fill or crop them before use",
                )
    return planes


def _kept_on_disk(files: Sequence[Path], inside: str | None) -> dict[Path, VolumeFile]:
    """Those of the files of a set that stay on disk, opened: all that can, where the whole is large; else none."""
    able = [file for file in files if hasattr(format_of(ending_of(file)), "open_volume")]
    if sum(stored_bytes(part) for file in able for part in (file, *_parts(file))) * _MOST_COMPRESSED <= IN_MEMORY_BYTES:
        return {}
    opened = {file: VolumeFile(file, format_of(ending_of(file)), inside) for file in able}
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


def mask_files(folder: Path) -> dict[str, Path]:
    """The masks beside a folder of images, by the names of the files without their endings.

    Raises:
        Problem: one is a link that leaves the folder.
    """
    beside = folder.parent / "masks"
    if folder.name != "images" or not beside.is_dir():
        return {}
    found = {stem_of(f): f for f in sorted(beside.iterdir()) if is_image(f)}
    for file in found.values():
        _require_within(file, folder.parent)
    return found


def _read_masks(mask_file: Path, planes: Sequence[Plane], file: Path, axis: int) -> list[NDArray[np.generic]]:
    """Grey levels of the mask of each plane, ``(channels, height, width)``; on disk where its image is."""
    if planes and stored(planes[0].pixels) is not None and hasattr(format_of(ending_of(mask_file)), "open_volume"):
        found = [plane.pixels for plane in _stored_planes(VolumeFile(mask_file, format_of(ending_of(mask_file))), axis)]
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
    origin = Origin(stem_of(file), file.name, plane.slice)
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


def _expression(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern) if pattern is not None else None
    except re.error as error:
        raise Problem(f"the specimen pattern '{pattern}' is not a regular expression ({error})", do="mend it") from None
