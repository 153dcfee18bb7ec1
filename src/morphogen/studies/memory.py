"""Peak memory of a piece of work: of the GPU where there is one, else of the process."""

import contextlib
import resource
import sys
from pathlib import Path

import torch

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class PeakMemory:
    """Context that knows, after it, the peak in MiB as ``mib``.

    On Linux the kernel's high-water mark of the resident memory is set back at the start, so that each
    piece of work has its own. Elsewhere the mark is that of the whole process so far.
    """

    mib: float = float("nan")

    def __enter__(self) -> "PeakMemory":
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")
        return self

    def __exit__(self, *_: object) -> None:
        if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
            self.mib = torch.cuda.max_memory_allocated() / 2**20
        else:
            self.mib = _peak_resident_mib()


def _peak_resident_mib() -> float:
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
