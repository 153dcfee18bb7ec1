"""Answers, in SQLite: appended and never changed, and on the disk before they are acknowledged.

The journal is a write-ahead log, synchronous FULL: a commit returns when its log is on the disk, so a killed server or
machine loses nothing that was acknowledged. Answers that arrive together are committed together; with 64 raters one
wait for the disk serves many.

Triggers refuse updates and deletions, and each row carries a hash of itself and the row before, so that what was
changed by other programs is seen. While a server has the database open it says so inside; a copy of the file alone,
without the log beside it, may lack the last answers and is then refused.

The order of answers is that of their numbers. Calendar and clocks are recorded and decide nothing.
"""

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from morphogen.problems import Problem
from morphogen.review.records import Answer, sha256

ANSWERS = "answers.sqlite"

_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE answers (
    number INTEGER PRIMARY KEY,
    rater TEXT NOT NULL, position INTEGER NOT NULL, revision INTEGER NOT NULL,
    choice INTEGER, ratings TEXT NOT NULL, seconds REAL NOT NULL, attempt TEXT NOT NULL,
    session TEXT NOT NULL, monotonic REAL NOT NULL, wall TEXT NOT NULL, chain TEXT NOT NULL,
    UNIQUE (rater, position, revision), UNIQUE (rater, attempt)
) STRICT;
CREATE TRIGGER no_update BEFORE UPDATE ON answers BEGIN SELECT RAISE(ABORT, 'answers are only appended'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON answers BEGIN SELECT RAISE(ABORT, 'answers are only appended'); END;
"""
_TABLES = "SELECT count(*) FROM sqlite_master"
_COLUMNS = ("number", "rater", "position", "revision", "choice", "ratings", "seconds", "attempt", "session",
            "monotonic", "wall")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as a rater gave it, before it has a number; see ``Answer``."""

    rater: str
    position: int
    revision: int
    choice: int | None
    ratings: tuple[int | None, ...]
    seconds: float
    attempt: str


class AnswerBook:
    """The answers of a study, opened for writing by the one server that may.

    Args:
        folder: of the study.
        study_sha256: hash of ``study.json``; answers to another study are refused.

    Raises:
        Problem: the database is damaged, or belongs to another study.
    """

    def __init__(self, folder: Path, study_sha256: str) -> None:
        self.file = folder / ANSWERS
        self.session = uuid.uuid4().hex[:12]
        read_answers(folder, study_sha256)  # whole, unchanged, and of this study, before anything is written to it
        try:
            self._base = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            if self._base.execute(_TABLES).fetchone() == (0,):
                self._base.executescript(f"BEGIN; {_SCHEMA}")
                self._base.execute("INSERT INTO about VALUES ('study', ?)", (study_sha256,))
                self._base.execute("COMMIT")
            self._base.execute("INSERT OR REPLACE INTO about VALUES ('open', 'yes')")
            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the file itself says that it is open
        except sqlite3.Error as error:
            raise Problem(f"{self.file} cannot be written ({error})", do=_advice(error)) from None
        rows = self._base.execute("SELECT number, chain FROM answers ORDER BY number DESC LIMIT 1").fetchone()
        self._number: int = rows[0] if rows is not None else 0
        self._chain: str = rows[1] if rows is not None else ""

    def append(self, given: Sequence[Given]) -> list[Answer]:
        """Store answers; when this returns they are on the disk.

        Raises:
            Problem: the disk is full or gone. Then none of them is stored, and they can be stored later.
        """
        number, chain, stored, rows = self._number, self._chain, [], []
        monotonic, wall = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
        for one in given:
            number += 1
            answer = Answer(
                number=number, rater=one.rater, position=one.position, revision=one.revision, choice=one.choice,
                ratings=one.ratings, seconds=one.seconds, attempt=one.attempt, session=self.session,
                monotonic=monotonic, wall=wall,
            )  # fmt: skip
            row = _row(answer)
            chain = _link(chain, row)
            stored.append(answer)
            rows.append((*row, chain))
        try:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.executemany(f"INSERT INTO answers VALUES ({', '.join('?' * 12)})", rows)
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            if self._base.in_transaction:
                with suppress(sqlite3.Error):
                    self._base.execute("ROLLBACK")
            raise Problem(f"answers cannot be stored in {self.file} ({error})", do=_advice(error)) from None
        self._number, self._chain = number, chain
        return stored

    def close(self) -> None:
        """Write the log into the file and say that nobody has it open; on a full disk the log stays beside it."""
        closed = False
        try:
            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # gives room for what comes
            self._base.execute("INSERT OR REPLACE INTO about VALUES ('open', 'no')")
            closed = True
            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            pass
        self._base.close()
        if not closed:
            # SQLite removes a log that it has written into the file. Without one, a file that says that it is open
            # would be taken for a copy that lacks answers.
            self.file.with_name(f"{ANSWERS}-wal").touch()


def read_answers(folder: Path, study_sha256: str) -> list[Answer]:
    """All answers of a study, in their order; also while a server goes on taking more.

    Raises:
        Problem: the database is damaged, was changed, lacks its log, or belongs to another study.
    """
    file = folder / ANSWERS
    if not file.exists():
        return []
    log = file.with_name(f"{ANSWERS}-wal")
    had_log = log.exists()
    try:
        with closing(_copy_in_memory(file, had_log)) as copy:
            if copy.execute(_TABLES).fetchone() == (0,):
                return []  # the first server came no further, for it was killed or the disk was full
            about = dict(copy.execute("SELECT name, value FROM about"))
            rows = copy.execute(f"SELECT {', '.join(_COLUMNS)}, chain FROM answers ORDER BY number").fetchall()
    except sqlite3.Error as error:
        if _code(error) == sqlite3.SQLITE_CANTOPEN:
            raise Problem(
                f"{file} and its log cannot be read together where nothing may be written",
                do="copy the study to a folder that you may write to",
            ) from None
        raise Problem(f"{file} is damaged ({error})", do="restore it, with answers.sqlite-wal beside it") from None
    if about.get("study") != study_sha256:
        raise Problem(f"{file} holds answers to another study, or study.json was changed since the first answer",
                      do="restore the study folder")  # fmt: skip
    if about.get("open") == "yes" and not had_log:
        raise Problem(
            f"{file} was copied while a server had it open, without its log; answers may be missing",
            do="copy answers.sqlite-wal with it, or stop the server and copy again",
        )
    chain = ""
    for count, row in enumerate(rows, 1):
        chain = _link(chain, row[:-1])
        if row[0] != count or row[-1] != chain:
            raise Problem(f"answer {count} in {file} is not as it was stored", do="restore the database")
    return [Answer(**_named(row)) for row in rows]


def _copy_in_memory(file: Path, has_log: bool) -> sqlite3.Connection:
    """One state of the database, whatever is written meanwhile. What is only read leaves the log where it is."""
    copy = sqlite3.connect(":memory:")
    try:
        # SQLite makes files beside one that it reads. Where it may not and there is no log, nobody writes.
        for how in ("mode=ro", "mode=ro&immutable=1"):
            try:
                with closing(sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)) as base:
                    base.backup(copy)
                return copy
            except sqlite3.Error as error:
                if has_log or _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                    raise
        raise Problem(f"{file} cannot be read", do="choose a folder that you may read")
    except BaseException:
        copy.close()
        raise


def last_of_each(answers: Iterable[Answer]) -> list[Answer]:
    """For each question of each rater the answer that counts, in the order of the questions."""
    last: dict[tuple[str, int], Answer] = {}
    for answer in answers:
        last[answer.rater, answer.position] = answer
    return sorted(last.values(), key=lambda a: (a.rater, a.position))


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 of what Python itself raises."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _advice(error: sqlite3.Error) -> str:
    if _code(error) == sqlite3.SQLITE_FULL:
        return "free some space on the disk"
    return "see that there is room on the disk and that the folder may be written to"


def _row(answer: Answer) -> tuple[Any, ...]:
    plain = answer.model_dump()
    plain["ratings"] = json.dumps(answer.ratings)
    return tuple(plain[name] for name in _COLUMNS)


def _named(row: Sequence[Any]) -> dict[str, Any]:
    named = dict(zip(_COLUMNS, row, strict=False))
    return named | {"ratings": tuple(json.loads(named["ratings"]))}


def _link(chain: str, row: Sequence[Any]) -> str:
    return sha256(f"{chain}{json.dumps(list(row))}".encode())
