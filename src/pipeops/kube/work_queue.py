"""WorkQueue: keys to be worked on, each at most once at a time, failed ones later, all of it bounded."""

import asyncio
import random
from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

LIMIT: Final = 10_000
_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 300.0


class QueueClosedError(RuntimeError):
    """`get` on a queue that is shut."""


class WorkQueue(Generic[K]):
    """Level-triggered work: a key added twice is worked on once, one added during its work once more after it.

    A worker calls `get`, works, calls `forget` or `retry`, and always `done`. Belongs to one event loop.

    Attributes:
        overflowed: a key was refused since the flag was last cleared; the owner must go through everything.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        limit: int = LIMIT,
        per_second: float = 10.0,
        burst: int = 100,
    ) -> None:
        """`per_second` and `burst` bound the retries of all keys together (client-go: 10 and 100)."""
        self._rng = rng
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._working: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._per_second = per_second
        self._burst = burst
        self._free_at = 0.0
        self.overflowed = False

    def __len__(self) -> int:
        """Keys that wait for a worker now; those that wait for their time are not counted."""
        return len(self._ready)

    def add(self, key: K) -> bool:
        """Let a key be worked on as soon as possible; False when the queue is full or shut."""
        if self._closed:
            return False
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._dirty:
            return True
        if len(self._dirty) >= self._limit:
            self.overflowed = True
            return False
        self._dirty.add(key)
        if key not in self._working:
            self._push(key)
        return True

    def add_after(self, key: K, seconds: float) -> bool:
        """Let a key be worked on later; the earliest time asked for counts. False as for `add`."""
        if seconds <= 0:
            return self.add(key)
        if self._closed:
            return False
        if key in self._dirty:
            return True
        timer = self._timers.get(key)
        due = self._loop.time() + seconds
        if timer is not None:
            if timer.when() <= due:
                return True
            timer.cancel()
        elif len(self._timers) >= self._limit:
            self.overflowed = True
            return False
        self._timers[key] = self._loop.call_at(due, self._due, key)
        return True

    def retry(self, key: K) -> float:
        """Add a failed key after its own growing pause and within the common rate; returns the pause in seconds."""
        failures = self._failures.get(key, 0)
        if len(self._failures) < self._limit or key in self._failures:
            self._failures[key] = failures + 1
        delay = min(_FIRST_DELAY * 2.0 ** min(failures, 20), _LONGEST_DELAY)
        delay = max(delay * self._rng.uniform(0.75, 1.0), self._reserve())
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Note that a key succeeded: its next failure begins with the shortest pause."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for the next key; it is the caller's until `done`.

        Raises:
            QueueClosedError: shut, and nothing is left.
        """
        while not self._ready:
            if self._closed:
                raise QueueClosedError("the work queue is shut")
            waiter = self._loop.create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # The wake-up was meant for whoever can still take the key.
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise
            finally:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """Give a key back; if it was added meanwhile it comes again."""
        self._working.discard(key)
        if key in self._dirty:
            self._push(key)

    def close(self) -> None:
        """Take nothing more; what is ready is still handed out, then `get` raises."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        if not self.add(key):
            self.overflowed = True

    def _push(self, key: K) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _reserve(self) -> float:
        """Seconds until the common rate allows one more: a token bucket kept as the time of its next token."""
        now = self._loop.time()
        self._free_at = max(self._free_at, now - self._burst / self._per_second)
        self._free_at += 1 / self._per_second
        return max(0.0, self._free_at - now)
