"""Files that no program should trust are refused in one line, at once, in little memory, and lead nowhere."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from malformed_files import corpus, write_outside

_READ_ALL = """
import json, os, resource, sys, time
import h5py, nibabel, nrrd, tifffile, zarr, zarr.storage, imagecodecs, PIL.Image, psutil
from pathlib import Path
from morphogen.images.endings import formats
from morphogen.images.folders import read_images
from morphogen.problems import Problem

formats()
said = []
limit = psutil.Process().memory_info().vms + 600 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for group, name, place in json.load(sys.stdin):
    start = time.process_time()
    try:
        found = f"read {len(read_images(place))} images"
        fault = True
    except Problem as problem:
        found, fault = str(problem), False
    except BaseException as error:
        found, fault = f"{type(error).__name__}: {error}", True
    said.append((group, name, fault, found, time.process_time() - start))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
if os.path.exists("/proc/self/status"):  # there, the other number counts the process that started this one
    peak = next(int(line.split()[1]) / 2**10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"said": said, "peak": peak}))
"""


class _Opened:
    """Context that counts what anybody opens in a folder, through the kernel: what libraries in C open too."""

    _OPEN, _ACCESS, _NONBLOCK = 0x20, 0x1, 0o4000

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.count = 0

    def __enter__(self) -> "_Opened":
        if not sys.platform.startswith("linux"):
            return self
        system = ctypes.CDLL(None, use_errno=True)
        self._watch = system.inotify_init1(self._NONBLOCK)
        for place in [self._folder, *(p for p in self._folder.rglob("*") if p.is_dir())]:
            system.inotify_add_watch(self._watch, os.fsencode(place), self._OPEN | self._ACCESS)
        return self

    def __exit__(self, *_: object) -> None:
        if sys.platform.startswith("linux"):
            try:
                self.count = len(os.read(self._watch, 2**16))
            except BlockingIOError:
                self.count = 0
            os.close(self._watch)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """All cases, read by one process that may not take much memory."""
    root = tmp_path_factory.mktemp("corpus")
    write_outside(root / "outside")
    places = []
    for number, case in enumerate(corpus()):
        folder = root / f"{number:03d}"
        folder.mkdir()
        places.append((case.group, case.name, str(case.make(folder, root / "outside"))))
    before = _state(root)
    with _Opened(root / "outside") as opened:
        done = subprocess.run(
            [sys.executable, "-c", _READ_ALL], input=json.dumps(places), capture_output=True, text=True, check=False,
            timeout=300, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"stderr": done.stderr, "before": before, "after": _state(root)} | {
        "opened": opened.count, "root": root, "places": places,
    }  # fmt: skip


def _state(root: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder, with its size and the time of its last change."""
    found = ((path, path.lstat()) for path in root.rglob("*"))
    return {os.fsencode(path).decode("latin-1"): (about.st_size, about.st_mtime_ns) for path, about in found}


def test_there_are_enough_of_them_of_every_kind(read):
    assert len(read["said"]) >= 300
    groups = {group for group, *_ in read["said"]}
    assert groups == {"truncated", "wrong magic", "nifti", "nrrd", "metaimage", "raw", "numpy", "zip", "hdf5", "zarr 2",
                      "zarr 3", "png", "jpeg", "tiff", "folder"}  # fmt: skip
    assert len({(group, name) for group, name, *_ in read["said"]}) == len(read["said"])


def test_each_is_one_clear_line(read):
    assert [one for one in read["said"] if one[2]] == []
    for group, name, _, line, _ in read["said"]:
        assert line.isprintable(), (group, name)
        what, _, do = line.partition(": ")
        assert what, (group, name)
        assert do, (group, name)
        assert len(line) < 700, line  # a path of a test's folder is long by itself
    assert read["stderr"] == ""


def test_each_takes_less_than_a_second_and_all_less_than_300_mib(read):
    assert [one for one in read["said"] if one[4] > 1] == []
    assert read["peak"] < 300


def test_nothing_outside_is_opened_and_nothing_is_written(read):
    assert read["opened"] == 0
    assert read["after"] == read["before"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel is asked through inotify")
def test_the_guard_sees_what_is_opened(tmp_path):
    (tmp_path / "good.raw").write_bytes(b"pixels")
    with _Opened(tmp_path) as opened:
        (tmp_path / "good.raw").read_bytes()
    assert opened.count > 0


@pytest.mark.parametrize(
    ("group", "name", "message"),
    [
        ("folder", "name 'red\\x1b[31m.png'", r"red\x1b[31m.png has characters that cannot be printed: rename it"),
        ("hdf5", "external link", "points at another file in /exchange/data"),
        ("nifti", "absurd", "declares 70.4 TB of pixels and holds 594 bytes"),
        ("zarr 2", "pickle", "needs the codec 'pickle', which is not admitted"),
        ("metaimage", "data above", "outside of its folder"),
        ("folder", "link away", "is a symbolic link that leaves"),
        ("raw", "header missing", "x.json with its own numbers, as {\"shape\""),
        ("hdf5", "several", "data sets: /a (3 x 9 x 11, uint16), /b (3 x 9 x 11, uint16) and /c/d (3 x 9"),
    ],
)  # fmt: skip
def test_the_line_says_what_is_wrong(read, group, name, message):
    (line,) = (said for g, n, _, said, _ in read["said"] if (g, n) == (group, name))
    assert message in line


def test_the_command_line_says_the_same(read, tmp_path):
    (place,) = (
        place for group, name, place in read["places"] if (group, name) == ("folder", "name 'red\\x1b[31m.png'")
    )
    words = [sys.executable, "-m", "morphogen", "split", place, "--out", "parts"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr
    assert list(tmp_path.iterdir()) == []
