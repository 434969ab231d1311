"""Pace: a token bucket kept as the time at which it is full."""

import asyncio
from collections.abc import Awaitable, Callable


class Pace:
    """Lets `rate` units a second through, and `burst` at once after a rest."""

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._now = now
        self._sleep = sleep
        self._full_at = now()

    async def take(self, units: float = 1.0) -> None:
        """Wait until so many are there; more than `burst` wait for a full bucket, and are owed afterwards."""
        now = self._now()
        full_at = max(self._full_at, now)
        wait = full_at - now - (self._burst - min(units, self._burst)) / self._rate
        self._full_at = full_at + units / self._rate
        if wait > 0:
            await self._sleep(wait)
