"""Clock: monotonic and wall time, injected so that tests own it."""

import time
from datetime import UTC, datetime


class Clock:
    """The machine's time. Tests pass a subclass that only moves when told to."""

    __slots__ = ()

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes back. For intervals and deadlines."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the Unix epoch; may jump. For what people or other machines read."""
        return time.time()

    def now(self) -> datetime:
        """Wall time as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.wall(), UTC)
