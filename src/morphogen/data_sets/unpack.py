"""Archives from elsewhere: unpacked whole or not at all, never outside of the folder, never more than there is room.

Refused before a byte is written: names that are absolute, climb out by ``..``, have a drive or control characters in
them or come twice; links and devices; encrypted members; and more bytes than ``MOST_TIMES`` the archive or than the
disk has. What is written is counted, since an archive may lie about its sizes.
"""

import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from morphogen.problems import Problem
from morphogen.whole_files import require_space

MOST_TIMES = 200
"""Times its own size that an archive may unpack to: more is a bomb, not an image."""

MOST_FILES = 2_000_000
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int
    folder: bool
    of: zipfile.ZipInfo | tarfile.TarInfo


def unpack(archive: Path, folder: Path, kind: Literal["zip", "tar"], *, only: str = "") -> int:
    """Unpack an archive into a folder, whose files of the same names are replaced.

    Args:
        archive: the file.
        folder: where to; exists.
        kind: what it is; a "tar" may be compressed.
        only: only what is below this folder of the archive, and without it.

    Returns:
        How many files there were.

    Raises:
        Problem: it is no such archive, is damaged, or has something in it that it should not.
    """
    temporary = folder / f".unpacking-{archive.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with _opened(archive, kind) as (members, read):
            wanted = _wanted(members, only, archive)
            if not wanted:
                raise Problem(f"{archive} has no files{f' below {only}' if only else ''}", do="look into it by hand")
            total = sum(member.size for _, member in wanted)
            limit = max(MOST_TIMES * archive.stat().st_size, BLOCK)
            if total > limit:
                raise Problem(f"{archive} would unpack to {total / 1e9:,.1f} GB", do="look into it by hand")
            require_space(folder, total, f"unpacking {archive.name}")
            temporary.mkdir()
            for path, member in wanted:
                target = temporary / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(read(member), target, member, archive)
        _moved(temporary, folder)
        return len(wanted)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        raise Problem(f"{archive} is a damaged {kind} archive ({error})", do="fetch it again") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def arrange_masks(folder: Path, ending: str) -> int:
    """Sort images and masks that lie together into images/ and masks/, under the same names.

    Args:
        folder: where they lie.
        ending: of the names of masks, before the dot.

    Returns:
        How many pairs there are; images without a mask go to images/ too.
    """
    images, masks = folder / "images", folder / "masks"
    pairs = 0
    for file in sorted(f for f in folder.iterdir() if f.is_file()):
        if file.stem.endswith(ending) and file.suffix:
            masks.mkdir(exist_ok=True)
            os.replace(file, masks / f"{file.stem.removesuffix(ending)}{file.suffix}")
            pairs += 1
        elif (folder / f"{file.stem}{ending}{file.suffix}").exists() or (masks / file.name).exists():
            images.mkdir(exist_ok=True)
            os.replace(file, images / file.name)
    return pairs


Read = Callable[[_Member], IO[bytes] | None]


@contextmanager
def _opened(archive: Path, kind: str) -> Iterator[tuple[Iterator[_Member], Read]]:
    """The members of an archive, and how one is read."""
    if kind == "zip":
        with zipfile.ZipFile(archive) as opened:

            def of_zip(member: _Member) -> IO[bytes]:
                assert isinstance(member.of, zipfile.ZipInfo)
                return opened.open(member.of)

            yield _zip_members(opened, archive), of_zip
    else:
        with tarfile.open(archive) as opened_tar:

            def of_tar(member: _Member) -> IO[bytes] | None:
                assert isinstance(member.of, tarfile.TarInfo)
                return opened_tar.extractfile(member.of)

            yield _tar_members(opened_tar, archive), of_tar


def _zip_members(opened: zipfile.ZipFile, archive: Path) -> Iterator[_Member]:
    for info in opened.infolist():
        mode = info.external_attr >> 16
        if stat.S_ISLNK(mode) or (mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)):
            raise _refused(archive, info.filename, "is a link or a device")
        if info.flag_bits & 1:
            raise _refused(archive, info.filename, "is encrypted")
        yield _Member(info.orig_filename, info.file_size, info.is_dir(), info)


def _tar_members(opened: tarfile.TarFile, archive: Path) -> Iterator[_Member]:
    for info in opened:
        if not (info.isfile() or info.isdir()):
            raise _refused(archive, info.name, "is a link or a device")
        yield _Member(info.name, info.size, info.isdir(), info)


def _wanted(members: Iterator[_Member], only: str, archive: Path) -> list[tuple[str, _Member]]:
    """The files below a folder, each with its path below it."""
    found: dict[str, tuple[str, _Member]] = {}
    for count, member in enumerate(members):
        if count == MOST_FILES:
            raise Problem(f"{archive} has more than {MOST_FILES:,} files", do="look into it by hand")
        path = _safe(member.name, archive)
        if member.folder:
            continue
        below = path
        if only:
            if only.strip("/") not in [str(above) for above in PurePosixPath(path).parents]:
                continue
            below = str(PurePosixPath(path).relative_to(only.strip("/")))
        if below.casefold() in found:
            raise _refused(archive, member.name, "is in it twice")
        found[below.casefold()] = (below, member)
    return list(found.values())


def _safe(name: str, archive: Path) -> str:
    """The name of a member as a path that stays where it is unpacked."""
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or re.match(r"[A-Za-z]:", name)
        or any(ord(letter) < 32 or ord(letter) == 127 for letter in name)
        or not path.parts
    ):
        raise _refused(archive, name, "leaves the folder or is no name")
    return str(path)


def _copy(source: IO[bytes] | None, target: Path, member: _Member, archive: Path) -> None:
    if source is None:
        raise _refused(archive, member.name, "cannot be read")
    written = 0
    with source, open(target, "xb") as file:
        for block in iter(lambda: source.read(BLOCK), b""):
            written += len(block)
            if written > member.size:
                raise _refused(archive, member.name, "is larger than it says")
            file.write(block)


def _moved(temporary: Path, folder: Path) -> None:
    """Everything to its place, folder by folder."""
    for file in sorted(f for f in temporary.rglob("*") if f.is_file()):
        target = folder / file.relative_to(temporary)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)


def _refused(archive: Path, name: str, why: str) -> Problem:
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)[:120]
    return Problem(f"{archive}: '{shown}' {why}", do="do not trust it, or look into it by hand")
