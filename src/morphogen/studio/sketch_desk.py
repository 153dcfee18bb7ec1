"""Where pictures are asked for that are wanted at once: the server's side of ``sketching``.

One process draws, one picture at a time. It is started when the first picture is asked for, ended when nobody has asked
for some minutes, and started again where it died. Of each page only the newest request counts: one that waits is
replaced by it, one that is drawn is dropped. The pages take turns.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from morphogen.problems import Problem

IDLE_SECONDS = 600.0
"""So long the process waits for the next request, with its runs open, before it is ended."""

SKETCHING = (sys.executable, "-m", "morphogen.studio.sketching")

PATIENCE_SECONDS = 180.0
"""So long a picture may take, with the opening of its run; for more there is ``generate``."""


class Superseded(Exception):
    """The same page has asked for something newer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the process answered: the line, and the bytes behind it."""

    said: dict[str, Any]
    blocks: tuple[bytes, ...] = ()


@dataclass(slots=True, eq=False)
class _Wish:
    page: str
    what: dict[str, Any]
    answer: "Future[Answer]" = field(default_factory=Future)
    number: int = -1
    tries: int = 0
    superseded: bool = False


class SketchDesk:
    """Takes requests of pages and hands them to the process.

    Args:
        folder: where the process works, so that names are found as they are typed there.
        log: file that the process writes to what it has to say.
        cpu: stay on the CPU even where there is a GPU.
        process: what is started, with its arguments.
        idle_seconds: see ``IDLE_SECONDS``.
        patience_seconds: see ``PATIENCE_SECONDS``.
    """

    def __init__(
        self, folder: Path, log: Path, *, cpu: bool = False, process: Sequence[str] = SKETCHING,
        idle_seconds: float = IDLE_SECONDS, patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:  # fmt: skip
        self._folder, self._log, self._cpu, self._words = folder, log, cpu, process
        self._idle, self._patience = idle_seconds, patience_seconds
        self._turn = threading.Condition()
        self._waiting: OrderedDict[str, _Wish] = OrderedDict()
        self._drawn: _Wish | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._runner: threading.Thread | None = None
        self._count = 0
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """That of the process; None while there is none."""
        with self._turn:
            alive = self._process is not None and self._process.poll() is None
            return self._process.pid if self._process is not None and alive else None

    def ask(self, page: str, what: dict[str, Any]) -> Answer:
        """Have a request answered; returns when it is.

        Args:
            page: who asks: of equal ones only the newest request counts.
            what: is asked; see ``sketching.Sketcher``.

        Raises:
            Superseded: the page has asked for something newer.
            Problem: it cannot be done, takes too long, or the process died twice over it.
        """
        wish = _Wish(page, {"cpu": self._cpu, **what})
        with self._turn:
            if self._closed:
                raise Problem("the studio is closing", do="start it again")
            older = self._waiting.pop(page, None)
            if older is not None:
                older.answer.set_exception(Superseded())
            if self._drawn is not None and self._drawn.page == page and not self._drawn.superseded:
                self._drawn.superseded = True
                self._send({"drop": self._drawn.number})
            self._waiting[page] = wish
            if self._runner is None:
                self._runner = threading.Thread(target=self._run, daemon=True, name="sketch desk")
                self._runner.start()
            self._turn.notify_all()
        return wish.answer.result()

    def close(self) -> None:
        """End the process, and refuse what is asked from now on."""
        with self._turn:
            self._closed = True
            for wish in self._waiting.values():
                wish.answer.set_exception(Problem("the studio is closing", do="start it again"))
            self._waiting.clear()
            runner = self._runner
            self._end()
            self._turn.notify_all()
        if runner is not None:
            runner.join(timeout=10)

    def _run(self) -> None:
        """Hand one request after the other to the process, until there is none for a while."""
        while True:
            with self._turn:
                if not self._waiting and not self._closed:
                    self._turn.wait(self._idle)
                if not self._waiting:
                    self._runner = None
                    self._end()
                    return
                _, wish = self._waiting.popitem(last=False)
                self._count += 1
                wish.number, self._drawn = self._count, wish
                process = self._opened()
                self._send({"id": wish.number, **wish.what})
            late = threading.Timer(self._patience, process.kill)
            late.daemon = True
            late.start()
            answer = _read(process)
            in_time = late.is_alive()
            late.cancel()
            with self._turn:
                self._drawn = None
                if answer is None:
                    self._process = None
                    self._died(wish, process, in_time)
                elif wish.superseded or answer.said.get("dropped"):
                    wish.answer.set_exception(Superseded())
                else:
                    _settle(wish, answer)

    def _died(self, wish: _Wish, process: subprocess.Popen[bytes], in_time: bool) -> None:
        """The process ended over a request: ask once more, for it may have been another's fault, and not a third time.

        Args:
            wish: that was being answered.
            process: that ended.
            in_time: whether it ended by itself.
        """
        wish.tries += 1
        code = process.wait()
        if self._closed:
            wish.answer.set_exception(Problem("the studio is closing", do="start it again"))
        elif wish.superseded:
            wish.answer.set_exception(Superseded())
        elif not in_time:
            wish.answer.set_exception(
                Problem(
                    f"this takes longer than the {self._patience:g} s that a picture at once may take",
                    do="ask for fewer steps or images, or make them as work",
                )
            )
        elif wish.tries < 2 and wish.page not in self._waiting:
            self._waiting[wish.page] = wish
            self._waiting.move_to_end(wish.page, last=False)
        elif wish.page in self._waiting:
            wish.answer.set_exception(Superseded())
        else:
            why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            wish.answer.set_exception(
                Problem(
                    f"the process that draws ended twice over this ({why})",
                    do=f"ask for smaller images, perhaps memory is short; {self._log.name} has what it said",
                )
            )

    def _opened(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            environment = {"GOMP_SPINCOUNT": "2000", "HF_HUB_OFFLINE": "1", **os.environ}
            with open(self._log, "ab") as log:
                self._process = subprocess.Popen(
                    list(self._words), cwd=self._folder, env=environment,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                )  # fmt: skip
        return self._process

    def _send(self, said: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.write(json.dumps(said).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            pass  # it has ended; whoever reads from it notices

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _read(process: subprocess.Popen[bytes]) -> Answer | None:
    """The next answer; None where the process ended before it was whole."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        return None
    said: dict[str, Any] = json.loads(line)
    lengths = said.pop("blocks")
    blocks = tuple(process.stdout.read(length) for length in lengths)
    return Answer(said, blocks) if [len(block) for block in blocks] == lengths else None


def _settle(wish: _Wish, answer: Answer) -> None:
    if "refused" in answer.said:
        what, do = answer.said["refused"]
        wish.answer.set_exception(Problem(what, do=do))
    elif "fault" in answer.said:
        wish.answer.set_exception(RuntimeError(answer.said["fault"]))
    else:
        wish.answer.set_result(answer)
