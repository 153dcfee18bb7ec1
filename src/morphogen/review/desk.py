"""Where each rater is, and what may be stored: the rules of answering, without a server around them.

A rater answers one question after the other. The next one may be answered, and the last one once more (it was a slip).
Whatever else comes is late or doubled: the same attempt again is acknowledged again, for its acknowledgement may have
been lost with the server; an answer to a question that was answered elsewhere, by the same link in another window, is
refused with the place where the rater is. So a link used twice at once gives one row of answers and not two.
"""

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from morphogen.review.answers import AnswerBook, Given
from morphogen.review.records import CHOICES, RATINGS, Answer, Design, Question, Rater


class Refused(Exception):
    """An answer that is not stored. ``late`` where the rater is elsewhere; otherwise it makes no sense."""

    def __init__(self, why: str, *, late: bool) -> None:
        self.why, self.late = why, late
        super().__init__(why)


@dataclass(slots=True)
class Place:
    """Where one rater is.

    Attributes:
        rater: who.
        position: of the question to be answered next.
        revision: how often the last one was answered again.
        attempts: words of the attempts that are stored, with the positions they answered.
        waiting: an answer that is on its way to the disk.
        in_block: of each question its number among those of its kind, and how many these are.
    """

    rater: Rater
    position: int = 0
    revision: int = 0
    attempts: dict[str, int] = field(default_factory=dict)
    waiting: asyncio.Lock = field(default_factory=asyncio.Lock)
    in_block: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds = [(q.kind, q.training) for q in self.rater.questions]
        self.in_block = [(kinds[: k + 1].count(kind), kinds.count(kind)) for k, kind in enumerate(kinds)]


class Desk:
    """Takes answers and stores them, those that come together in one commit.

    Args:
        design: of the study.
        stored: what was answered before.
        book: where answers go.
    """

    def __init__(self, design: Design, stored: Iterable[Answer], book: AnswerBook) -> None:
        self.design, self._book = design, book
        self.places = {rater.name: Place(rater) for rater in design.raters}
        for answer in stored:
            self._taken(answer)
        self._queue: asyncio.Queue[tuple[Given, asyncio.Future[Answer]] | None] = asyncio.Queue()

    async def take(self, place: Place, given: Given, *, again: bool) -> Answer | None:
        """Store an answer; when this returns it is on the disk. None where the same attempt is stored already.

        Raises:
            Refused: it is late or makes no sense.
            Problem: the disk is full or gone. Nothing is stored, and the same attempt can be made again.
        """
        async with place.waiting:
            if given.attempt in place.attempts:
                if place.attempts[given.attempt] != given.position:
                    raise Refused("this attempt was an answer to another question", late=False)
                return None
            expected = place.position - 1 if again else place.position
            if given.position != expected or not 0 <= expected < len(place.rater.questions):
                raise Refused("this question was answered elsewhere", late=True)
            if again and place.rater.questions[expected].training:
                raise Refused("the answer to this question was told", late=True)
            _require_sense(given, place.rater.questions[given.position], len(self.design.criteria))
            revision = place.revision + 1 if again else 0
            numbered = Given(given.rater, given.position, revision, given.choice, given.ratings, given.seconds,
                             given.attempt)  # fmt: skip
            stored: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._queue.put_nowait((numbered, stored))
            # A browser that leaves must not take its answer back: what is queued is stored and counted.
            return await asyncio.shield(stored)

    async def write(self) -> None:
        """Write what is taken, until ``stop``."""
        while True:
            waiting = [await self._queue.get()]
            while not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            taken = [one for one in waiting if one is not None]
            try:
                stored = await asyncio.to_thread(self._book.append, [given for given, _ in taken])
            except Exception as error:  # also a fault of the program: whoever waits must hear of it, and may try again
                for _, future in taken:
                    future.set_exception(error)
            else:
                for answer, (_, future) in zip(stored, taken, strict=True):
                    self._taken(answer)
                    future.set_result(answer)
            if len(taken) < len(waiting):
                return

    async def stop(self, writing: "asyncio.Task[None]") -> None:
        """Write what is waiting, and end ``write``."""
        self._queue.put_nowait(None)
        await writing

    def _taken(self, answer: Answer) -> None:
        place = self.places[answer.rater]
        place.attempts[answer.attempt] = answer.position
        place.position = max(place.position, answer.position + 1)
        place.revision = answer.revision


def _require_sense(given: Given, question: Question, criteria: int) -> None:
    choices = CHOICES[question.kind]
    if choices:
        if given.choice is None or not 0 <= given.choice < choices or given.ratings:
            raise Refused(f"a choice from 0 to {choices - 1} is needed", late=False)
    elif given.choice is not None or len(given.ratings) != criteria:
        raise Refused(f"{criteria} ratings are needed", late=False)
    if any(r is not None and not 1 <= r <= RATINGS for r in given.ratings):
        raise Refused(f"ratings go from 1 to {RATINGS}", late=False)
    if not (math.isfinite(given.seconds) and given.seconds >= 0):
        raise Refused("the time is no time", late=False)
