"""Work: commands of Morphogen, each in a process of its own that outlives the browser and the server.

Each piece has a folder in ``.studio/work``, numbered:

    work.json        the command and what it is for (never changes)
    process.json     which process it is; written by itself
    progress.json    how far it is; see ``morphogen.progress``
    stopping         there from when a person asked it to stop
    log.txt          what it says
    end.json         how it ended; written by itself

So what is known of work is on the disk, and a server that starts later knows as much as the one that began it.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from morphogen.problems import Problem
from morphogen.progress import READER
from morphogen.studio.workspace import Missing, Workspace
from morphogen.whole_files import write_text_whole

State = Literal["starting", "running", "stopping", "done", "stopped", "refused", "failed", "died"]

AT_WORK: tuple[State, ...] = ("starting", "running", "stopping")
MOST_AT_ONCE = 4
"""Pieces of work at a time; more would only slow each other down."""

LOG_TAIL = 16_384
"""Bytes of the end of a log that are shown."""

_STARTS_WITHIN = 60.0
"""Seconds in which a process must have said that it is there, where no one else knows of it."""

Launch = Callable[[Path, Path], "subprocess.Popen[bytes]"]


class Record(BaseModel):
    """What is to be done.

    Attributes:
        number: of the piece of work.
        task: the page that it belongs to: "look", "train", "generate", "edit" or "compare".
        title: in a few words, for a person.
        words: what follows "morphogen" in the command.
        of: names of what it reads.
        makes: name of what it makes, as "runs/ddpm"; "" for nothing that stays.
        after: number of the piece that this one goes on with; 0 for none.
        started: when, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    task: str
    title: str
    words: tuple[str, ...]
    of: tuple[str, ...] = ()
    makes: str = ""
    after: int = 0
    started: str


class Progress(BaseModel):
    """How far something is: ``done`` of ``of``, None where that is unknown."""

    words: str
    done: float
    of: float | None


class Work(BaseModel):
    """A piece of work as a page shows it.

    Attributes:
        record: what is to be done.
        state: how it is. "refused" is a problem that a person can put right, "failed" a fault of the program, "died" a
            process that was killed.
        said: the one line to be read of an end that was not a good one.
        command: what to type to do the same, without the folder to be in.
        progress: how far it is, where it says so.
        seconds: it has taken.
        made: whether what it makes is there.
        can_go_on: whether it can be gone on with.
    """

    record: Record
    state: State
    said: str
    command: str
    progress: Progress | None
    seconds: float
    made: bool
    can_go_on: bool


class Works:
    """All work of a workspace.

    Args:
        workspace: where the work is done.
        launch: starts the process of the work in a folder; by default ``working``.
    """

    def __init__(self, workspace: Workspace, launch: Launch | None = None) -> None:
        self._workspace = workspace
        self._folder = workspace.own / "work"
        self._launch = launch or _launch
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._records: dict[int, Record] = {}  # which never change
        self._lock = threading.Lock()

    def start(
        self, task: str, title: str, words: Sequence[str], *, of: Sequence[str] = (), makes: str = "", after: int = 0
    ) -> Work:
        """Start a command of Morphogen in the workspace.

        Args:
            task: the page that it belongs to.
            title: in a few words, for a person.
            words: what follows "morphogen"; ``Thing.typed`` of what it reads, and never a path from a browser.
            of: names of what it reads.
            makes: name of what it makes.
            after: number of the piece that this one goes on with.

        Raises:
            Problem: too much is being done already, or it cannot be written down.
        """
        with self._lock:
            at_work = [work for work in self.all() if work.state in AT_WORK]
            if len(at_work) >= MOST_AT_ONCE:
                raise Problem(f"{MOST_AT_ONCE} pieces of work are going on", do="stop one, or wait for one to end")
            for other in at_work:
                if makes and other.record.makes == makes:
                    raise Problem(f"work {other.record.number} is making {makes}", do="stop it, or wait for it")
            number = max(self._numbers(), default=0) + 1
            folder = self._folder / f"{number:04d}"
            try:
                folder.mkdir()
            except OSError as error:
                raise Problem(f"{folder} cannot be made ({error.strerror})", do="free some space") from None
            record = Record(
                number=number, task=task, title=title, words=tuple(words), of=tuple(of), makes=makes, after=after,
                started=datetime.now(UTC).isoformat(timespec="milliseconds"),
            )  # fmt: skip
            write_text_whole(folder / "work.json", record.model_dump_json(indent=1))
            try:
                self._children[number] = self._launch(self._workspace.folder, folder)
            except OSError as error:
                write_text_whole(folder / "end.json", json.dumps({"code": 1, "ended": record.started}))
                raise Problem(f"no process can be started ({error.strerror})", do="end some others") from None
        return self.get(number)

    def all(self, at_most: int = 500) -> list[Work]:
        """The latest pieces of work, the last one first."""
        found, followed = [], self._followed()
        for number in sorted(self._numbers(), reverse=True)[:at_most]:
            with suppress(Missing):
                found.append(self._work(number, followed))
        return found

    def get(self, number: int) -> Work:
        """One piece of work.

        Raises:
            Missing: there is none of that number.
        """
        return self._work(number, self._followed())

    def _work(self, number: int, followed: set[int]) -> Work:
        folder, record = self._folder / f"{number:04d}", self._record(number)
        end = _read(folder / "end.json")
        state = self._state(number, record, folder, end)
        ended = datetime.fromisoformat(end["ended"]) if end else datetime.now(UTC)
        if state == "died":
            ended = datetime.fromtimestamp(_last_sign(folder), UTC)
        told = _read(folder / "progress.json")
        made = bool(record.makes) and (self._workspace.folder / record.makes).exists()
        return Work(
            record=record,
            state=state,
            said="" if state in (*AT_WORK, "done") else _said(state, self.log(number)),
            command=shlex.join(["morphogen", *record.words]),
            progress=Progress.model_validate(told) if told and state in AT_WORK else None,
            seconds=max(0.0, (ended - datetime.fromisoformat(record.started)).total_seconds()),
            made=made,
            can_go_on=record.task == "train"
            and state in ("stopped", "died", "failed", "done")
            and number not in followed,
        )

    def log(self, number: int) -> str:
        """The end of what a piece of work says."""
        try:
            with open(self._folder / f"{number:04d}" / "log.txt", "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_TAIL))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def stop(self, number: int) -> Work:
        """Ask a piece of work to stop, as Ctrl-C does; asked again, it stops at once.

        Raises:
            Missing: there is none of that number.
            Problem: it has ended.
        """
        folder = self._folder / f"{number:04d}"
        work = self.get(number)
        if work.state not in AT_WORK:
            raise Problem(f"work {number} has ended", do="look at how")
        process = self._process(folder)
        if process is None:
            raise Problem(f"work {number} has only just begun", do="try again in a second")
        (folder / "stopping").touch()
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
        return self.get(number)

    def _numbers(self) -> list[int]:
        return [int(path.name) for path in self._folder.iterdir() if path.name.isdecimal()]

    def _followed(self) -> set[int]:
        """Pieces that others went on with."""
        found = set()
        for number in self._numbers():
            with suppress(Missing):
                found.add(self._record(number).after)
        return found

    def _record(self, number: int) -> Record:
        if number not in self._records:
            try:
                text = (self._folder / f"{number:04d}" / "work.json").read_text(encoding="utf-8")
                self._records[number] = Record.model_validate_json(text)
            except (OSError, ValidationError):
                raise Missing(f"there is no work {number}", do="choose one of the list") from None
        return self._records[number]

    def _state(self, number: int, record: Record, folder: Path, end: dict[str, Any] | None) -> State:
        child = self._children.get(number)
        over = child is not None and child.poll() is not None  # which also lets go of the process
        if end is None and not over:
            if self._process(folder) is not None:
                return "stopping" if (folder / "stopping").exists() else "running"
            if not (folder / "process.json").exists():
                started = datetime.fromisoformat(record.started)
                if child is not None or (datetime.now(UTC) - started).total_seconds() < _STARTS_WITHIN:
                    return "starting"
        end = end or _read(folder / "end.json")  # it may have ended since
        if end is None:
            return "died"
        states: dict[int, State] = {0: "done", 130: "stopped", 2: "refused"}
        return states.get(end["code"], "failed")

    def _process(self, folder: Path) -> psutil.Process | None:
        """The process of a piece of work, if it is alive and no other that has got its number since."""
        told = _read(folder / "process.json")
        if told is None:
            return None
        try:
            process = psutil.Process(told["pid"])
            if abs(process.create_time() - told["born"]) < 1.0 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.Error:
            pass
        return None


def _launch(workspace: Path, folder: Path) -> "subprocess.Popen[bytes]":
    """Start the process of a piece of work, in a session of its own."""
    told = {READER: str(folder / "progress.json"), "PYTHONUNBUFFERED": "1", "COLUMNS": "120", "TERM": "dumb"}
    with open(folder / "log.txt", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "morphogen.studio.working", str(folder)], cwd=workspace, env=os.environ | told,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _last_sign(folder: Path) -> float:
    """When a process that died last wrote something."""
    return max(path.stat().st_mtime for path in folder.iterdir())


def _said(state: State, log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if state == "died":
        return "Its process is gone and did not say why: it was killed, or the machine was switched off."
    if state in ("refused", "failed"):
        told = [line.removeprefix("morphogen: ") for line in lines if line.startswith(("morphogen: ", "Error: "))]
        return (told or lines or ["It ended without a word."])[-1].removeprefix("Error: ")
    if state == "stopped":
        return next((line for line in reversed(lines) if line.startswith("Stopped and saved")), "Stopped.")
    return ""
