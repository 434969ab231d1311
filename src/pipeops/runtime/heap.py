"""The C library's allocator: what bulk transfers need of it, and giving back what nobody needs any more."""

import ctypes
import gc
from contextlib import suppress

# <malloc.h> of the GNU C library: mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

KEPT_BYTES = 4 * 1024 * 1024  # freed memory at the heap's end that stays ours
LARGEST_ON_HEAP = 2 * 1024 * 1024  # larger blocks get a mapping of their own


def keep_freed_memory() -> bool:
    """Keep a few MiB of freed memory instead of returning it to the kernel each time; False where that is not possible.

    A batch of a bulk transfer is a block of 256 KiB that lives for one loop turn. By default the end of
    the heap is given back whenever 128 KiB of it are free: each batch then costs as many page faults as it
    has pages, which took more than half of the agent's time (a 100 MiB GET got twice as fast without them).
    """
    with suppress(OSError, AttributeError, ValueError):  # not glibc: musl has no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        return bool(
            mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, LARGEST_ON_HEAP)
        )
    return False


def release_memory() -> bool:
    """Collect garbage and give freed memory back to the kernel; False where only the first is possible.

    For the rare moment when much has just ended (a tunnel was lost). It takes a few milliseconds: the allocator by itself
    gives back the heap's end only, and behind every knot of objects that waited for a collection something lives on.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        return bool(ctypes.CDLL(None).malloc_trim(0))
    return False
