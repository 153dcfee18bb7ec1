"""How a review's server bears many raters at once, and a kill (`python benchmarks/review_load.py`).

Simulated raters, each in a connection of his own, look at an image of every question, think (a time from an exponential
distribution) and answer; half-way through the server is killed with SIGKILL and started again, and whoever had no
acknowledgement sends his answer anew. Told are the times from sending an answer to its acknowledgement, those that met
the kill apart, and how many acknowledged answers are missing or doubled in the database afterwards. Then once more
without thinking and without a kill: as fast as one server takes them.

The answers are synchronously on the disk before they are acknowledged. No networks, no training.
"""

import argparse
import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.review.answers import read_answers
from morphogen.review.folder import OpenReview
from morphogen.review.making import new_review


@dataclass
class Tally:
    """What the raters saw."""

    seconds: list[float] = field(default_factory=list)
    through_the_kill: list[float] = field(default_factory=list)
    acknowledged: set[tuple[int, int]] = field(default_factory=set)
    cpu: float = 0.0


class Rater:
    """One rater in one connection."""

    def __init__(self, number: int, port: int, link: str, questions: int, think: float, tally: Tally) -> None:
        self.number, self.port, self.link, self.questions = number, port, link, questions
        self.think, self.tally = think, tally
        self.random = np.random.default_rng(number)
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.cookie = ""

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request over the open connection, HTTP/1.1."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self.reader is not None
        head = f"{method} {self.link}{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {self.cookie}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.writer.write(head.encode() + b"\r\n" + body)
        top = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = int(re.search(r"content-length: (\d+)", top, re.IGNORECASE).group(1))
        if cookie := re.search(r"set-cookie: ([^;]+)", top, re.IGNORECASE):
            self.cookie = cookie.group(1)
        return int(top.split()[1]), await self.reader.readexactly(length)

    async def persistently(self, method: str, path: str, body: bytes = b"") -> tuple[bytes, int]:
        """The same until it is answered, and how often it had to be tried again."""
        for tries in range(10_000):
            try:
                status, content = await self.ask(method, path, body)
                assert status == 200, (status, content)
                return content, tries
            except (OSError, asyncio.IncompleteReadError):
                self.writer = None
                await asyncio.sleep(0.05)
        raise AssertionError("the server did not come back")

    async def answer_all(self) -> None:
        """Open the page, and look, think and answer until the last question."""
        await self.persistently("GET", "")
        for position in range(self.questions):
            await self.persistently("GET", f"image/{position}/0/0")
            if self.think:
                await asyncio.sleep(self.random.exponential(self.think))
            body = json.dumps({"position": position, "choice": int(self.random.integers(6)), "seconds": 1.0,
                               "attempt": secrets.token_hex(8)}).encode()  # fmt: skip
            started = time.perf_counter()
            _, tries = await self.persistently("POST", "answer", body)
            taken = time.perf_counter() - started
            (self.tally.through_the_kill if tries else self.tally.seconds).append(taken)
            self.tally.acknowledged.add((self.number, position))


def study(folder: Path, raters: int, questions: int) -> list[str]:
    """A study of noise, and the links of its raters."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (1, 128, 128)).astype(np.uint8) for _ in range(questions + 2)]
    sets = [
        Pictures([Picture(pixels, (1.0, 1.0), Origin(f"s{k}")) for k, pixels in enumerate(images[start::2])], name)
        for start, name in enumerate(("measured", "generated"))
    ]
    names = [f"r{k:03}" for k in range(raters)]
    made = new_review(
        folder, measured=sets[0], generated={"noise": sets[1]}, raters=names, questions=questions, repeats=0
    )
    return [made.links[name] for name in names]


def started(folder: Path, port: int = 0) -> tuple[subprocess.Popen[str], int]:
    """A server of the study, and its port."""
    command = [sys.executable, "-m", "morphogen", "review", "serve", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"http://127.0.0.1:(\d+)/", line):
            port = int(found.group(1))
        if line.startswith("Serving"):
            return server, port
    raise SystemExit("the server did not start")


def cpu_seconds(server: subprocess.Popen[str]) -> float:
    """Processor time of a server up to now: what an answer costs, however busy the machine is."""
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


async def session(folder: Path, links: list[str], questions: int, think: float, kill: bool) -> tuple[Tally, float]:
    """All raters at once; with a kill when half of the answers are there."""
    server, port = started(folder)
    tally, begun, at_start = Tally(), time.perf_counter(), cpu_seconds(server)
    raters = [Rater(k, port, link, questions, think, tally) for k, link in enumerate(links)]
    work = asyncio.gather(*(rater.answer_all() for rater in raters))
    if kill:
        while len(tally.acknowledged) < len(links) * questions / 2:
            await asyncio.sleep(0.01)
        tally.cpu += cpu_seconds(server) - at_start
        server.kill()
        server.wait()
        server, _ = await asyncio.to_thread(started, folder, port)
        at_start = cpu_seconds(server)
    await work
    taken = time.perf_counter() - begun
    tally.cpu += cpu_seconds(server) - at_start
    server.terminate()
    server.wait()
    return tally, taken


def main() -> None:
    """Print one table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--raters", type=int, default=64)
    options.add_argument("--questions", type=int, default=50)
    options.add_argument("--think", type=float, default=1.0, help="mean seconds between question and answer")
    given = options.parse_args()
    table = Table(title=f"{given.raters} raters at once, {given.questions} answers each")
    table.add_column("")
    rows: dict[str, list[str]] = {}
    lost_at_all = 0
    for name, think, kill in ((f"thinking {given.think:g} s, killed half-way", given.think, True),
                              ("as fast as they are taken", 0.0, False)):  # fmt: skip
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "study"
            links = study(folder, given.raters, given.questions)
            tally, taken = asyncio.run(session(folder, links, given.questions, think, kill))
            stored = [(int(a.rater[1:]), a.position) for a in read_answers(folder, OpenReview.of(folder).sha256)]
        lost, doubled = len(tally.acknowledged - set(stored)), len(stored) - len(set(stored))
        lost_at_all += lost + doubled
        median, high, highest = np.quantile(1e3 * np.array(tally.seconds), (0.5, 0.95, 0.99))
        through = f"{1e3 * np.median(tally.through_the_kill):.0f}" if tally.through_the_kill else "–"
        table.add_column(name, justify="right")
        for row, value in {
            "median time of an answer (ms)": f"{median:.1f}",
            "95 % of answers within (ms)": f"{high:.1f}",
            "99 % of answers within (ms)": f"{highest:.1f}",
            "median of those that met the kill (ms)": through,
            "server's processor time, an image and an answer (ms)": f"{1e3 * tally.cpu / len(stored):.2f}",
            "answers a second": f"{len(stored) / taken:.0f}",
            "acknowledged and lost": str(lost),
            "stored twice": str(doubled),
        }.items():
            rows.setdefault(row, []).append(value)
    for row, values in rows.items():
        table.add_row(row, *values)
    Console().print(table)
    if lost_at_all:
        raise SystemExit("answers were lost or doubled")


if __name__ == "__main__":
    main()
