"""FrameBudget: how many frames of one kind a client may send, at once and in the long run."""


class FrameBudget:
    """Frames that cost their sender nothing and us something (CVE-2019-9512 to -9515, CVE-2023-44487).

    Args:
        burst: frames at once.
        rate: frames a second in the long run.
        now: seconds of the loop's clock.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, burst: int, rate: float, now: float) -> None:
        self._burst = self._tokens = float(burst)
        self._rate = rate
        self._at = now

    def spend(self, now: float) -> bool:
        """Count one frame; False: that was too many."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        return self._tokens >= 0
