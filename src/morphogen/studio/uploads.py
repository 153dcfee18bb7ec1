"""Sets that a browser sends: file by file, as they are, straight to the disk, and in the list when all are there.

    POST  /api/uploads                   begin a set of a name
    POST  /api/uploads/ID/file           one file, as the body; its name and whether it is an image or a mask, asked
    POST  /api/uploads/ID/finish         put the set among the others, whole
    POST  /api/uploads/ID/cancel         forget it

A file's name is its last part alone, of letters that can be printed, with an ending that is an image's, or that of a
table of labels or captions. Bytes are counted as they come, whatever was said of their number; the header says how many
pixels there are before any is decoded, and a file that is not read as what it is called is refused. So is, at the end,
a set that cannot be opened. Files on their way lie in ``.studio/uploads`` and are gone when a server starts.
"""

import math
import os
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from morphogen.images.endings import ending_of, format_of, is_folder_format, named_once, readable_extensions
from morphogen.images.folders import image_files
from morphogen.images.formats.plane import UnreadableImageError
from morphogen.images.formats.stored_array import memory_of_at_most, sized
from morphogen.images.labels import CAPTIONS, LABELS, labels_of
from morphogen.images.volume_file import VolumeFile
from morphogen.problems import Problem, printable
from morphogen.studio.pictures import Gallery
from morphogen.studio.studio import Limits, Studio
from morphogen.studio.workspace import NAME, Missing

READ_WHOLE = 2**24
"""Files of at most so many pixels are decoded when they arrive, so that a damaged one is told of at once."""

_BUFFER = 2**20
_FORGOTTEN_AFTER = 86_400.0
_MOST_AT_ONCE = 16
_LONGEST_NAME = 200

Id = Annotated[str, InPath(pattern="^[0-9a-f]{16}$")]


class Begun(BaseModel):
    """A set that is being sent: what to send its files to, and its name to be."""

    id: str
    name: str


class ToBegin(BaseModel):
    """The name of a new set."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=NAME)


class Arrived(BaseModel):
    """A file that is there: its pixels, 0 for a table or a file of several, and the bytes of the set so far."""

    file: str
    pixels: int
    set_bytes: int


class Finished(BaseModel):
    """A set that is in the list now."""

    name: str
    pictures: int


def router(studio: Studio) -> APIRouter:
    """What the pages ask for to send a set."""
    routes, waiting, limits = APIRouter(), studio.workspace.own / "uploads", studio.limits
    for left in waiting.iterdir():  # of a server that ended
        shutil.rmtree(left, ignore_errors=True)
    all_coming: dict[str, _Coming] = {}

    def coming_of(id: str) -> _Coming:
        if id not in all_coming or not all_coming[id].place.is_dir():
            raise Missing("this upload is not known any more", do="begin it again")
        return all_coming[id]

    def forget(id: str) -> None:
        all_coming.pop(id, None)
        shutil.rmtree(waiting / id, ignore_errors=True)

    @routes.post("/api/uploads")
    def begin(asked: ToBegin) -> Begun:
        name = studio.workspace.place_for("sets", asked.name)
        for old, one in list(all_coming.items()):
            if time.monotonic() - one.heard > _FORGOTTEN_AFTER:
                forget(old)
        if len(all_coming) >= _MOST_AT_ONCE:
            raise Problem(f"{_MOST_AT_ONCE} sets are being sent", do="finish or cancel one")
        id = secrets.token_hex(8)
        for part in ("images", "masks"):
            (waiting / id / part).mkdir(parents=True)
        all_coming[id] = _Coming(name, waiting / id)
        return Begun(id=id, name=name)

    @routes.post("/api/uploads/{id}/file", openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}})
    async def file(
        id: Id,
        request: Request,
        name: Annotated[str, Query(min_length=1, max_length=1000)],
        part: Literal["images", "masks"] = "images",
    ) -> Arrived:
        coming = coming_of(id)
        target = coming.place / _part_of(name, part) / _checked_name(name)
        if target.exists():
            raise Problem(f"{target.name} is there already", do="give each file a name of its own")
        if coming.files >= 2 * limits.files:
            raise Problem(f"a set has {limits.files:,} files at most, and masks", do="put slices into one volume")
        here = target.with_name(f".{secrets.token_hex(8)}{ending_of(target)}")
        received = _Received()
        try:
            await _receive(request, here, coming, received, limits)
            pixels = await run_in_threadpool(_pixels_of, here, target.name, limits)
            if pixels + coming.pixels > limits.set_pixels:
                raise Problem(
                    f"{target.name} brings the set beyond {limits.set_pixels:,} pixels", do="leave some out, or make"
                    " them smaller"
                )  # fmt: skip
            os.replace(here, target)
        except BaseException:
            coming.bytes -= received.bytes
            raise
        finally:
            here.unlink(missing_ok=True)
        coming.pixels += pixels
        coming.files += 1
        return Arrived(file=target.name, pixels=pixels, set_bytes=coming.bytes)

    @routes.post("/api/uploads/{id}/finish")
    def finish(id: Id) -> Finished:
        place, name = coming_of(id).place, coming_of(id).name
        studio.workspace.place_for("sets", name.removeprefix("sets/"))  # still free
        if not any((place / "masks").iterdir()):
            (place / "masks").rmdir()
        try:
            pictures = _require_readable(place, limits)
        except Problem:
            (place / "masks").mkdir(exist_ok=True)
            raise
        target = studio.workspace.folder / name
        target.parent.mkdir(exist_ok=True)
        os.rename(place, target)
        all_coming.pop(id, None)
        return Finished(name=name, pictures=pictures)

    @routes.post("/api/uploads/{id}/cancel", status_code=204)
    def cancel(id: Id) -> Response:
        coming_of(id)
        forget(id)
        return Response(status_code=204)

    return routes


@dataclass(slots=True)
class _Coming:
    """A set on its way: its name to be, where it waits, and what has arrived of it."""

    name: str
    place: Path
    bytes: int = 0
    pixels: int = 0
    files: int = 0
    heard: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Received:
    """Bytes of one file."""

    bytes: int = 0


def _part_of(name: str, part: str) -> str:
    return "." if name in (LABELS, CAPTIONS) else part


def _checked_name(name: str) -> str:
    """The name of a file, if it can be one."""
    if (
        not name.isprintable()
        or any(sign in name for sign in '/\\:<>"|?*')
        or name.startswith((".", "-", " "))
        or len(name.encode("utf-8", "replace")) > _LONGEST_NAME
        or any("\ud800" <= sign <= "\udfff" for sign in name)
    ):
        raise Problem(f"'{printable(name[:80])}' is no name for a file here", do="rename it")
    ending = ending_of(name)
    if name in (LABELS, CAPTIONS):
        return name
    if ending not in readable_extensions() or is_folder_format(ending):
        able = named_once([e for e in readable_extensions() if not is_folder_format(e)])
        raise Problem(f"{name} is in no format that can be sent", do=f"send {able}, {LABELS} or {CAPTIONS}")
    return name


async def _receive(request: Request, target: Path, coming: _Coming, received: _Received, limits: Limits) -> None:
    """Write the body to a file, as it comes, and count it."""
    buffer = bytearray()
    try:
        with open(target, "wb") as file:
            async for part in request.stream():
                received.bytes += len(part)
                coming.bytes += len(part)
                if received.bytes > limits.file_bytes:
                    raise Problem(
                        f"the file has more than {sized(limits.file_bytes)}", do="put it into the workspace by hand"
                    )
                if coming.bytes > limits.set_bytes:
                    raise Problem(
                        f"the set has more than {sized(limits.set_bytes)}", do="put it into the workspace by hand"
                    )
                buffer += part
                if len(buffer) >= _BUFFER:
                    await run_in_threadpool(file.write, bytes(buffer))
                    buffer.clear()
            await run_in_threadpool(file.write, bytes(buffer))
    except ClientDisconnect:
        raise Problem("the connection ended before the file did", do="send it again") from None
    coming.heard = time.monotonic()
    if not received.bytes:
        raise Problem("the file is empty", do="send another")


def _pixels_of(file: Path, name: str, limits: Limits) -> int:
    """How many pixels a file declares, channels counted; what is not too large is decoded too."""
    ending = ending_of(name)
    if name in (LABELS, CAPTIONS):
        return 0
    module = format_of(ending)
    if ending in getattr(module, "SEVERAL_FILES", ()):
        return 0  # its others may be on their way: it is read with them, at the end
    try:
        with memory_of_at_most(4 * limits.set_pixels):
            if hasattr(module, "open_volume"):
                volume = VolumeFile(file, module)
                pixels = volume.channels * math.prod(volume.shape)
                _require_fewer(pixels, name, limits)
                if pixels <= READ_WHOLE:
                    volume.read((slice(None),) * 3)
            else:
                with Image.open(file, formats=("PNG", "JPEG")) as image:
                    pixels = int(image.width) * int(image.height) * len(image.getbands())
                _require_fewer(pixels, name, limits)
                module.read(file, 0)
    except UnreadableImageError as error:
        raise Problem(f"{name} {error}", do=error.do) from None
    except Problem as problem:
        raise Problem(problem.what.replace(str(file), name), do=problem.do) from None
    except (OSError, SyntaxError, ValueError):
        raise Problem(f"{name} is no {ending} file, whatever its name says", do="send another") from None
    return int(pixels)


def _require_fewer(pixels: int, name: str, limits: Limits) -> None:
    if pixels > limits.set_pixels:
        raise Problem(
            f"{name} declares {pixels:,} pixels, and {limits.set_pixels:,} may be sent", do="cut it into smaller files"
        )


def _require_readable(place: Path, limits: Limits) -> int:
    """Refuse a set that the commands would not read; the number of its pictures."""
    try:
        with memory_of_at_most(4 * limits.set_pixels):
            files = image_files(place)
            labels_of(files, place)
            gallery = Gallery(place, "the set")
            for file in files:
                if ending_of(file) in getattr(format_of(ending_of(file)), "SEVERAL_FILES", ()):
                    volume = gallery.volume(file)
                    _require_fewer(volume.channels * math.prod(volume.shape), file.name, limits)
            first, last = gallery.picture(0), gallery.picture(len(gallery) - 1)
    except Problem as problem:
        raise Problem(problem.what.replace(f"{place}/", "").replace(str(place), "the set"), do=problem.do) from None
    for what, here, there in (
        ("channels", first.channels, last.channels),
        ("pixel type", first.pixels.dtype, last.pixels.dtype),
    ):
        if here != there:
            raise Problem(f"{what} differ, {here} and {there}", do="send images of one kind as one set")
    return len(gallery)
