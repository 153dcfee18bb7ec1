"""Command lines of morphogen, one a line of a file, run one after the other in the processes that torchrun starts."""

import shlex
import sys
from pathlib import Path

from morphogen.cli import _leave, cli

if __name__ == "__main__":
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        cli.main(shlex.split(line), standalone_mode=False)
    _leave(0)
