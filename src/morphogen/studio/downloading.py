"""Downloads: one picture, or a whole set, as TIFF of 16 bit or of its own type, with the pixel size.

What is sent is what ``morphogen tiff`` writes, made in a folder of the workspace that is gone when it was sent. A set
is one ZIP file, packed while it is sent, and never whole in memory.
"""

import shlex
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, cast
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.images.sixteen_bit import tiff
from morphogen.studio.studio import Studio
from morphogen.studio.workspace import Thing

_EACH = 1 << 20  # bytes that are read of a file at a time

SetName = Annotated[str, Query(min_length=1, max_length=4096)]
Index = Annotated[int, Query(ge=0, le=10**9)]


class TiffCommand(BaseModel):
    """What to type in the workspace to have the same files."""

    command: str


def router(studio: Studio) -> APIRouter:
    """What is downloaded."""
    routes = APIRouter()
    studio.beginnings.append(lambda: shutil.rmtree(_above(studio), ignore_errors=True))  # of a server that was killed

    def found(name: str) -> Thing:
        return studio.workspace.find(name, "set", "triples")

    @routes.get("/api/tiff", response_class=Response, responses={200: {"content": {"image/tiff": {}}}})
    def one(name: SetName, index: Index = 0, as_stored: bool = False) -> Response:
        gallery = studio.gallery(name)
        picture = gallery.picture(index)
        with _folder(studio) as place:
            tiff(Pictures([picture]), place, as_stored=as_stored)
            content = next((place / "images").glob("*.tif")).read_bytes()
        digits = max(4, len(str(len(gallery) - 1)))
        called = f"{_stem(name)}-{index:0{digits}d}{_kind(picture.pixels.dtype.name, as_stored)}.tif"
        return Response(content, media_type="image/tiff", headers=_attached(called))

    @routes.get(
        "/api/tiff/set", response_class=StreamingResponse, responses={200: {"content": {"application/zip": {}}}}
    )
    def whole(name: SetName, as_stored: bool = False, as_stack: bool = False) -> Response:
        images = read_images(_path(found(name)))
        folder = _folder(studio)
        try:
            tiff(images, folder.path, as_stored=as_stored, as_stack=as_stack)
        except BaseException:
            folder.remove()
            raise
        kind = _kind(images[0].pixels.dtype.name, as_stored)
        called = f"{_stem(name)}{kind}{'-stack' if as_stack else ''}"
        return StreamingResponse(
            _zipped(folder, called), media_type="application/zip", headers=_attached(f"{called}.zip")
        )

    @routes.get("/api/tiff/command")
    def command(
        name: SetName, index: Annotated[int | None, Query(ge=0, le=10**9)] = None, as_stored: bool = False,
        as_stack: bool = False,
    ) -> TiffCommand:  # fmt: skip
        thing = found(name)
        words = ["morphogen", "tiff", f"{thing.typed}/after" if thing.kind == "triples" else thing.typed]
        words += ["--number", str(index)] if index is not None else []
        words += [option for option, given in (("--as-stored", as_stored), ("--as-stack", as_stack)) if given]
        return TiffCommand(command=shlex.join([*words, "--out", f"{_stem(name)}-tiff"]))

    return routes


class _Folder:
    """A folder of the workspace for what is sent and not kept."""

    def __init__(self, above: Path) -> None:
        above.mkdir(exist_ok=True)
        self.path = Path(tempfile.mkdtemp(dir=above))

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def _above(studio: Studio) -> Path:
    return studio.workspace.own / "downloads"


def _folder(studio: Studio) -> _Folder:
    return _Folder(_above(studio))


def _path(thing: Thing) -> Path:
    return thing.path / "after" if thing.kind == "triples" else thing.path


def _stem(name: str) -> str:
    """The last part of a set's name, as a file may be called."""
    last = name.rstrip("/").rpartition("/")[2]
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in last).strip(".-") or "set"


def _kind(pixel_type: str, as_stored: bool) -> str:
    """What a file's name says of its levels: whether they are the source's."""
    if as_stored:
        return ""
    return {"uint8": "-16bit-257x8bit", "float32": "-16bit-scaled"}.get(pixel_type, "-16bit")


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}; filename=\"{name}\""}


def _zipped(folder: _Folder, called: str) -> Iterator[bytes]:
    """The files of a folder as a ZIP file, as it grows; the folder is gone at the end, however that comes."""
    try:
        sink = _Sink()
        # Deflated, since programs that read a ZIP file from its beginning cannot tell where a stored one ends.
        packed = zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        with packed:
            for file in sorted(path for path in folder.path.rglob("*") if path.is_file()):
                name = f"{called}/{file.relative_to(folder.path).as_posix()}"
                about = zipfile.ZipInfo.from_file(file, name)
                about.compress_type = zipfile.ZIP_DEFLATED
                with open(file, "rb") as source, packed.open(about, "w") as entry:
                    while part := source.read(_EACH):
                        entry.write(part)
                        yield from sink.taken()
                yield from sink.taken()
        yield from sink.taken()
    finally:
        folder.remove()


class _Sink:
    """Where a ZIP file is written that goes on at once: it cannot be gone back in, and ``zipfile`` knows."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> Iterator[bytes]:
        """What was written since."""
        parts, self._parts = self._parts, []
        yield from (part for part in parts if part)
