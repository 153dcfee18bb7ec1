"""Progress that a person sees on a terminal and nobody sees in a log."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


def console() -> Console:
    """The console for everything that is not a result: standard error."""
    return Console(file=sys.stderr, highlight=False)


def track(items: Sequence[Item] | Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Go through items with a bar and the time left; quiet when not on a terminal."""
    where = console()
    count = len(items) if isinstance(items, Sequence) else total
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=where,
        transient=True,
        disable=not where.is_terminal or count == 1,
    ) as progress:
        yield from progress.track(items, total=count, description=description)


@contextmanager
def status(words: str) -> Iterator[Callable[[str], None]]:
    """A line that says what is being done, while it is; yields the way to change it. Quiet in a log."""
    where = console()
    if not where.is_terminal:
        yield lambda _: None
        return
    with where.status(words) as shown:
        yield lambda new_words: shown.update(new_words)
