"""Files that are written whole or not at all."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from morphogen.problems import Problem

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room: disk full, quota used up, file larger than allowed."""

FORBIDDEN = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT, errno.EISDIR, errno.ENOTDIR)
"""What it says where a file cannot be: no right to write, no folder to hold it, or a folder of that name."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name beside its place, then move it there in one step.

    Args:
        path: where the file goes. Its folder must exist.
        write: writes the contents to the path that it is given; the name has the same ending.

    Raises:
        Problem: the disk is full or the place cannot be written. What was at ``path`` is untouched.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in FULL:
            raise Problem(f"the disk is full at {path.parent}", do="free some space and try again") from None
        if error.errno in FORBIDDEN:
            raise Problem(f"{path} cannot be written", do="choose a folder that you may write to") from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_folder_whole(folder: Path, fill: Callable[[Path], object]) -> None:
    """Fill a folder under a temporary name beside its place, then move it there; one of that name is replaced.

    Args:
        folder: where it goes; the folders above it are made.
        fill: writes the contents into the folder that it is given.

    Raises:
        Problem: the place cannot be written. What was at ``folder`` is untouched.
    """
    temporary = folder.with_name(f".{os.getpid()}.{folder.name}")
    made = [above for above in folder.parents if not above.exists()]
    try:
        temporary.mkdir(parents=True)
        fill(temporary)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    except OSError as error:
        do = "free some space and try again" if error.errno in FULL else "choose another place"
        raise Problem(f"{folder} cannot be written ({error.strerror})", do=do) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for above in made:
            if above.exists() and not any(above.iterdir()):
                above.rmdir()


def require_space(folder: Path, needed_bytes: int, purpose: str) -> None:
    """Refuse early what the disk cannot hold.

    Raises:
        Problem: fewer than ``needed_bytes`` are free where ``folder`` is or will be.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise Problem(
            f"{purpose} needs {needed_bytes / 1e6:,.0f} MB at {folder}, and {free / 1e6:,.0f} MB are free",
            do="free some space or choose another folder",
        )


def require_writable_file(path: Path, *, made: Path | None = None) -> Path:
    """Refuse a place where no file can be written, before work starts whose result would go there.

    A file that is there already may be replaced.

    Args:
        path: where the file is to go.
        made: a folder that the work itself makes, and so may hold the file before it exists.

    Raises:
        Problem: it is a folder, or the folder that would hold it is none, does not exist or may not be written to.
    """
    if path.is_dir():
        raise Problem(f"{path} is a folder", do="name a file in it")
    above = path.parent
    if made is not None and not above.exists() and above.absolute() == made.absolute():
        return path
    if not above.exists():
        raise Problem(f"there is no folder {above} for {path.name}", do="make it or choose another place")
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise Problem(f"{path} cannot be written", do="choose a folder that you may write to")
    return path


def require_free_folder(folder: Path, holds: str) -> Path:
    """Refuse a folder that has something in it, before work starts that would go there.

    Raises:
        Problem: there is something in it, or it is a file.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise Problem(f"{folder} exists and is not empty", do=f"choose a new folder for {holds}")
    return folder


def new_folder(folder: Path, holds: str) -> Path:
    """Make a folder that does not exist yet or is empty.

    Raises:
        Problem: there is something in it, or it cannot be made.
    """
    require_free_folder(folder, holds)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"the folder {folder} cannot be made ({error.strerror})", do="choose another place") from None
    return folder


def free_folder(wanted: Path) -> Path:
    """The first of ``wanted``, ``wanted-2``, ``wanted-3``, ... that does not exist.

    Raises:
        Problem: several processes run together; they might not agree on a name.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise Problem("several processes run together and no folder is named", do="name one")
    number, target = 1, wanted
    while target.exists():
        number += 1
        target = wanted.with_name(f"{wanted.name}-{number}")
    return target
