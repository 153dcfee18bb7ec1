"""The workspace: a folder with image sets, runs and what was made of them, and the names that a browser may use.

    sets/NAME        image sets, as a folder or a file; what is uploaded goes here
    runs/NAME        runs
    made/NAME        sets that runs made
    edited/NAME      sets that were edited
    cards/NAME       cards of sets, as 'describe --out' writes them
    compared/NAME    evidence, as 'evaluate --out' writes it
    .studio/         what the studio itself keeps: work, uploads on their way, its secret

Sets and runs that lie in other folders of the workspace are found too, two folders deep at most, and what lies
elsewhere is brought in by its path on the command line and stays where it is.

A name is what one would type in the workspace: "sets/rock", or the path of what lies elsewhere. A browser only ever
sends names back that it was given: they are looked up in a list that was read from the disk, and never joined to a
path. New names are letters, digits, "-", "_" and "." in one of the folders above.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from morphogen.images.endings import ending_of, is_image, readable_extensions
from morphogen.images.triples import is_triples
from morphogen.problems import Problem
from morphogen.whole_files import write_text_whole

Kind = Literal["set", "triples", "run", "card", "evidence"]
Shelf = Literal["sets", "runs", "made", "edited", "cards", "compared"]

SHELVES: tuple[Shelf, ...] = ("sets", "runs", "made", "edited", "cards", "compared")
OWN = ".studio"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What a new name looks like."""

_LOOSE = 8
"""More images than this that lie in the workspace itself are one set, called "."; fewer are sets of their own."""

_LOOKED_AT = 2000
"""Names of a folder that are looked at to tell whether there is an image among them."""


class Missing(Problem):
    """What was named is not in the list."""


@dataclass(frozen=True, slots=True)
class Thing:
    """A set, a run, or something that was made of them.

    Attributes:
        name: what one would type in the workspace.
        kind: what it is.
        path: where it is.
        changed: when, in seconds since 1970.
    """

    name: str
    kind: Kind
    path: Path
    changed: float

    @property
    def typed(self) -> str:
        """The name as an argument of a command, which no option can be mistaken for."""
        return f"./{self.name}" if self.name.startswith("-") else self.name


class Workspace:
    """A folder with sets and runs.

    Args:
        folder: where; made where it is missing.
        elsewhere: paths of sets and runs that lie elsewhere; they are remembered.

    Raises:
        Problem: it cannot be made or written to, or there is no set and no run at a path.
    """

    def __init__(self, folder: Path, elsewhere: Sequence[Path] = ()) -> None:
        self.folder = folder.absolute()
        self.own = self.folder / OWN
        try:
            for part in ("work", "uploads"):
                (self.own / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Problem(f"{folder} cannot be a workspace ({error.strerror})", do="choose another folder") from None
        self._list = self.own / "elsewhere.json"
        known = self._elsewhere()
        for path in elsewhere:
            path = path.absolute()
            if kind_of(path) is None:
                raise Problem(f"there is no image set and no run in {path}", do="check the path")
            known = [*(other for other in known if other != path), path]
        if elsewhere:
            write_text_whole(self._list, json.dumps([str(path) for path in known], indent=1))

    @property
    def secret(self) -> str:
        """What the cookies of the pages are signed by; kept, so that an open page outlives its server."""
        file = self.own / "secret"
        if not file.exists():
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as opened:
                opened.write(secrets.token_urlsafe(24))
        return file.read_text(encoding="ascii")

    def things(self) -> dict[str, Thing]:
        """All that is there, by name, the latest first."""
        found: dict[str, Thing] = {}
        for path in _below(self.folder):
            name = path.relative_to(self.folder).as_posix()
            thing = self._thing(name, path)
            if thing is not None:
                found[name] = thing
        for path in self._elsewhere():
            thing = self._thing(str(path), path)
            if thing is not None:
                found[thing.name] = thing
        return dict(sorted(found.items(), key=lambda item: -item[1].changed))

    def all_of(self, *kinds: Kind) -> list[Thing]:
        """All of these kinds, the latest first."""
        return [thing for thing in self.things().values() if thing.kind in kinds]

    def find(self, name: str, *kinds: Kind) -> Thing:
        """What has this name.

        Raises:
            Missing: nothing of these kinds has.
        """
        path = self._listed(name)
        thing = self._thing(name, path) if path is not None else None
        if thing is None or thing.kind not in kinds:
            what = {"set": "image set", "run": "run", "card": "card", "evidence": "evidence", "triples": "triples"}
            raise Missing(f"there is no {what[kinds[0]]} of that name here", do="choose one of the list")
        return thing

    def place_for(self, shelf: Shelf, name: str) -> str:
        """The name of something new on a shelf, as "runs/ddpm".

        Raises:
            Problem: it is no possible name, or is taken.
        """
        if not re.fullmatch(NAME, name) or name.endswith("."):
            raise Problem(
                "a name begins with a letter or a digit and goes on with these, '-', '_' and '.', 64 at most",
                do="choose another name",
            )
        if os.path.lexists(self.folder / shelf / name):
            raise Problem(f"there is a {shelf}/{name} already", do="choose another name")
        return f"{shelf}/{name}"

    def free_name(self, shelf: Shelf, wanted: str) -> str:
        """The first of ``wanted``, ``wanted-2``, ... that is free on a shelf, without the shelf."""
        wanted = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._")[:56] or "new"
        name, number = wanted, 1
        while os.path.lexists(self.folder / shelf / name):
            number += 1
            name = f"{wanted}-{number}"
        return name

    def _listed(self, name: str) -> Path | None:
        """Where the thing of a name is, if there is one in the list; without looking at all others."""
        top, _, below = name.partition("/")
        for path in _first(self.folder):
            if path.name == name or (path == self.folder and name == "."):
                return path
            if path.name == top and below and path.is_dir() and kind_of(path) is None:
                return next((p for p in _visible(path) if p.name == below), None)
        return next((path for path in self._elsewhere() if str(path) == name), None)

    def _thing(self, name: str, path: Path) -> Thing | None:
        kind = "set" if path == self.folder else kind_of(path)
        return None if kind is None else Thing(name, kind, path, _changed(path, kind))

    def _elsewhere(self) -> list[Path]:
        try:
            told: Any = json.loads(self._list.read_text(encoding="utf-8"))
            return [Path(text) for text in told if isinstance(text, str)]
        except (OSError, ValueError):
            return []


def kind_of(path: Path) -> Kind | None:
    """What lies at a path; None where it is nothing that the studio shows."""
    try:
        if (path / "run.json").is_file():
            return "run"
        if (path / "card.json").is_file():
            return "card"
        if (path / "study.json").is_file() and (path / "index.html").is_file():
            return "evidence"
        if is_image(path):
            return "set"
        if not path.is_dir():
            return None
        if is_triples(path):
            return "triples"
        if _holds_images(path) or _holds_images(path / "images"):
            return "set"
        if path.name not in SHELVES and not _is_split(path) and any(_holds_images(p) for p in _folders(path)):
            return "set"  # folders named by class
    except OSError:
        pass
    return None


def _below(folder: Path) -> Iterator[Path]:
    """What may be a thing: all in the folder, and all in those of its folders that are none themselves."""
    for path in _first(folder):
        if path == folder or kind_of(path) is not None:
            yield path
        elif path.is_dir():
            yield from _visible(path)


def _first(folder: Path) -> list[Path]:
    """What is in a workspace, first itself where many images lie in it."""
    found = _visible(folder)
    loose = [path for path in found if ending_of(path) in readable_extensions() and path.is_file()]
    if len(loose) <= _LOOSE:
        return found
    return [folder, *(path for path in found if path not in set(loose))]


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, without hidden names, names that cannot be printed, and links that lead out of it."""
    try:
        found = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name.isprintable())
    except OSError:
        return []
    return [p for p in found if not p.is_symlink() or p.resolve().is_relative_to(folder.resolve())]


def _folders(path: Path) -> list[Path]:
    return [p for p in _visible(path) if p.is_dir() and p.name != "masks"]


def _is_split(path: Path) -> bool:
    return (path / "training").is_dir() and (path / "held_out").is_dir()


def _holds_images(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    known = readable_extensions()
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number > _LOOKED_AT:
                return False
            if not entry.name.startswith(".") and ending_of(entry.name) in known:
                return True
    return False


def _changed(path: Path, kind: Kind) -> float:
    names = {"run": "progress.jsonl", "set": "images"}
    inner = path / names.get(kind, ".")
    return (inner if inner.exists() else path).stat().st_mtime
