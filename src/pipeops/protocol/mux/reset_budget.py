"""How many streams a peer may open in vain: each costs us work and the peer nothing."""


class ResetBudget:
    """A token bucket, spent by streams that the peer resets or that we refuse.

    The answer to "rapid reset" (CVE-2023-44487): open and reset never reach a limit on live
    streams. nghttp2 and Go answer in the same way.
    """

    __slots__ = ("_burst", "_level", "_rate", "_updated")

    def __init__(self, *, burst: int, rate: float, now: float) -> None:
        """`burst` at once, then `rate` per second."""
        self._burst = burst
        self._rate = rate
        self._level = float(burst)
        self._updated = now

    def spend(self, now: float) -> bool:
        """Take one; False if none is left."""
        refill = (now - self._updated) * self._rate
        self._updated = now
        self._level = min(self._level + refill, self._burst) - 1
        return self._level >= 0
