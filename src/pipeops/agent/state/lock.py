"""Lock of a state file: two processes on one machine may write it, each value after the other."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

WAIT: Final = 5.0  # seconds; a write takes a few milliseconds
_PAUSE: Final = 0.02


@contextmanager
def locked(path: Path, *, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock of `path` (`.NAME.lock` beside it) for a block. Blocking: not for the event loop.

    The kernel gives the lock back when its holder ends, however that happens. File systems without locks
    are used as if they had them: writes are whole there too.

    Raises:
        TimeoutError: another process has held it for `wait` seconds.
        OSError: the lock's file cannot be made.
    """
    descriptor = os.open(
        path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        _take(descriptor, path, wait)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, wait: float) -> None:
    for _ in range(max(int(wait / _PAUSE), 1)):
        with suppress(BlockingIOError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError:  # ENOLCK, ENOTSUP: some network file systems
                return
            return
        time.sleep(_PAUSE)
    raise TimeoutError(f"another process has held the lock of {path.name} for {wait:g} s")
