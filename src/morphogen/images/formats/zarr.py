"""Zarr and OME-Zarr, stores of format 2 and 3 in folders, through the library zarr.

Of an image with several resolutions (Next-Generation File Formats 0.1 to 0.5, "multiscales") the finest is read, and
its pixel size is the scale of the data set times that of the image, where the axes have a unit of length. A store can
also be a single array, or one named as ``scan.zarr:/path/inside``.

What a store says is checked before zarr opens it. Among its codecs is pickle, which executes what it reads: only
codecs are admitted that turn bytes into bytes or numbers. No path or link may leave the folder, and no chunk may hold
or inflate to more than a chunk has. A missing chunk is the fill value, as the specification says; if all are missing,
there is no image.
"""

import bz2
import json
import lzma
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from morphogen.images.formats.length_units import length_um
from morphogen.images.formats.plane import Plane, UnreadableImageError
from morphogen.images.formats.stored_array import (
    DEFLATED_AT_MOST,
    NUMBERS,
    StoredArray,
    axes_of,
    damage_of,
    planes_of,
    require_memory,
    require_pixels,
    sized,
)
from morphogen.images.formats.volume import Volume

if TYPE_CHECKING:
    from zarr.storage import LocalStore

EXTENSIONS = (".zarr", ".ome.zarr")
FOLDERS = True
SEVERAL_FILES = EXTENSIONS
PIXEL_TYPES = NUMBERS

_WHAT = "Zarr store"
_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_METADATA_AT_MOST = 2**24
_COMPRESSORS = frozenset({"blosc", "gzip", "zlib", "zstd", "lz4", "bz2", "lzma"})
_HARMLESS = frozenset({"bytes", "transpose", "crc32c", "crc32", "adler32", "fletcher32", "shuffle", "delta",
                       "fixedscaleoffset", "packbits", "bitround", "sharding_indexed"})  # fmt: skip
_SMALL = 2**26
"""What a chunk may inflate to without being looked at first."""

_OLD_AXES = ("t", "c", "z", "y", "x")


@dataclass(frozen=True, slots=True)
class _Array:
    """What the metadata says of an array."""

    path: str
    format: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    codecs: tuple[str, ...]
    names: tuple[str, ...] | None

    @property
    def chunk_bytes(self) -> int:
        return math.prod(self.chunks) * self.dtype.itemsize


def read(path: Path, axis: int) -> list[Plane]:
    """All planes of the array that ``open_volume`` finds."""
    return planes_of(open_volume(path), axis)


def open_volume(path: Path, inside: str | None = None) -> Volume:
    """An array, opened: the finest of an image, or the one that is named.

    Raises:
        UnreadableImageError: no store, damaged, several that may be meant, or what may not be opened.
    """
    with damage_of(_WHAT):
        array, axes, spacing = _image(path, "/".join(p for p in (inside or "").split("/") if p), path.name)
        _require_sane(array)
        if not _has_chunks(path, array):
            raise UnreadableImageError("has no chunks: nothing was written into it")
        import zarr

        store = _confined(path, array)
        opened = zarr.open_array(store, path=array.path or None, mode="r", zarr_format=array.format)
        if opened.shape != array.shape or opened.dtype != array.dtype:
            raise UnreadableImageError("contradicts itself in what its array is")
    return StoredArray(opened, axes, spacing, what=_WHAT)


def write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float]) -> None:
    """Write ``(channels, height, width)`` as OME-Zarr 0.4, which napari and Fiji open."""
    _write(path, pixels, "cyx", (math.nan, *spacing_um))


def write_volume(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float, float]) -> None:
    """Write ``(channels, depth, height, width)`` alike; an axis without a unit has an unknown spacing."""
    _write(path, pixels, "czyx", spacing_um)


def _write(path: Path, pixels: NDArray[np.generic], axes: str, spacing_um: tuple[float, float, float]) -> None:
    import zarr

    if pixels.shape[0] == 1:
        pixels, axes = pixels[0], axes[1:]
    sizes = dict(zip("zyx", spacing_um, strict=True)) | {"c": math.nan}
    named = [
        {"name": a, "type": "channel" if a == "c" else "space"}
        | ({"unit": "micrometer"} if math.isfinite(sizes[a]) else {})
        for a in axes
    ]
    scale = [sizes[a] if math.isfinite(sizes[a]) else 1.0 for a in axes]
    group = zarr.open_group(path, mode="w", zarr_format=2)
    chunks = tuple(min(n, 1 if a == "c" else 64 if a == "z" else 256) for n, a in zip(pixels.shape, axes, strict=True))
    group.create_array("0", data=np.ascontiguousarray(pixels), chunks=chunks,
                       chunk_key_encoding={"name": "v2", "separator": "/"})  # fmt: skip
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": named,
            "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
        }
    ]


def _image(root: Path, place: str, name: str) -> tuple[_Array, str, tuple[float, float, float]]:
    """The array to read at a place, its axes and its spacing."""
    node = _node(root, place)
    if node is None:
        if not place:
            raise UnreadableImageError(
                f"is no {_WHAT}, whatever its name says: it has no zarr.json, .zarray or .zgroup"
            )
        raise UnreadableImageError(f"has nothing at /{place}", do=f"choose one of {_listed(root)}")
    kind, metadata, attributes = node
    if kind == "array":
        array = _array(place, metadata, attributes)
        return array, _axes_by_name(array) if array.names else axes_of(array.shape), (math.nan, math.nan, math.nan)
    told = attributes.get("ome", attributes)
    if told.get("multiscales"):
        return _finest(root, place, told["multiscales"][0])
    if "bioformats2raw.layout" in told and _node(root, f"{place}/1".strip("/")) is None:
        return _image(root, f"{place}/0".strip("/"), name)
    arrays = _arrays(root, place)
    if len(arrays) == 1:
        return _image(root, arrays[0], name)
    if not arrays:
        raise UnreadableImageError("has no array in it")
    raise UnreadableImageError(f"has several arrays: {_listed(root)}", do=f"choose one, as {name}:/{arrays[0]}")


def _finest(root: Path, place: str, image: Mapping[str, Any]) -> tuple[_Array, str, tuple[float, float, float]]:
    """The finest resolution of an image, whichever of its data sets that is."""
    found: list[tuple[_Array, Mapping[str, Any]]] = []
    for dataset in image["datasets"]:
        where = "/".join(filter(None, (place, str(dataset["path"]))))
        node = _node(root, where)
        if node is None or node[0] != "array":
            raise UnreadableImageError(f"names an array /{where} that is not there")
        found.append((_array(where, node[1], node[2]), dataset))
    array, dataset = max(found, key=lambda one: math.prod(one[0].shape))
    told = image.get("axes") or _OLD_AXES
    axes = [a if isinstance(a, Mapping) else {"name": a} for a in told]
    if len(axes) != len(array.shape):
        raise UnreadableImageError(f"names {len(axes)} axes of an array that has {len(array.shape)}")
    scale = [1.0] * len(axes)
    for transformation in (*dataset.get("coordinateTransformations", ()), *image.get("coordinateTransformations", ())):
        if transformation.get("type") == "scale" and "scale" in transformation:
            scale = [a * float(b) for a, b in zip(scale, transformation["scale"], strict=True)]
    names = tuple(str(a["name"]).lower() for a in axes)
    sizes = {n: length_um(s, a.get("unit", "")) for n, s, a in zip(names, scale, axes, strict=True)}
    letters = _letters(names, array.shape)
    return array, letters, (sizes.get("z", math.nan), sizes.get("y", math.nan), sizes.get("x", math.nan))


def _axes_by_name(array: _Array) -> str:
    names = tuple(str(n).lower() for n in array.names or ())
    return _letters(names, array.shape) if {"y", "x"} <= set(names) else axes_of(array.shape)


def _letters(names: tuple[str, ...], shape: tuple[int, ...]) -> str:
    """A letter an axis, as ``StoredArray`` takes them."""
    if not {"y", "x"} <= set(names) or len(set(names)) < len(names):
        raise UnreadableImageError(f"has axes {', '.join(names)}; y and x are needed, each once")
    for name, length in zip(names, shape, strict=True):
        if name not in ("c", "z", "y", "x") and length != 1:
            raise UnreadableImageError(f"has {length} images along its axis {name}", do="write one of them out first")
    return "".join(name if name in ("c", "z", "y", "x") else "-" for name in names)


def _node(root: Path, place: str) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """What stands at a place of a store: "array" or "group", its metadata and its attributes."""
    if any(part in ("..", ".") for part in place.split("/")) or place.startswith("/") or "\\" in place:
        raise UnreadableImageError("names a path that leaves it", do="do not trust it")
    folder = root / place
    if (found := _json(root, folder / "zarr.json")) is not None:
        kind = found.get("node_type")
        if kind not in ("array", "group"):
            raise UnreadableImageError("has a zarr.json that is neither of an array nor of a group")
        return kind, found, dict(found.get("attributes") or {})
    attributes = _json(root, folder / ".zattrs") or {}
    for kind, name in (("array", ".zarray"), ("group", ".zgroup")):
        if (found := _json(root, folder / name)) is not None:
            return kind, found, attributes
    return None


def _json(root: Path, file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        if file.is_symlink():
            raise UnreadableImageError(f"has a link {file.name} that leads nowhere")
        return None
    _require_within(root, file)
    if file.stat().st_size > _METADATA_AT_MOST:
        raise UnreadableImageError(f"has a {file.name} of {sized(file.stat().st_size)}")
    found = json.loads(file.read_bytes())
    if not isinstance(found, dict):
        raise UnreadableImageError(f"has a {file.name} that is no object")
    return found


def _require_within(root: Path, file: Path) -> None:
    if not os.path.realpath(file).startswith(os.path.join(os.path.realpath(root), "")):
        raise UnreadableImageError("has a symbolic link that leaves it", do="copy there what it points at")


def _array(place: str, metadata: Mapping[str, Any], attributes: Mapping[str, Any]) -> _Array:
    """The metadata of an array, with its codecs admitted."""
    form = int(metadata["zarr_format"])
    shape = tuple(int(n) for n in metadata["shape"])
    chunks: Any
    if form == 2:
        dtype = np.dtype(_text(metadata["dtype"]))
        chunks = metadata["chunks"]
        codecs = [c for c in (metadata.get("compressor"), *(metadata.get("filters") or ())) if c is not None]
        names = [str(codec["id"]) for codec in codecs]
        told = attributes.get("_ARRAY_DIMENSIONS")
    else:
        dtype = np.dtype(_text(metadata["data_type"]))
        chunks = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        names = list(_codec_names(metadata["codecs"]))
        told = metadata.get("dimension_names")
    if dtype.kind not in "biuf":
        raise UnreadableImageError(f"has pixels of type {dtype}, which are no grey levels")
    for name in names:
        if name.removeprefix("numcodecs.") not in _COMPRESSORS | _HARMLESS:
            raise UnreadableImageError(f"needs the codec '{name}', which is not admitted", do="write it with another")
    named = tuple(map(str, told)) if told and len(told) == len(shape) and all(told) else None
    return _Array(place, form, shape, dtype, tuple(int(n) for n in chunks), tuple(names), named)


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise UnreadableImageError("has pixels of several parts, which are no grey levels")
    return told


def _codec_names(codecs: Any) -> Iterator[str]:
    for codec in codecs:
        yield str(codec["name"])
        inner = (codec.get("configuration") or {}) if isinstance(codec, Mapping) else {}
        for key in ("codecs", "index_codecs"):
            yield from _codec_names(inner.get(key, ()))


def _require_sane(array: _Array) -> None:
    require_pixels(array.shape)
    require_pixels(array.chunks)
    if len(array.chunks) != len(array.shape):
        raise UnreadableImageError("has chunks with other axes than its array")
    require_memory(array.chunk_bytes)
    count = math.prod(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))
    if count > 10**6 and math.prod(array.chunks) < 64:
        raise UnreadableImageError(f"is in {count:,} chunks of {math.prod(array.chunks)} pixels each")


def _has_chunks(root: Path, array: _Array) -> bool:
    for folder, _, files in os.walk(root / array.path):
        if any(name not in _METADATA for name in files):
            _require_within(root, Path(folder))
            return True
    return False


def _arrays(root: Path, place: str) -> list[str]:
    """Arrays in a group and its groups."""
    found: list[str] = []
    for folder in sorted(p for p in (root / place).iterdir() if p.is_dir() and not p.is_symlink()):
        where = folder.relative_to(root).as_posix()
        node = _node(root, where)
        if node is not None:
            found += [where] if node[0] == "array" else _arrays(root, where)
    return found


def _listed(root: Path) -> str:
    found = _arrays(root, "")
    more = f" and {len(found) - 6} more" if len(found) > 6 else ""
    return ", ".join(f"/{place}" for place in found[:6]) + more


def _confined(root: Path, array: _Array) -> "LocalStore":
    """The store of a folder that no key and no link leaves, and whose chunks are no larger than chunks are."""
    from zarr.storage import LocalStore

    at_most = 2 * array.chunk_bytes + 2**20  # a codec may add a little to what it cannot make smaller
    compressors = [c for c in array.codecs if c.removeprefix("numcodecs.") in _COMPRESSORS]
    check = compressors[-1].removeprefix("numcodecs.") if compressors and "sharding_indexed" not in array.codecs else ""

    class Confined(LocalStore):  # type: ignore[misc]
        async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
            file = self.root / key
            metadata = file.name in _METADATA or file.name == ".zmetadata"
            if file.exists():
                _require_within(self.root, file)
                if not metadata and byte_range is None and file.stat().st_size > at_most:
                    raise UnreadableImageError(f"has a chunk {key} of {sized(file.stat().st_size)}, which is too large")
            found = await super().get(key, prototype, byte_range)
            if found is not None and not metadata and check:
                _refuse_bomb(check, found.to_bytes(), array.chunk_bytes, key)
            return found

    return Confined(root, read_only=True)


def _refuse_bomb(codec: str, data: bytes, chunk_bytes: int, key: str) -> None:
    """Refuse a chunk that would inflate to more than eight times what a chunk has, before it does."""
    limit = max(8 * chunk_bytes, _SMALL)  # numbers may be wider before a filter narrows them
    declared = 0
    if codec == "blosc":
        declared = int.from_bytes(data[4:8], "little")
    elif codec == "lz4":
        declared = int.from_bytes(data[:4], "little")
    elif codec == "zstd":
        declared = _zstd_size(data) or _undeclared_zstd_size(data, limit)
    elif codec in ("gzip", "zlib") and len(data) * DEFLATED_AT_MOST > limit:
        declared = _inflated_size(zlib.decompressobj(wbits=47), data, limit)
    elif codec == "bz2":
        declared = _inflated_size(bz2.BZ2Decompressor(), data, limit)
    elif codec == "lzma":
        declared = _inflated_size(lzma.LZMADecompressor(), data, limit)
    if declared > limit:
        raise UnreadableImageError(f"has a chunk {key} that inflates to more than {sized(limit)}", do="do not trust it")


def _inflated_size(stream: Any, data: bytes, limit: int) -> int:
    """Bytes that a stream inflates to, counted and thrown away, until there are more than ``limit``."""
    size = 0
    while size <= limit and not stream.eof:
        part = stream.decompress(data, 2**20)
        size += len(part)
        data = getattr(stream, "unconsumed_tail", b"")
        if not part and not data:
            break
    return size


def _undeclared_zstd_size(data: bytes, limit: int) -> int:
    """Bytes of a frame that declares none, inflated into ``limit`` of them; one more if it does not fit."""
    import imagecodecs

    try:
        return len(imagecodecs.zstd_decode(data, out=limit))
    except imagecodecs.ZstdError:
        return limit + 1


def _zstd_size(data: bytes) -> int:
    """The content size that a Zstandard frame declares (RFC 8878, 3.1.1.1); 0 if it declares none."""
    if len(data) < 18 or data[:4] != b"\x28\xb5\x2f\xfd":
        return 0
    flags = data[4]
    width = (0, 2, 4, 8)[flags >> 6]
    single = flags >> 5 & 1
    if width == 0 and single:
        width = 1
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    return int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)
