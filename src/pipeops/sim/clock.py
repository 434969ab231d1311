"""What time it is in the simulated cluster."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time in unix seconds; tests hand in their own."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()  # noqa: TID251 - the one place of the simulator that asks the machine
