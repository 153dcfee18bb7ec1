"""The methods and their settings, as ``morphogen methods --json`` tells them.

To import all methods takes seconds and hundreds of megabytes, which a server that shows pictures should not take. So
they are asked of another process when a server starts, and what it said is kept in the workspace for as long as no file
of a method changes.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import morphogen
from morphogen.problems import Problem
from morphogen.studio.workspace import Workspace
from morphogen.whole_files import write_text_whole

PATIENCE = 180.0
"""Seconds in which the other process must have answered."""


class KnownMethods:
    """What is known of all methods.

    Args:
        workspace: where it is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._file = workspace.own / "methods.json"
        self._found: list[dict[str, Any]] | None = None
        self._trouble = ""
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None

    def begin(self) -> None:
        """Ask, in the background, unless it is known."""
        with self._lock:
            if self._found is None and self._asking is None:
                self._asking = threading.Thread(target=self._ask, daemon=True)
                self._asking.start()

    def now(self) -> list[dict[str, Any]] | None:
        """What is known; None while it is being asked.

        Raises:
            Problem: the other process failed.
        """
        self.begin()
        if self._trouble:
            raise Problem(f"the methods cannot be read ({self._trouble})", do="try 'morphogen methods'")
        return self._found

    def waited_for(self) -> list[dict[str, Any]]:
        """What is known, when it is.

        Raises:
            Problem: the other process failed, or takes too long.
        """
        self.begin()
        if self._asking is not None:
            self._asking.join(PATIENCE)
        found = self.now()
        if found is None:
            raise Problem("the methods are still being read", do="try again in a minute")
        return found

    def _ask(self) -> None:
        stamp = _stamp()
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            if kept["stamp"] == stamp:
                self._found = kept["methods"]
                return
        except (OSError, ValueError, KeyError, TypeError):
            pass
        try:
            told = subprocess.run(
                [sys.executable, "-m", "morphogen", "methods", "--json"], capture_output=True, timeout=PATIENCE,
                check=False, stdin=subprocess.DEVNULL, text=True, start_new_session=True,
            )  # fmt: skip
            if told.returncode:
                self._trouble = (told.stderr.strip().splitlines() or ["no word"])[-1]
                return
            found = json.loads(told.stdout)
            write_text_whole(self._file, json.dumps({"stamp": stamp, "methods": found}))
            self._found = found
        except (OSError, ValueError, subprocess.SubprocessError, Problem) as error:
            self._trouble = str(error)


def _stamp() -> str:
    """Changes when a file of a method does."""
    places = [Path(morphogen.__file__).parent / name for name in ("methods", "understanding", "commands")]
    told = [morphogen.__version__]
    for place in places:
        told += sorted(f"{e.name} {e.stat().st_mtime_ns}" for e in os.scandir(place) if e.name.endswith(".py"))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()
