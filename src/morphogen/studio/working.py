"""The process of one piece of work: it runs a command of Morphogen as a terminal would, and writes how it ended.

    python -m morphogen.studio.working FOLDER

The folder is that of the work's record; the command stands in ``work.json``. The process belongs to no server and to no
terminal, and outlives both. ``process.json`` says which process it is, ``end.json`` how it ended; a process that is
gone and has not written it was killed, or its machine was switched off.
"""

import json
import os
import runpy
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path


def main(folder: Path) -> None:
    """Run the command of a record in the present folder."""
    import psutil

    # Where the server was started in the background, Ctrl-C is ignored, and so would it be here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    try:
        _write(folder / "process.json", {"pid": os.getpid(), "born": psutil.Process().create_time()})
        words = json.loads((folder / "work.json").read_text(encoding="utf-8"))["words"]
        sys.argv = ["morphogen", *words]
        runpy.run_module("morphogen", run_name="__main__")
        code = 0
    except SystemExit as wish:
        code = wish.code if isinstance(wish.code, int) else int(wish.code is not None)
    except KeyboardInterrupt:
        code = 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdout.flush()
        sys.stderr.flush()
        _write(folder / "end.json", {"code": code, "ended": datetime.now(UTC).isoformat(timespec="milliseconds")})
    sys.exit(code)


def _write(file: Path, told: dict[str, object]) -> None:
    new = file.with_suffix(".new")
    new.write_text(json.dumps(told), encoding="utf-8")
    os.replace(new, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
