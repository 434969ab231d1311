"""FakeClock: time that moves only when the test says so."""

from pipeops.runtime.clock import Clock


class FakeClock(Clock):
    """Starts at monotonic 1000 s and 2026-01-01T00:00:00Z."""

    __slots__ = ("_monotonic", "_wall")

    def __init__(self, *, monotonic: float = 1000.0, wall: float = 1_767_225_600.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let both clocks run for `seconds`."""
        if seconds < 0:
            raise ValueError("monotonic time never goes back; use jump_wall")
        self._monotonic += seconds
        self._wall += seconds

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP or an operator may do."""
        self._wall += seconds
