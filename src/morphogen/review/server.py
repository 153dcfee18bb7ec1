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
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from importlib import resources
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field

from morphogen.problems import Problem
from morphogen.review.answers import AnswerBook, Given, read_answers
from morphogen.review.desk import Desk, Place, Refused
from morphogen.review.folder import OpenReview
from morphogen.review.records import CHOICES, RATINGS, sha256
from morphogen.review.sealing import require_blind
from morphogen.serving import listening
from morphogen.serving.manners import Manners
from morphogen.serving.one_server import require_one_server
from morphogen.serving.own_page import give_cookie, is_from_own_page

LARGEST_BODY = 16_384
"""An answer is a few hundred bytes; nothing larger is read."""
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
    """The application of one study. The caller holds the lock (``serving.one_server``).

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
    app.add_middleware(Manners, largest_body=lambda _: LARGEST_BODY, too_large="This is no answer.")

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
        give_cookie(response, request, token, request.url.path)
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
        if not is_from_own_page(request, token, address):
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
    place = listening.Place(host, port, token, address)
    review = OpenReview.of(folder, with_images=False)
    require_blind(folder, review.study.design.key_place)
    with closing(require_one_server(folder)):
        review = OpenReview.of(folder)

        def tell_links(prefix: str) -> None:
            tell(f"Key sealed: SHA-256 {review.study.key_sha256}")
            for name, link in review.links().items():
                tell(f"{name}: {prefix}{link}")
            tell("Serving; Ctrl-C stops.")

        listening.serve_until_stopped(review_app(review, place.address, tell), place, tell_links)


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
