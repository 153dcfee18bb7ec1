"""The server of the studio: one process a workspace, on this machine alone unless it is told otherwise.

Each task has its page, in a file of its own (``studio.PAGES``); what all of them use is here:

    GET   /TASK                          the page
    GET   /api/things                    sets, runs, cards and evidence, by name
    GET   /api/set                       what is in a set, as far as a look tells
    GET   /api/picture                   one picture of it as an 8 bit PNG
    GET   /api/work, /api/work/NUMBER    what is being done, and one piece of it with its log
    POST  /api/work/NUMBER/stop          as Ctrl-C

The server computes nothing that takes long. It starts commands of Morphogen (``work``), which live on when it ends, and
reads what they write. So nothing is lost with it, and all it does can be typed.

Nothing changes by GET. All else needs the cookie of a page, which no other site is sent (SameSite=Strict), and its
origin; that is asked in front of all pages, and no page can forget it. The content policy allows the studio's own
script and style and nothing inline. What stands in front of that, ``serving`` says.
"""

import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel

from morphogen.problems import Problem
from morphogen.serving.listening import Place, serve_until_stopped
from morphogen.serving.manners import Manners
from morphogen.serving.one_server import require_one_server
from morphogen.serving.own_page import is_from_own_page
from morphogen.studio import uploads
from morphogen.studio.pictures import LARGEST_VIEW, Window, known, png, stamp_of
from morphogen.studio.studio import PAGES, WITHOUT_PAGE, Studio, own_folder
from morphogen.studio.training import draws
from morphogen.studio.work import Work
from morphogen.studio.workspace import Kind, Missing, Workspace

LARGEST_BODY = 2**16
"""Bytes of what a page sends, other than uploads."""

_STATIC = {".js": "text/javascript", ".css": "text/css"}
_CHANGES_NOTHING = ("GET", "HEAD", "OPTIONS")

Name = Annotated[str, Query(min_length=1, max_length=4096)]
Index = Annotated[int, Query(ge=0, le=10**9)]
Axis = Annotated[int, Query(ge=0, le=2)]
Level = Annotated[float | None, Query(allow_inf_nan=False, ge=-1e30, le=1e30)]


class ThingShown(BaseModel):
    """A set, a run, a card or evidence; ``stamp`` changes when it does; ``draws`` of a run that draws."""

    name: str
    kind: Kind
    changed: float
    stamp: str
    draws: bool


class SetShown(BaseModel):
    """What is in a set. Levels are of pictures that stand for all; spacing is of the first, None where unknown."""

    name: str
    stamp: str
    pictures: int
    files: int
    height: int
    width: int
    channels: int
    pixel_type: str
    spacing_um: list[float | None]
    volume: list[int] | None
    window: list[float]
    ends: list[float]
    masks: bool
    labels: list[str]


class PictureShown(BaseModel):
    """One picture: its size, what it is called, where it comes from, and what is known of it."""

    index: int
    height: int
    width: int
    spacing_um: list[float | None]
    file: str
    specimen: str
    slice: int | None
    labels: dict[str, str | float]
    mask: bool


class WorkShown(BaseModel):
    """A piece of work with the end of its log."""

    work: Work
    log: str


def studio_app(studio: Studio) -> FastAPI:
    """The application of one workspace. The caller holds the lock (``serving.one_server``)."""
    names = (*(page.module for page in PAGES), *WITHOUT_PAGE)
    modules = [importlib.import_module(f"morphogen.studio.{name}") for name in names]
    bodies: dict[str, int] = {}
    for module in modules:
        bodies |= getattr(module, "BODIES", {})
    bodies["/api/uploads/"] = studio.limits.file_bytes
    static = {f.name: f.read_bytes() for f in own_folder().iterdir() if f.suffix in _STATIC}

    def largest_body(path: str) -> int:
        return next((most for start, most in bodies.items() if path.startswith(start)), LARGEST_BODY)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        for begin in studio.beginnings:
            begin()
        yield
        for end in studio.endings:
            end()

    # Its documentation pages would come from another host.
    app = FastAPI(title="Morphogen studio", lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_OwnPageOnly, secret=studio.workspace.secret)
    app.add_middleware(Manners, largest_body=largest_body, too_large="This is larger than may be sent.")

    @app.exception_handler(Problem)
    async def on_problem(_: Request, problem: Problem) -> Response:
        return JSONResponse({"problem": str(problem)}, 404 if isinstance(problem, Missing) else 422)

    @app.exception_handler(RequestValidationError)
    async def on_malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return JSONResponse({"problem": f"{place or 'what was sent'}: {first['msg']}"}, 422)

    @app.exception_handler(HTTPException)
    async def on_refusal(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"problem": error.detail}, error.status_code)

    @app.exception_handler(OSError)
    async def on_disk(_: Request, error: OSError) -> Response:
        return JSONResponse({"problem": f"the disk refuses ({error.strerror}): free some space, or look at it"}, 507)

    @app.get("/", include_in_schema=False)
    def first_page(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/{PAGES[0].task}")

    @app.get("/static/{name}", include_in_schema=False)
    def own_file(name: str) -> Response:
        if name not in static:
            raise HTTPException(404, "There is no such file.")
        return Response(static[name], media_type=_STATIC[Path(name).suffix])

    @app.get("/api/things")
    def things() -> list[ThingShown]:
        found = studio.workspace.things().values()
        return [
            ThingShown(name=one.name, kind=one.kind, changed=one.changed, stamp=stamp_of(one.path), draws=draws(one))
            for one in found
        ]

    @app.get("/api/set")
    def a_set(name: Name) -> SetShown:
        gallery = studio.gallery(name)
        first = gallery.picture(0, with_mask=False)
        window, ends = gallery.window, gallery.ends
        return SetShown(
            name=name, stamp=stamp_of(gallery.path), pictures=len(gallery), files=len(gallery.files),
            height=first.size[0], width=first.size[1], channels=first.channels, pixel_type=first.pixels.dtype.name,
            spacing_um=known(first.spacing_um),
            volume=[gallery.length(axis) for axis in range(3)] if gallery.is_volume else None,
            window=[window.low, window.high], ends=[ends.low, ends.high], masks=gallery.has_masks,
            labels=sorted(str(label) for label in first.labels if label != "file"),
        )  # fmt: skip

    @app.get("/api/set/picture")
    def what_is_shown(name: Name, index: Index = 0, axis: Axis = 0) -> PictureShown:
        found = studio.gallery(name).picture(index, axis)
        return PictureShown(
            index=index, height=found.size[0], width=found.size[1], spacing_um=known(found.spacing_um),
            file=str(found.labels.get("file", "")), specimen=found.origin.specimen, slice=found.origin.slice,
            labels={key: value for key, value in found.labels.items() if key != "file"}, mask=found.mask is not None,
        )  # fmt: skip

    @app.get("/api/picture", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    def picture(
        name: Name,
        index: Index = 0,
        axis: Axis = 0,
        size: Annotated[int, Query(ge=8, le=LARGEST_VIEW)] = LARGEST_VIEW,
        low: Level = None,
        high: Level = None,
        mask: bool = False,
        stamp: Annotated[str, Query(max_length=64)] = "",
    ) -> Response:
        gallery = studio.gallery(name)
        if mask:
            found = gallery.picture(index, axis)
            if found.mask is None:
                raise Missing(f"picture {index} of {name} has no mask", do="choose another")
            shown = png(found.mask, size)
        else:
            window = None if low is None or high is None else Window(low, high)
            shown = gallery.view(index, axis, window, size)
        # The stamp changes with the set, unless a file in it is written over: then it is seen after a while.
        kept = {"Cache-Control": "private, max-age=600"} if stamp else {}
        return Response(shown, media_type="image/png", headers=kept)

    @app.get("/api/work")
    def all_work(at_most: Annotated[int, Query(ge=1, le=500)] = 100) -> list[Work]:
        return studio.works.all(at_most)

    @app.get("/api/work/{number}")
    def a_work(number: int) -> WorkShown:
        return WorkShown(work=studio.works.get(number), log=studio.works.log(number))

    @app.post("/api/work/{number}/stop")
    def stop(number: int) -> Work:
        return studio.works.stop(number)

    for module in (uploads, *modules):
        app.include_router(module.router(studio))
    return app


class _OwnPageOnly:
    """Lets what changes something through from the studio's own pages alone."""

    def __init__(self, app: Any, secret: str) -> None:
        self._app, self._secret = app, secret

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] not in _CHANGES_NOTHING
            and not is_from_own_page(Request(scope), self._secret)
        ):
            told = {"problem": "this was not asked by a page of the studio: load the page anew"}
            await JSONResponse(told, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def serve(
    folder: Path,
    *,
    elsewhere: Sequence[Path] = (),
    host: str = "127.0.0.1",
    port: int = 8770,
    token: str = "",
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve a workspace until it is stopped; the work that was started goes on.

    Args:
        folder: of the workspace; made where it is missing.
        elsewhere: paths of sets and runs that lie elsewhere; they are remembered, and stay where they are.
        host: address to listen at; any but loopback needs a token.
        port: to listen at; 0 for any that is free.
        token: what every address begins with, beyond loopback.
        tell: is told each line that a person must see, the address first.

    Raises:
        Problem: another server has the workspace, it cannot be written, the port is taken, or it can be reached from
            beyond loopback and there is no token.
    """
    place = Place(host, port, token)
    workspace = Workspace(folder, elsewhere)
    with closing(require_one_server(workspace.own)):
        app = studio_app(Studio.of(workspace))

        def tell_address(prefix: str) -> None:
            tell(f"Studio of {workspace.folder}: {prefix}/")
            tell("Serving; Ctrl-C stops the pages, and what was started goes on.")

        serve_until_stopped(app, place, tell_address)
