"""Fetch a public data set: download, check, unpack, and say where it came from.

Beside the data stands ``source.json``: licence, DOI, citation, date, and of each file its address, length and SHA-256
with how that was known. Where neither the set's description nor its publisher states a checksum, the first download
is believed and its checksum recorded, beside the data and in ``checksums.json`` of the user's own data folder
(``$XDG_DATA_HOME/morphogen``, else ``~/.local/share/morphogen``); every later download is held against that.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from morphogen.data_sets.data_set import DataSet, PublishedFile, data_set
from morphogen.data_sets.download import Downloaded, Tell, download, sha256_of
from morphogen.data_sets.publishers import Stated, stated_by
from morphogen.data_sets.unpack import arrange_masks, unpack
from morphogen.problems import Problem
from morphogen.whole_files import require_space, write_text_whole

SOURCE = "source.json"
DOWNLOADS = ".downloads"
"""Folder in that of the set where archives lie until they are unpacked."""


class FetchedFile(BaseModel):
    """One file as it was fetched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    url: str
    size: int
    sha256: str
    checked: str
    """How its checksum was known: by whom it was stated, or that it was recorded at the first download."""
    fetched: str
    unpacked_files: int = 0


class Source(BaseModel):
    """Where a set came from, as it stands beside its data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    doi: str
    doi_is: str
    licence: str
    licence_url: str
    licence_stated_by_publisher: str = ""
    cite: str
    page: str
    files: tuple[FetchedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched, and what is to be told of it."""

    folder: Path
    source: Source
    next: str
    remarks: tuple[str, ...]


def fetch(
    name: str,
    folder: Path | str | None = None,
    *,
    given: Path | None = None,
    keep: bool = False,
    tell: Callable[[str], Tell] = lambda _name: lambda _have, _of: None,
) -> Fetched:
    """Fetch a set, or what is missing of it.

    Args:
        name: of the set.
        folder: where to; by default a folder of that name here. One that holds something else is refused.
        given: a file of the set that a person has downloaded; it is checked, unpacked and recorded like another.
        keep: keep archives after they were unpacked.
        tell: for each file, how progress is told.

    Raises:
        Problem: an unknown set, one that a person has to download, or what ``download`` and ``unpack`` refuse.
    """
    described = data_set(name)
    folder = Path(folder) if folder is not None else Path(name)
    known = _source_in(folder, name)
    if described.by_hand and given is None:
        wanted = ", ".join(f.name for f in described.files)
        raise Problem(
            f"'{name}' cannot be fetched: {described.by_hand}",
            do=f"download {wanted} from {described.page}, then fetch {name} from that file",
        )
    if given is not None and not given.is_file():
        raise Problem(f"there is no file {given}", do="check the path")
    record: tuple[dict[str, Stated], str] = ({}, "")
    if described.record is not None and given is None:
        record = stated_by(described.record, described.page)
    stated, licence = record
    files = _files(described, stated)
    remarks = list(described.notes)
    if licence and _plain(licence) != _plain(described.licence):
        remarks.append(
            f"The publisher states the licence '{licence}'; the description here says '{described.licence}'."
        )
    _begin(folder, files, stated)
    done = {f.name: f for f in known.files} if known is not None else {}
    for file in files:
        if file.name in done and given is None and _is_there(folder, file, done[file.name]):
            continue
        if given is not None and len(files) > 1 and given.name != file.name:
            continue
        fetched, said = _one(described, file, stated.get(file.name), folder, given, keep, tell(file.name))
        done[file.name] = fetched
        remarks += said
        source = Source(
            name=name,
            title=described.title,
            doi=described.doi,
            doi_is=described.doi_is,
            licence=described.licence,
            licence_url=described.licence_url,
            licence_stated_by_publisher=licence,
            cite=described.cite,
            page=described.page,
            files=tuple(done.values()),
        )
        write_text_whole(folder / SOURCE, source.model_dump_json(indent=1))
    found = _source_in(folder, name)
    if found is None:
        raise Problem(f"{given} is none of the files of '{name}'", do=f"give {', '.join(f.name for f in files)}")
    downloads = folder / DOWNLOADS
    if downloads.is_dir() and not any(downloads.iterdir()):
        downloads.rmdir()
    return Fetched(folder, found, described.next.format(folder=folder), tuple(remarks))


def _plain(licence: str) -> str:
    """The name of a licence without the ways of writing it: "cc-by-4.0" and "CC BY 4.0" are one."""
    return licence.casefold().replace("-", " ").strip()


def _files(described: DataSet, stated: dict[str, Stated]) -> list[PublishedFile]:
    """The files of a set with the addresses and lengths that its publisher states."""
    if described.record is None or not stated:
        return list(described.files)
    found = []
    for file in described.files:
        if file.name not in stated:
            raise Problem(
                f"the record of '{described.name}' has no {file.name} any more, but {', '.join(sorted(stated))}",
                do=f"look at {described.page}",
            )
        there = stated[file.name]
        if file.size is not None and file.size != there.size:
            raise Problem(
                f"{file.name} has {there.size:,} bytes at the publisher, and {file.size:,} in the description here",
                do=f"look at {described.page} for a new version",
            )
        found.append(file.model_copy(update={"url": there.url, "size": there.size}))
    return found


def _begin(folder: Path, files: list[PublishedFile], stated: dict[str, Stated]) -> None:
    """Room for all files, twice for archives, and a folder to hold them."""
    needed = sum((f.size or 0) * (2 if f.unpack in ("zip", "tar") else 1) for f in files)
    require_space(folder, needed, "fetching it")
    try:
        (folder / DOWNLOADS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"the folder {folder} cannot be made ({error.strerror})", do="choose another place") from None


def _one(
    described: DataSet,
    file: PublishedFile,
    stated: Stated | None,
    folder: Path,
    given: Path | None,
    keep: bool,
    tell: Tell,
) -> tuple[FetchedFile, list[str]]:
    """Fetch one file, check it and unpack it."""
    key, first = f"{described.name}/{file.name}", _first_downloads()
    believed = first.get(key) if file.sha256 is None and (stated is None or stated.md5 is None) else None
    place = folder / DOWNLOADS / file.name
    expected = file.sha256 or (believed["sha256"] if believed else None)
    if given is not None:
        whole = _taken(given, place, file, expected)
    else:
        md5 = stated.md5 if stated is not None else None
        whole = download(file.url, place, size=file.size, sha256=expected, md5=md5, tell=tell, page=described.page)
    remarks = []
    if file.sha256 is not None:
        checked = f"sha256 stated by {file.checksum_from or 'the description of the set'}"
    elif stated is not None and stated.md5 is not None:
        checked = f"md5 {stated.md5} stated by the publisher"
    elif believed is not None:
        checked = f"sha256 as at the first download of {believed['date']}"
    else:
        checked = "nobody states a checksum: recorded at this first download"
        remarks.append(
            f"Nobody states a checksum of {file.name}. That of this download is recorded, and later ones are held"
            " against"
            f" it: sha256 {whole.sha256}."
        )
        _record_first(key, whole.sha256)
    unpacked = 0
    if file.unpack in ("zip", "tar"):
        unpacked = unpack(place, folder, "zip" if file.unpack == "zip" else "tar", only=file.only)
        if described.masks_end:
            arrange_masks(folder, described.masks_end)
        if not keep:
            place.unlink()
    if place.exists():
        os.replace(place, folder / file.name)
    if file.unpack == "7z":
        by_hand = f"7z x {folder / file.name} -o{folder}"
        remarks.append(f"{file.name} is a 7z archive, which has to be unpacked by hand: {by_hand}")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return (
        FetchedFile(
            name=file.name,
            url=file.url or str(given),
            size=whole.size,
            sha256=whole.sha256,
            checked=checked,
            fetched=now,
            unpacked_files=unpacked,
        ),
        remarks,
    )


def _taken(given: Path, place: Path, file: PublishedFile, expected: str | None) -> Downloaded:
    """A file that a person has downloaded, copied to its place once it is known to be the right one."""
    size, digest = given.stat().st_size, sha256_of(given)
    if file.size is not None and size != file.size:
        raise Problem(f"{given} has {size:,} bytes, and {file.size:,} were published", do="download it again")
    if expected is not None and digest != expected:
        raise Problem(f"{given} is not what was published: its sha256 is {digest}", do="download it again")
    with open(given, "rb") as opened:
        head = opened.read(512).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        raise Problem(f"{given} is a web page and no data", do="download the file behind it")
    require_space(place.parent, size, "copying it")
    shutil.copyfile(given, place)
    return Downloaded(place, size, digest)


def _is_there(folder: Path, file: PublishedFile, done: FetchedFile) -> bool:
    """Whether a file that was fetched is there still: unpacked, or with the same bytes."""
    if file.unpack in ("zip", "tar"):
        return done.unpacked_files > 0 and any(f.name not in (SOURCE, DOWNLOADS, file.name) for f in folder.iterdir())
    place = folder / file.name
    return place.is_file() and place.stat().st_size == done.size and sha256_of(place) == done.sha256


def _source_in(folder: Path, name: str) -> Source | None:
    """What was fetched into a folder before.

    Raises:
        Problem: it holds something else.
    """
    if folder.is_file():
        raise Problem(f"{folder} is a file", do="name a new folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    file = folder / SOURCE
    if not file.is_file():
        if (folder / DOWNLOADS).is_dir() and all(f.name == DOWNLOADS for f in folder.iterdir()):
            return None  # begun, and nothing is whole yet
        raise Problem(f"{folder} holds something else already", do="name another folder")
    try:
        found = Source.model_validate_json(file.read_text(encoding="utf-8"))
    except (ValidationError, OSError, UnicodeDecodeError):
        raise Problem(f"{file} is no record of a fetched set", do="remove the folder, or name another") from None
    if found.name != name:
        raise Problem(f"{folder} holds '{found.name}'", do="name another folder")
    return found


def _records() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "morphogen" / "checksums.json"


def _first_downloads() -> dict[str, dict[str, str]]:
    """The checksums of first downloads, by set and file."""
    try:
        found = json.loads(_records().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise Problem(f"{_records()} cannot be read", do="mend it or move it away") from None
    return dict(found) if isinstance(found, dict) else {}


def _record_first(key: str, sha256: str) -> None:
    known = _first_downloads()
    known[key] = {"sha256": sha256, "date": datetime.now(UTC).date().isoformat()}
    place = _records()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"{place.parent} cannot be made ({error.strerror})", do="set XDG_DATA_HOME to a folder") from None
    write_text_whole(place, json.dumps(known, indent=1, sort_keys=True))
