"""The command that a run, a study or a page was made by, for their records."""

import sys
from pathlib import Path


def command_line() -> str:
    """What was typed, without the place where the program lies; "morphogen" for ``python -m morphogen``."""
    name = Path(sys.argv[0]).name
    return " ".join(["morphogen" if name == "__main__.py" else name, *sys.argv[1:]])
