"""Files that are written whole or not at all."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from morphogen.problems import Problem


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
        if error.errno == errno.ENOSPC:
            raise Problem(f"the disk is full at {path.parent}", do="free some space and try again") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT):
            raise Problem(f"{path} cannot be written", do="choose a folder that you may write to") from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


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


def new_folder(folder: Path, holds: str) -> Path:
    """Make a folder that does not exist yet or is empty.

    Raises:
        Problem: there is something in it, or it cannot be made.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise Problem(f"{folder} exists and is not empty", do=f"choose a new folder for {holds}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"the folder {folder} cannot be made ({error.strerror})", do="choose another place") from None
    return folder
