"""The page generate: a picture that follows what is asked, and sets that are made of it.

The picture comes from ``sketching`` at once, the set from ``morphogen generate`` as work. Both are asked for by one
record (``drawing_wish``), so the picture is the first of the set, to the bit.
"""

import base64
import shlex
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from morphogen.images.endings import writable_extensions
from morphogen.problems import Problem
from morphogen.studio.drawing_wish import DrawingWish, ThingName
from morphogen.studio.sketch_desk import Answer, Superseded
from morphogen.studio.studio import Studio
from morphogen.studio.work import Work
from morphogen.studio.workspace import NAME

AT_ONCE = 4
"""Pictures that are drawn at once; more are work."""

LARGEST_AT_ONCE = 1024 * 1024
"""Pixels of a picture that is drawn at once."""

Page = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9-]{1,40}$")]
NewName = Annotated[str, StringConstraints(pattern=NAME)]


class Sketched(BaseModel):
    """Pictures at once: what is wanted, and by which page. Of a page only the newest request is answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: Page
    wish: DrawingWish


class Picture(BaseModel):
    """A picture that was drawn at once.

    Attributes:
        png: as shown, base64.
        height: in pixels.
        width: in pixels.
        spacing_um: height and width of a pixel, None where unknown.
        pixel_type: of the picture itself.
        sha256: of its pixels, as ``generate`` would write them.
        labels: what was asked of it.
        warning: what is asked lies outside of what training saw.
    """

    png: str
    height: int
    width: int
    spacing_um: list[float | None]
    pixel_type: str
    sha256: str
    labels: dict[str, str | float]
    warning: str


class Sketch(BaseModel):
    """Pictures that were drawn at once, the grey levels that are black and white in them, and what they took."""

    pictures: list[Picture]
    black: float
    white: float
    seconds: float


class Making(BaseModel):
    """A set that is to be made.

    Attributes:
        wish: what is to be drawn.
        name: of the new set.
        ending: of its files; by default PNG for 8 bit and TIFF for the rest.
        like: name of a set in whose format they are written.
        as_stack: all as the slices of one file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    wish: DrawingWish
    name: NewName = "new"
    ending: Annotated[str, StringConstraints(pattern=r"^\.[a-z0-9.]{1,12}$")] | None = None
    like: ThingName | None = None
    as_stack: bool = False


class Command(BaseModel):
    """What to type in the workspace to do the same."""

    command: str


def router(studio: Studio) -> APIRouter:
    """The page and what it asks for."""
    routes = APIRouter()

    def typed(kind: Literal["run", "set"], name: str) -> str:
        return studio.workspace.find(name, kind).typed

    def words_of(making: Making) -> list[str]:
        words = making.wish.command(typed)
        if making.ending is not None:
            words += ["--format", making.ending]
        if making.like is not None:
            words += ["--like", typed("set", making.like)]
        return [*words, *(["--as-stack"] if making.as_stack else []), "--out", f"made/{making.name}"]

    @routes.get("/generate", include_in_schema=False)
    def page(request: Request) -> Response:
        endings = list(dict.fromkeys([*writable_extensions("uint8"), *writable_extensions("uint16")]))
        return studio.page(request, "generate", endings=endings)

    @routes.get("/api/offers")
    def about(name: Annotated[str, Query(min_length=1, max_length=4096)]) -> dict[str, Any]:
        run = typed("run", name)
        return answered(studio, f"about {uuid4()}", {"what": "about", "run": run}).said

    @routes.get("/api/free-name")
    def free_name(
        shelf: Literal["made", "edited", "compared"], wanted: Annotated[str, Query(max_length=100)] = "new"
    ) -> dict[str, str]:
        return {"name": studio.workspace.free_name(shelf, wanted)}

    @routes.post("/api/generate/sketch", responses={409: {}})
    def sketch(asked: Sketched) -> Sketch:
        wish = asked.wish
        _require_quick(wish)
        what: dict[str, Any] = {"what": "draw", "run": typed("run", wish.run), "wish": wish.model_dump()}
        for part in ("context", "sources"):
            if (name := getattr(wish, part)) is not None:
                what[part] = typed("set", name)
        if wish.prior is not None:
            what["prior"] = typed("run", wish.prior)
        answer = answered(studio, asked.page, what)
        pictures = [
            Picture(
                png=base64.b64encode(png).decode(), height=one["size"][0], width=one["size"][1],
                **{key: one[key] for key in ("spacing_um", "pixel_type", "sha256", "labels", "warning")},
            )
            for one, png in zip(answer.said["pictures"], answer.blocks, strict=True)
        ]  # fmt: skip
        return Sketch(pictures=pictures, **{key: answer.said[key] for key in ("black", "white", "seconds")})

    @routes.post("/api/generate/command")
    def command(making: Making) -> Command:
        return Command(command=shlex.join(["morphogen", *words_of(making)]))

    @routes.post("/api/generate/make")
    def make(making: Making) -> Work:
        makes = studio.workspace.place_for("made", making.name)
        wish = making.wish
        how = f"{wish.count} images of" if wish.sources is None else f"{wish.sources} by"
        reads = [name for name in (wish.run, wish.sources, wish.context, wish.prior, making.like) if name is not None]
        return studio.works.start("generate", f"{how} {wish.run}", words_of(making), of=reads, makes=makes)

    return routes


def answered(studio: Studio, page: str, what: dict[str, Any]) -> Answer:
    """What the process that draws answers; 409 where the page has asked for something newer meanwhile."""
    try:
        return studio.sketches.ask(page, what)
    except Superseded:
        raise HTTPException(409, "this page has asked for something newer") from None


def _require_quick(wish: DrawingWish) -> None:
    if wish.count > AT_ONCE:
        raise Problem(f"{wish.count} pictures are not drawn at once", do=f"ask for {AT_ONCE} at most, or make a set")
    if wish.size is not None and wish.size[0] * wish.size[1] > LARGEST_AT_ONCE:
        raise Problem(
            f"{wish.size[0]} x {wish.size[1]} is too much to be drawn at once", do="make a set of such images"
        )
