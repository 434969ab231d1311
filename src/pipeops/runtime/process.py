"""What this process uses: memory, descriptors, processor time (Linux, from /proc)."""

import os
import resource
from pathlib import Path


def resident_bytes(pid: int | None = None) -> int:
    """Resident memory of a process in bytes; our own if `pid` is None. 0 where there is no /proc."""
    try:
        statm = Path(f"/proc/{pid or 'self'}/statm").read_text("ascii")
    except OSError:
        return 0
    return int(statm.split()[1]) * resource.getpagesize()


def open_descriptors(pid: int | None = None) -> int:
    """Count the open file descriptors of a process; our own if `pid` is None. 0 without /proc."""
    try:
        count = len(os.listdir(f"/proc/{pid or 'self'}/fd"))  # noqa: PTH208 -- pathlib costs more
    except OSError:
        return 0
    return count if pid is not None else count - 1  # listing needs a descriptor of its own


def descriptor_limit() -> int:
    """Return how many descriptors this process may have open at once."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def processor_seconds() -> float:
    """User and system time this process has used, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
