"""The next batch, prepared while a step runs, so that a step does not wait for its images.

One thread prepares one batch ahead. What a batch holds depends on the running numbers of its images alone, so it is the
same whoever prepares it and when; a resumed run, and one under several processes, each with a thread of its own, sees
the same batches. What goes wrong in the thread is raised where the batch is asked for.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from morphogen.images.cropping import Batch

Batches = Callable[[int, int], Batch]
"""From the first running number and the number of images to a batch."""


class Ahead:
    """Batches in steps of equal length, each prepared while the one before is in use.

    A context: on leaving it the thread is waited for, so that nothing reads on behind an error or a Ctrl-C.

    Args:
        batches: prepares one.
        step: running numbers from the first image of a batch to that of the next.
    """

    def __init__(self, batches: Batches, step: int) -> None:
        self._batches, self._step = batches, step
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="next batch")
        self._next: tuple[tuple[int, int], Future[Batch]] | None = None
        self.waited = 0.0
        """Seconds that were spent waiting for batches so far."""

    def __call__(self, first: int, count: int, *, last: bool = False) -> Batch:
        """The batch of images ``first`` to ``first + count - 1``; the preparation of the next one begins.

        Args:
            first: running number of the first image.
            count: how many.
            last: whether no batch is known to follow.
        """
        began = time.perf_counter()
        asked = (first, count)
        if self._next is None or self._next[0] != asked:
            self._begin(first, count)
        assert self._next is not None
        batch = self._next[1].result()
        self.waited += time.perf_counter() - began
        self._next = None
        if not last:
            self._begin(first + self._step, count)
        return batch

    def _begin(self, first: int, count: int) -> None:
        self._next = (first, count), self._thread.submit(self._batches, first, count)

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
