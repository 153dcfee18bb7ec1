"""Progress that a person sees on a terminal and nobody sees in a log.

Another program that wants to show it names a file in ``MORPHOGEN_PROGRESS``: it then holds, as JSON, the words, how
much is done and of how much, as they were at most ``TOLD_EVERY`` seconds ago.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

READER = "MORPHOGEN_PROGRESS"
"""Environment variable with the file that another program reads."""

TOLD_EVERY = 0.3
_told: dict[str, float] = {}
_aside = False


def tell_reader(words: str, done: float, of: float | None) -> None:
    """Say how far the work is to a program that asked for it; costs nothing where none did.

    Args:
        words: what is being done.
        done: how much.
        of: of how much; None where that is unknown.
    """
    place = os.environ.get(READER)
    now = time.monotonic()
    if place is None or _aside or (words in _told and now - _told[words] < TOLD_EVERY and done != of):
        return
    _told[words] = now
    try:
        with open(f"{place}.new", "w", encoding="utf-8") as file:
            json.dump({"words": words, "done": done, "of": of}, file)
        os.replace(f"{place}.new", place)
    except OSError:
        pass  # a disk that is full is told of by the work itself


@contextmanager
def aside() -> Iterator[None]:
    """Keep from the reader what is done by the way, within other work that it is told of."""
    global _aside
    before, _aside = _aside, True
    try:
        yield
    finally:
        _aside = before


def console() -> Console:
    """The console for everything that is not a result: standard error."""
    return Console(file=sys.stderr, highlight=False)


def track(items: Sequence[Item] | Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Go through items with a bar and the time left; quiet when not on a terminal."""
    where = console()
    count = len(items) if isinstance(items, Sequence) else total
    tell_reader(description, 0, count)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=where,
        transient=True,
        disable=not where.is_terminal or count == 1,
    ) as progress:
        for number, item in enumerate(progress.track(items, total=count, description=description)):
            yield item
            tell_reader(description, number + 1, count)


@contextmanager
def status(words: str) -> Iterator[Callable[[str], None]]:
    """A line that says what is being done, while it is; yields the way to change it. Quiet in a log."""
    where = console()
    tell_reader(words, 0, None)
    if not where.is_terminal:
        yield lambda new_words: tell_reader(new_words, 0, None)
        return
    with where.status(words) as shown:
        yield lambda new_words: shown.update(new_words)
