"""A small workspace, and a studio of it whose work is only written down, or that is a process of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from morphogen.cli import cli
from morphogen.images.folders import write_images
from morphogen.studio import known_methods
from morphogen.studio.sketch_desk import SketchDesk
from morphogen.studio.studio import Limits, Studio
from morphogen.studio.workspace import OWN, Workspace
from small_sets import random_set

REFUSES = """
import json, sys
for line in sys.stdin:
    said = json.loads(line)
    if "id" in said:
        refused = ["nothing is drawn here", "draw elsewhere"]
        print(json.dumps({"id": said["id"], "blocks": [], "refused": refused}), flush=True)
"""
"""Speaks as ``sketching`` does."""


def know_methods(folder: Path) -> None:
    """Keep in a workspace what is known of the methods, so that no process has to be asked for it."""
    (folder / OWN).mkdir(parents=True, exist_ok=True)
    told = CliRunner().invoke(cli, ["methods", "--json"])
    kept = {"stamp": known_methods._stamp(), "methods": json.loads(told.stdout)}
    (folder / OWN / "methods.json").write_text(json.dumps(kept), encoding="utf-8")


def small_workspace(folder: Path) -> Path:
    """A workspace with a set of 16 bit in ``sets/grains``."""
    write_images(random_set(count=3, dtype="uint16"), folder / "sets" / "grains")
    return folder


def pretended(workspace: Path, folder: Path) -> Any:
    """Starts a process that ends at once, in place of the work that was asked for."""
    (folder / "end.json").write_text(json.dumps({"code": 0, "ended": "2026-01-01T00:00:00+00:00"}), encoding="utf-8")
    return subprocess.Popen(["true"], cwd=workspace)


def small_studio(folder: Path, limits: Limits | None = None) -> Studio:
    """A studio that does no work, and draws nothing at once."""
    studio = Studio.of(Workspace(folder), launch=pretended, limits=limits)
    process = [sys.executable, "-c", REFUSES]
    studio.sketches = SketchDesk(studio.workspace.folder, studio.workspace.own / "sketching.log", process=process)
    studio.endings[:] = [studio.sketches.close]
    return studio


def started(folder: Path, port: int = 0, stderr: int | None = None) -> tuple[subprocess.Popen[str], str]:
    """A studio of a workspace in a process of its own, and its address."""
    command = [sys.executable, "-m", "morphogen", "studio", str(folder), "--port", str(port)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment)
    assert server.stdout is not None
    address = ""
    for line in server.stdout:
        if found := re.search(r"http://127.0.0.1:\d+/", line):
            address = found.group()
        if line.startswith("Serving"):
            return server, address
    raise AssertionError("the studio did not start")
