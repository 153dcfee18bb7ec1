"""One server a folder: a lock that is gone when its process is, however it ended."""

import errno
from pathlib import Path
from typing import Any

from morphogen.problems import Problem
from morphogen.whole_files import FULL


def require_one_server(folder: Path) -> Any:
    """Take the lock of a folder, held until the returned file is closed or the process ends, however it ends.

    Raises:
        Problem: another server has it, or the folder cannot be written to.
    """
    import fcntl

    try:
        file = open(folder / "serving.lock", "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        do = "free some space on the disk" if error.errno in FULL else "copy it to a folder that you may write to"
        raise Problem(f"nothing can be stored in {folder} ({error.strerror})", do=do) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        raise Problem(f"another server is serving {folder}", do="stop it first, or use that one") from None
    return file
