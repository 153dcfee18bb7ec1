"""Raw pixels, which say nothing of themselves, with a header file beside them.

The header of ``scan.raw`` is ``scan.json``, ``scan.yaml``, ``scan.yml`` or ``scan.txt``, in JSON or YAML::

    {"shape": [1200, 2560, 2560], "type": "uint16", "byte_order": "little", "pixel_size_um": 8.0}
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from morphogen.images.formats.plane import Plane, UnreadableImageError
from morphogen.images.formats.stored_array import NUMBERS, StoredArray, damage_of, mapped, planes_of, sized
from morphogen.images.formats.volume import Volume
from morphogen.problems import as_problem

EXTENSIONS = (".raw",)
PIXEL_TYPES = NUMBERS
SEVERAL_FILES = EXTENSIONS
HEADERLESS = True

_HEADERS = (".json", ".yaml", ".yml", ".txt")
_HEADER_AT_MOST = 2**16
_BRACKETS_AT_MOST = 16
_EXAMPLE = '{"shape": [1200, 2560, 2560], "type": "uint16", "byte_order": "little", "pixel_size_um": 8.0}'


class RawHeader(BaseModel):
    """What a header file says of raw pixels.

    Attributes:
        shape: height and width, or depth, height and width.
        type: of a number.
        byte_order: of numbers of several bytes, which must say it.
        channels: interleaved, the last and fastest axis.
        offset: bytes before the first pixel.
        pixel_size_um: one size, or one an axis as in ``shape``, null where unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: list[Annotated[int, Field(ge=1, le=2**40)]]
    type: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
    byte_order: Literal["little", "big"] | None = None
    channels: Annotated[int, Field(ge=1, le=4)] = 1
    offset: Annotated[int, Field(ge=0, le=2**60)] = 0
    pixel_size_um: float | list[float | None] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> "RawHeader":
        if self.byte_order is None and not self.type.endswith("int8"):
            raise ValueError(f"{self.type} has several bytes: 'byte_order' must be little or big")
        if len(self.shape) not in (2, 3):
            raise ValueError("'shape' must be height and width, or depth, height and width")
        told = self.pixel_size_um if isinstance(self.pixel_size_um, list) else [self.pixel_size_um]
        if not all(size is None or (math.isfinite(size) and size > 0) for size in told):
            raise ValueError("'pixel_size_um' must be positive, or null where it is unknown")
        if isinstance(self.pixel_size_um, list) and len(self.pixel_size_um) != len(self.shape):
            raise ValueError("'pixel_size_um' must be one number, or one for each number of 'shape'")
        return self

    @property
    def spacing_um(self) -> tuple[float, float, float]:
        """Sizes of a pixel along z, y and x; NaN where unknown."""
        told = self.pixel_size_um
        sizes = told if isinstance(told, list) else [told] * len(self.shape)
        found = [math.nan if size is None else size for size in sizes]
        z, y, x = [math.nan, *found][-3:]
        return z, y, x


def read(path: Path, axis: int) -> list[Plane]:
    """All planes: one for an image, one a slice along ``axis`` for a volume."""
    return planes_of(open_volume(path), axis)


def parts(path: Path) -> list[Path]:
    """The header file."""
    return _headers(path)


def open_volume(path: Path, inside: str | None = None) -> Volume:
    """The pixels, mapped as the header says.

    Raises:
        UnreadableImageError: no header, or fewer pixels than it says.
        Problem: the header says what it may not.
    """
    if inside is not None:
        raise UnreadableImageError("holds one image", do="leave out what follows its name")
    header = _header(path)
    order = "" if header.byte_order is None else "<" if header.byte_order == "little" else ">"
    axes, shape = "zyx"[-len(header.shape) :], list(header.shape)
    if header.channels > 1:
        axes, shape = axes + "c", [*shape, header.channels]
    dtype = np.dtype(header.type).newbyteorder(order or "=")  # type: ignore[arg-type]
    return StoredArray(
        mapped(path, dtype, shape, header.offset, exactly=True), axes, header.spacing_um, what="raw file"
    )


def write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float]) -> None:
    """Write ``(channels, height, width)``, little endian, with a .json header beside it."""
    _write(path, pixels, spacing_um)


def write_volume(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, float, float]) -> None:
    """Write ``(channels, depth, height, width)`` alike."""
    _write(path, pixels, spacing_um)


def _write(path: Path, pixels: NDArray[np.generic], spacing_um: tuple[float, ...]) -> None:
    sizes = [s if math.isfinite(s) else None for s in spacing_um]
    header = RawHeader(
        shape=list(pixels.shape[1:]),
        type=pixels.dtype.name,  # type: ignore[arg-type]
        byte_order="little",
        channels=pixels.shape[0],
        pixel_size_um=sizes if any(sizes) else None,
    )
    path.with_suffix(".json").write_text(header.model_dump_json() + "\n", encoding="utf-8")
    np.ascontiguousarray(np.moveaxis(pixels, 0, -1), dtype=pixels.dtype.newbyteorder("<")).tofile(path)


def _headers(path: Path) -> list[Path]:
    return [path.with_suffix(ending) for ending in _HEADERS if path.with_suffix(ending).is_file()]


def _header(path: Path) -> RawHeader:
    found = _headers(path)
    if not found:
        raise UnreadableImageError(
            f"does not say what is in its {sized(path.stat().st_size)}",
            do=f"write beside it {path.with_suffix('.json').name} with its own numbers, as {_EXAMPLE}",
        )
    if len(found) > 1:
        raise UnreadableImageError(f"has {len(found)} headers, {' and '.join(f.name for f in found)}", do="keep one")
    (file,) = found
    with damage_of("raw file"):
        told = _told(file)
    try:
        return RawHeader.model_validate(told)
    except ValidationError as error:
        if not isinstance(told, dict) or not error.errors()[0]["loc"]:
            said = (
                error.errors()[0]["msg"].removeprefix("Value error, ")
                if isinstance(told, dict)
                else "no keys and values"
            )
            raise UnreadableImageError(
                f"has a header {file.name} that does not fit ({said})", do=f"write it as {_EXAMPLE}"
            ) from None
        raise as_problem(error, str(file), RawHeader) from None


def _told(file: Path) -> Any:
    """What a header file says: JSON, or YAML without references, which could stand for more than memory holds."""
    bad = f"has a header {file.name} that is neither JSON nor YAML"
    if file.stat().st_size > _HEADER_AT_MOST or file.is_symlink():
        raise UnreadableImageError(f"has no header in {file.name}, which is a link or too long")
    try:
        text = file.read_text(encoding="utf-8")
        if max(map(text.count, "[{")) > _BRACKETS_AT_MOST:
            raise UnreadableImageError(bad, do=f"write it as {_EXAMPLE}")
        if file.suffix == ".json":
            return json.loads(text)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise UnreadableImageError(bad, do=f"write it as {_EXAMPLE}")
        return yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        raise UnreadableImageError(bad, do=f"write it as {_EXAMPLE}") from None
