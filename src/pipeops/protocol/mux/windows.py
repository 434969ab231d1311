"""The two windows of a stream, and how a session lets receive windows grow.

A window is a promise: the receiver will take this many bytes. It shrinks with each Data frame and
is refilled by WindowUpdate frames, of which yamux wants one per half window consumed. At any time

    receive_size = receive_left + (received and not consumed) + credit

where `credit` is consumed but not yet announced.
"""

from typing import Final

from pipeops.protocol.mux.frames import UINT32_MAX

# A stream whose window is the bottleneck uses it up once per round trip, so half of it in half of
# one. Half a window within one and a half round trips still means that twice the size may help;
# growth stops between 1.5 and 3 times bandwidth times delay.
_ROUND_TRIPS_PER_HALF_WINDOW: Final = 1.5

# Within a machine or a data centre the wire is not what a sender waits for: it is the turns of the
# two event loops in between. A window must cover those, or bytes wait in backlogs for credit.
_SHORTEST_ROUND_TRIP: Final = 0.002


class Windows:
    """Window accounting of one stream; base of `Stream`, so that no further object is needed.

    Attributes:
        send_left: bytes we may still send.
        receive_left: bytes the peer may still send.
        receive_size: the receive window when nothing is under way.
        credit: bytes consumed and not yet announced to the peer.
        epoch: session time of the last announcement.
    """

    __slots__ = ("credit", "epoch", "receive_left", "receive_size", "send_left")

    send_left: int
    receive_left: int
    receive_size: int
    credit: int
    epoch: float

    def widen_send(self, delta: int) -> bool:
        """Take the peer's WindowUpdate; False if no receiver can have promised that much."""
        self.send_left += delta
        return self.send_left <= UINT32_MAX

    def announce(self, credit: int, growth: int, now: float) -> int:
        """Promise `credit` consumed bytes and `growth` new ones; answers the delta to send."""
        self.credit = 0
        self.epoch = now
        self.receive_size += growth
        self.receive_left += credit + growth
        return credit + growth


class WindowBudget:
    """Grants growth of receive windows under one bound for the session."""

    __slots__ = ("_initial", "_max_window", "spare")

    def __init__(self, *, initial: int, max_window: int, budget: int) -> None:
        """All in bytes; `max_window` equal to `initial` switches growth off."""
        self._initial = initial
        self._max_window = max_window
        self.spare = budget

    def grant(self, windows: Windows, *, now: float, rtt: float | None) -> int:
        """How much larger this window becomes with the credit it announces now; mostly 0.

        Doubles while the last half window went by faster than a window that fits would let it.
        Only called for bytes consumed as they arrived: a slow reader shows nothing about the link.
        """
        size = windows.receive_size
        if rtt is None or size >= self._max_window:
            return 0
        if now - windows.epoch > max(rtt, _SHORTEST_ROUND_TRIP) * _ROUND_TRIPS_PER_HALF_WINDOW:
            return 0
        growth = min(size, self._max_window - size, self.spare)
        self.spare -= growth
        return growth

    def give_back(self, windows: Windows) -> None:
        """A stream ended: what its window had grown is free for others."""
        self.spare += windows.receive_size - self._initial
