"""The server of a review: one process, on this machine alone unless it is told otherwise.

What raters can reach, all of it under their personal link, whose token is 192 random bits:

    GET   /r/TOKEN/                                    the page
    GET   /r/TOKEN/state                               where the rater is, and the next two questions
    GET   /r/TOKEN/image/POSITION/SIDE/SLICE           the pixels of one slice
    POST  /r/TOKEN/answer                              an answer; acknowledged when it is on the disk

Images are asked for by the place of their question, never by name, so that a repeat does not show itself, and raters
who compare addresses learn nothing. All are of one size, stored plainly, answered with the same headers, kept by no
cache, and were all read once when the server started. The order of questions and sides was drawn before.

Nothing changes by GET. An answer needs the cookie of its page, which no other site is sent (SameSite=Strict), its
origin, and JSON. The content policy allows the page's own script and style and nothing inline. The name that a browser
asks for has to be that of the server, against DNS rebinding.

The process holds no key: see ``sealing``. Beyond loopback all that is served stands behind one more token, the first
part of every address.
"""

import asyncio
import hashlib
import hmac
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Path, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field

from morphogen.problems import Problem
from morphogen.review.answers import AnswerBook, Given, read_answers, require_one_server
from morphogen.review.desk import Desk, Place, Refused
from morphogen.review.folder import OpenReview
from morphogen.review.records import CHOICES, RATINGS, sha256
from morphogen.review.sealing import require_blind

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SHORTEST_TOKEN = 16
LARGEST_BODY = 16_384
"""An answer is a few hundred bytes; nothing larger is read."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ENCODED = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
_COOKIE = "page"
_STATIC = {"review.js": "text/javascript", "review.css": "text/css"}

Token = Annotated[str, Path(min_length=1, max_length=64)]


class AnswerSent(BaseModel):
    """An answer as the page sends it; see ``records.Answer``. ``again`` where it takes the last one back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    position: int = Field(ge=0, le=1_000_000)
    choice: int | None = Field(default=None, ge=0, le=100)
    ratings: list[Annotated[int, Field(ge=1, le=RATINGS)] | None] = Field(default=[], max_length=100)
    seconds: float = Field(ge=0, le=1e7, allow_inf_nan=False)
    attempt: str = Field(min_length=8, max_length=64, pattern="^[A-Za-z0-9-]+$")
    again: bool = False


class QuestionShown(BaseModel):
    """What the page is told of a question: nothing of what its images are."""

    position: int
    kind: str
    sides: int
    choices: int
    training: bool
    place: int
    of: int


class State(BaseModel):
    """Where a rater is: answered ``position`` of ``total``; the question there, the one before and the one behind."""

    position: int
    total: int
    questions: list[QuestionShown]


class Taken(State):
    """An answer is on the disk. ``right`` tells which half of the choices was right, in the training round only."""

    right: int | None = None


def review_app(review: OpenReview, address: str = "", tell: Callable[[str], None] = lambda _: None) -> FastAPI:
    """The application of one study. The caller holds the lock (``answers.require_one_server``).

    Args:
        review: the study.
        address: by which raters reach it through another server, "https://review.example"; "" for directly.
        tell: is told once why answers cannot be stored, and once that they can be again.

    Raises:
        Problem: the answers that are there are damaged or belong to another study.
    """
    design = review.study.design
    book = AnswerBook(review.folder, review.sha256)
    desk = Desk(design, read_answers(review.folder, review.sha256), book)
    by_token = {rater.token_sha256: desk.places[rater.name] for rater in design.raters}
    page = Environment(
        loader=PackageLoader("morphogen.review", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("review.html.j2")  # fmt: skip
    trouble: set[str] = set()
    static = {name: (resources.files("morphogen.review") / name).read_bytes() for name in _STATIC}

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        writing = asyncio.create_task(desk.write())
        yield
        await desk.stop(writing)
        book.close()

    # Its documentation pages would come from another host.
    app = FastAPI(title="Morphogen review", lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Manners)

    def place_of(token: str) -> Place:
        place = by_token.get(sha256(token.encode()))
        if place is None:
            raise HTTPException(404, "This link belongs to nobody here.")
        return place

    @app.get("/", response_class=PlainTextResponse, include_in_schema=False)
    async def nobody() -> str:
        return "A review is here. Open it by your personal link.\n"

    @app.get("/static/{name}", include_in_schema=False)
    async def own_file(name: str) -> Response:
        if name not in _STATIC:
            raise HTTPException(404, "There is no such file.")
        return Response(static[name], media_type=_STATIC[name])

    @app.get("/r/{token}/", response_class=HTMLResponse)
    async def open_page(token: Token, request: Request) -> Response:
        place = by_token.get(sha256(token.encode()))
        if place is None:
            return PlainTextResponse("This link belongs to nobody here. Ask for your personal link.\n", 404)
        text = page.render(
            design=design, key_sha256=review.study.key_sha256, total=len(place.rater.questions), ratings=RATINGS,
            version=design.morphogen,
        )  # fmt: skip
        response = HTMLResponse(text)
        nonce = secrets.token_urlsafe(12)
        response.set_cookie(
            _COOKIE, f"{nonce}.{_signature(token, nonce)}", path=request.url.path, httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return response

    @app.get("/r/{token}/state", response_model=State)
    async def state(token: Token) -> Response:
        return JSONResponse(_state(place_of(token)))

    @app.get("/r/{token}/image/{position}/{side}/{slice_number}", response_class=Response)
    async def image(
        token: Token,
        position: Annotated[int, Path(ge=0, le=1_000_000)],
        side: Annotated[int, Path(ge=0, le=1)],
        slice_number: Annotated[int, Path(ge=0, le=1_000_000)],
    ) -> Response:
        place = place_of(token)
        questions = place.rater.questions
        near = place.position - 1 <= position <= place.position + 1
        if not near or position >= len(questions) or side >= len(questions[position].images):
            raise HTTPException(404, "This question is not asked now.")
        if slice_number >= design.shape[0]:
            raise HTTPException(404, "There is no such slice.")
        pixels = review.slice_of(questions[position].images[side], slice_number)
        return Response(pixels, media_type="application/octet-stream")

    @app.post("/r/{token}/answer", response_model=Taken, responses={403: {}, 409: {"model": State}, 507: {}})
    async def answer(token: Token, sent: AnswerSent, request: Request) -> Response:
        place = place_of(token)
        if not _from_own_page(request, token, address):
            raise HTTPException(403, "Answers are taken from the page of this link.")
        given = Given(place.rater.name, sent.position, 0, sent.choice, tuple(sent.ratings), sent.seconds, sent.attempt)
        try:
            await desk.take(place, given, again=sent.again)
        except Refused as refused:
            if not refused.late:
                raise HTTPException(422, refused.why) from None
            return JSONResponse(_state(place), 409)
        except Problem as problem:
            if not trouble:
                trouble.add(str(problem))
                tell(f"{problem}. Raters' pages keep their answers and send them again.")
            raise HTTPException(507, str(problem)) from None
        if trouble:
            trouble.clear()
            tell("Answers are stored again.")
        return JSONResponse(_state(place) | {"right": place.rater.questions[sent.position].right})

    return app


class _Manners:
    """The same headers on every answer, and no body that is larger than an answer can be."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = message | {"headers": [*message["headers"], *_ENCODED]}
            await send(message)

        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if b"transfer-encoding" in headers or not length.isdigit() or int(length) > LARGEST_BODY:
            await PlainTextResponse("This is no answer.\n", 413)(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)


class _Guard:
    """What stands in front of the application: the name asked for, and the token of a server beyond loopback.

    Args:
        app: the application.
        hosts: names that may be asked for; None for any, where a token is needed.
        token: first part of every address; "" for none.
    """

    def __init__(self, app: Any, hosts: frozenset[str] | None, token: str) -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            host = _host_alone(headers.get(b"host", b"").decode("latin-1"))
            if self._hosts is not None and host not in self._hosts:
                await PlainTextResponse("This is not the server of that name.\n", 421)(scope, receive, send)
                return
            if self._token:
                first, _, rest = scope["path"][1:].partition("/")
                if not hmac.compare_digest(_digest(first), _digest(self._token)):
                    await PlainTextResponse("Not found\n", 404)(scope, receive, send)
                    return
                # Starlette takes the root off the path by itself.
                scope = scope | {"root_path": f"/{first}", "path": f"/{first}/{rest}"}
        await self._app(scope, receive, send)


def serve(
    folder: FilePath,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    token: str = "",
    address: str = "",
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve a study until it is stopped.

    Args:
        folder: that ``new_review`` made.
        host: address to listen at; any but loopback needs a token.
        port: to listen at; 0 for any that is free.
        token: what every address begins with, beyond loopback.
        address: where raters find it, if another server with https passes on to it, "https://review.example"; this
            needs a token too.
        tell: is told each line that a person must see, the links first.

    Raises:
        Problem: the server could read the key, an image changed, another server has the study, the port is taken, or
            it can be reached from beyond loopback and there is no token.
    """
    import uvicorn

    local = host in LOOPBACK
    found = urlsplit(address)
    if address and (found.scheme not in ("http", "https") or not found.hostname or found.path.strip("/")):
        raise Problem(f"'{address}' is no address", do="write it like https://review.example")
    address = address.rstrip("/")
    if (address or not local) and len(token) < SHORTEST_TOKEN:
        raise Problem(
            f"{address or host} can be reached by other machines",
            do=f"give a token of {SHORTEST_TOKEN} or more letters, which every address will begin with",
        )
    if token and not all(c.isalnum() or c in "-_" for c in token):
        raise Problem("the token has other signs than letters, digits, - and _", do="choose another")
    review = OpenReview.of(folder, with_images=False)
    require_blind(folder, review.study.design.key_place)
    lock = require_one_server(folder)
    review = OpenReview.of(folder)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        lock.close()
        raise Problem(f"cannot listen at {host}, port {port} ({error})", do="choose another port or host") from None
    try:
        port = listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        hosts = frozenset({*LOOPBACK, host, found.hostname or host}) if local else None
        app = _Guard(review_app(review, address, tell), hosts, token)
        prefix = (address or f"http://{shown}:{port}") + (f"/{token}" if token else "")
        tell(f"Key sealed: SHA-256 {review.study.key_sha256}")
        for name, link in review.links().items():
            tell(f"{name}: {prefix}{link}")
        tell("Serving; Ctrl-C stops.")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()
        lock.close()


def _state(place: Place) -> dict[str, Any]:
    """A ``State``, as it goes into JSON."""
    near = range(max(place.position - 1, 0), min(place.position + 2, len(place.rater.questions)))
    return {
        "position": place.position,
        "total": len(place.rater.questions),
        "questions": [_shown(place, k) for k in near],
    }


def _shown(place: Place, position: int) -> dict[str, Any]:
    """A ``QuestionShown``."""
    question = place.rater.questions[position]
    number, of = place.in_block[position]
    return {
        "position": position, "kind": question.kind, "sides": len(question.images), "choices": CHOICES[question.kind],
        "training": question.training, "place": number, "of": of,
    }  # fmt: skip


def _from_own_page(request: Request, token: str, address: str) -> bool:
    """Whether a request comes from the page of this link: by its cookie, its origin and its type."""
    nonce, _, signature = request.cookies.get(_COOKIE, "").partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(token, nonce).encode()):
        return False
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = request.headers.get("origin")
    return origin is None or origin == address or origin.partition("://")[2] == request.headers.get("host")


def _signature(token: str, nonce: str) -> str:
    return hmac.new(token.encode(), nonce.encode(), hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _host_alone(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
