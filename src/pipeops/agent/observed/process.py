"""ProcessObserved: memory, garbage collection, processor time and tasks of this process."""

import asyncio
import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from pipeops.runtime.process import (
    descriptor_limit,
    open_descriptors,
    processor_seconds,
    resident_bytes,
)

SAMPLE = 1.0  # seconds over which the processor's share is measured, at least


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """This process now; bytes and seconds.

    Attributes:
        cpu_percent: of one core, since the figures before.
        pause: time spent in garbage collections since the start.
    """

    resident: int
    peak: int
    virtual: int
    tasks: int
    threads: int
    descriptors: int
    descriptor_limit: int
    cpu_seconds: float
    cpu_percent: float
    collections: int
    pause: float


class ProcessObserved:
    """Asks /proc only when asked itself."""

    def __init__(self, now: Callable[[], float], wall: Callable[[], datetime]) -> None:
        self._now = now
        self._wall = wall
        self.started = now()
        self.started_at = wall()
        self._pause = 0.0
        self._collecting_since = 0.0
        self.last_collection: datetime | None = None
        self._sample = (self.started, processor_seconds())
        self._percent = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measure the collector's pauses while the block runs."""
        gc.callbacks.append(self._on_collection)
        try:
            yield
        finally:
            gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            # The loop's clock stands still within a callback.
            self._collecting_since = time.perf_counter()
        else:
            self._pause += time.perf_counter() - self._collecting_since
            self.last_collection = self._wall()

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return self._now() - self.started

    def figures(self) -> Figures:
        """Measure now."""
        cpu = processor_seconds()
        return Figures(
            resident=resident_bytes(),
            peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            virtual=_virtual_bytes(),
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
            descriptors=open_descriptors(),
            descriptor_limit=descriptor_limit(),
            cpu_seconds=cpu,
            cpu_percent=self._share(cpu),
            collections=sum(generation["collections"] for generation in gc.get_stats()),
            pause=self._pause,
        )

    def _share(self, cpu: float) -> float:
        since, before = self._sample
        elapsed = self._now() - since
        if elapsed >= SAMPLE:
            self._sample = (self._now(), cpu)
            self._percent = round(100 * (cpu - before) / elapsed, 2)
        return self._percent


def python_version() -> str:
    """`3.11.2`."""
    return ".".join(str(part) for part in sys.version_info[:3])


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def _virtual_bytes() -> int:
    try:
        statm = Path("/proc/self/statm").read_text("ascii")
    except OSError:
        return 0
    return int(statm.split()[0]) * resource.getpagesize()
