"""Pictures at once: the newest request counts, and the process may die, hang or be idle without anybody noticing."""

import os
import signal
import sys
import threading
import time

import pytest

from morphogen.problems import Problem
from morphogen.studio.sketch_desk import SketchDesk, Superseded

STAND_IN = """
import json, os, sys, threading, time
dropped, turn = set(), threading.Condition()
waiting = []
def listen():
    for line in sys.stdin:
        said = json.loads(line)
        with turn:
            dropped.add(said["drop"]) if "drop" in said else waiting.append(said)
            turn.notify()
    os._exit(0)
threading.Thread(target=listen, daemon=True).start()
while True:
    with turn:
        while not waiting:
            turn.wait()
        said = waiting.pop(0)
    found, block = {"pid": os.getpid()}, b"picture"
    if said["what"] == "draw":
        end = time.monotonic() + said["seconds"]
        while time.monotonic() < end and said["id"] not in dropped:
            time.sleep(0.005)
        found["dropped"] = said["id"] in dropped
    elif said["what"] == "die":
        if not os.path.exists(said["unless"]):
            open(said["unless"], "w").close()
            os.kill(os.getpid(), 9)
    elif said["what"] == "always die":
        os.write(1, b'{"id": 3, "blo')
        os.kill(os.getpid(), 9)
    elif said["what"] == "refuse":
        found = {"refused": ["there is no such run", "choose another"]}
    line = json.dumps({"id": said["id"], "blocks": [len(block)], **found}) + "\\n"
    sys.stdout.buffer.write(line.encode() + block)
    sys.stdout.buffer.flush()
"""
"""Speaks as ``sketching`` does, in a twentieth of a second."""


@pytest.fixture
def desk(tmp_path):
    found = SketchDesk(tmp_path, tmp_path / "log", process=[sys.executable, "-c", STAND_IN], patience_seconds=1.5)
    yield found
    found.close()


def asked(desk, page, results, **what):
    def ask():
        try:
            results.append((what.get("number"), desk.ask(page, what)))
        except (Superseded, Problem) as refused:
            results.append((what.get("number"), type(refused)))

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_of_a_page_the_newest_request_counts_and_pages_take_turns(desk):
    desk.ask("one", {"what": "about"})
    results, other, started = [], [], time.monotonic()
    threads = []
    for number in range(4):
        threads.append(asked(desk, "one", results, what="draw", seconds=0.05 if number == 3 else 1.2, number=number))
        time.sleep(0.03)
    threads.append(asked(desk, "two", other, what="draw", seconds=0.01, number=9))
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 1  # what was dropped was not drawn to its end
    assert sorted(number for number, found in results if found is Superseded) == [0, 1, 2]
    (answer,) = [found for _, found in results if found is not Superseded]
    assert answer.blocks == (b"picture",)
    assert other[0][1].blocks == (b"picture",)


def test_it_is_started_again_where_it_died_and_asked_no_third_time(desk, tmp_path):
    first = desk.ask("one", {"what": "about"}).said["pid"]
    os.kill(first, signal.SIGKILL)
    second = desk.ask("one", {"what": "about"}).said["pid"]
    third = desk.ask("one", {"what": "die", "unless": str(tmp_path / "died once")}).said["pid"]
    assert len({first, second, third}) == 3
    with pytest.raises(Problem, match=r"ended twice over this \(SIGKILL\)"):
        desk.ask("one", {"what": "always die"})
    with pytest.raises(Problem, match="there is no such run: choose another"):
        desk.ask("one", {"what": "refuse"})
    assert desk.ask("one", {"what": "about"}).said["pid"] == desk.process_id


def test_what_takes_too_long_is_ended_and_an_idle_process_too(desk):
    with pytest.raises(Problem, match=r"takes longer than the 1\.5 s"):
        desk.ask("one", {"what": "draw", "seconds": 60})
    desk._idle = 0.1
    process = desk.ask("one", {"what": "about"}).said["pid"]
    for _ in range(100):
        if desk.process_id is None:
            break
        time.sleep(0.02)
    assert desk.process_id is None
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert desk.ask("one", {"what": "about"}).said["pid"] != process


def test_it_dies_with_the_server(desk):
    process = desk.ask("one", {"what": "about"}).said["pid"]
    results = []
    waiting = asked(desk, "one", results, what="draw", seconds=1)
    time.sleep(0.05)
    desk.close()
    waiting.join()
    assert results[0][1] is Problem
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(Problem, match="is closing"):
        desk.ask("one", {"what": "about"})
